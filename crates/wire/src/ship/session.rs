//! What one stream knows: what the log holds, what control holds of it, what is on its way. No input, no output.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use api::wire::Received;
use record::SegmentState;
use types::limits;

/// The state of one stream.
#[derive(Default)]
pub(super) struct Session {
    /// Segments that control was asked about and has not answered for.
    unanswered: BTreeSet<String>,
    known: BTreeMap<String, Progress>,
    /// Segments with something to send, in the order in which they go.
    work: VecDeque<SegmentState>,
    /// Segments of which control takes no more, and why.
    refused: BTreeMap<String, String>,
    in_flight: u64,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    acked: u64,
    ended: bool,
    sent: u64,
    end_sent: bool,
}

/// The next piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Next {
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) bytes: usize,
    pub(super) finished: bool,
}

impl Session {
    /// These are named to control; nothing goes before it answered for all of them.
    pub(super) fn begin(&mut self, found: &[SegmentState]) {
        self.unanswered = found.iter().map(|state| state.name.clone()).collect();
    }

    /// The log was looked at.
    pub(super) fn look(&mut self, found: &[SegmentState]) {
        // what was released is known no longer
        let names: BTreeSet<&String> = found.iter().map(|state| &state.name).collect();
        self.known.retain(|name, _| names.contains(name));
        for state in found {
            let held = self.known.get(&state.name).copied().unwrap_or_default();
            if held.acked > state.bytes {
                let why = format!("control holds {} bytes of it, this log {}", held.acked, state.bytes);
                self.refused.entry(state.name.clone()).or_insert(why);
            }
        }
        // a segment that is new must not overtake one of its lane that control has not answered for
        let ready = self.unanswered.is_empty();
        self.work = found.iter().filter(|state| ready && self.is_open(state)).cloned().collect();
        let known = self.known.values();
        self.in_flight = known.fold(0, |sum, held| sum.saturating_add(held.sent.saturating_sub(held.acked)));
    }

    /// Whether there is something to send of a segment.
    fn is_open(&self, state: &SegmentState) -> bool {
        let held = self.known.get(&state.name).copied().unwrap_or_default();
        let done = held.sent >= state.bytes && (held.end_sent || !state.finished);
        !done && !self.refused.contains_key(&state.name)
    }

    /// Control answered.
    pub(super) fn take(&mut self, answer: &Received) {
        for segment in &answer.segments {
            self.unanswered.remove(&segment.name);
            let held = self.known.entry(segment.name.clone()).or_default();
            self.in_flight = self.in_flight.saturating_sub(segment.bytes.min(held.sent).saturating_sub(held.acked));
            held.acked = segment.bytes;
            held.ended |= segment.finished;
            held.sent = held.sent.max(segment.bytes);
            held.end_sent |= segment.finished;
        }
        for refused in &answer.refused {
            self.unanswered.remove(&refused.name);
            self.refused.insert(refused.name.clone(), refused.why.clone());
        }
    }

    /// Whether a piece may go now.
    pub(super) fn has_next(&mut self) -> bool {
        while let Some(front) = self.work.front() {
            if self.is_open(front) {
                return self.in_flight < limits::SHIP_WINDOW_BYTES.default;
            }
            self.work.pop_front();
        }
        false
    }

    /// The next piece; it counts as sent.
    pub(super) fn next(&mut self) -> Option<Next> {
        if !self.has_next() {
            return None;
        }
        let state = self.work.front()?;
        let held = self.known.entry(state.name.clone()).or_default();
        let most = limits::WIRE_PIECE_BYTES.default.min(state.bytes.saturating_sub(held.sent));
        let offset = held.sent;
        held.sent = held.sent.saturating_add(most);
        let finished = state.finished && held.sent >= state.bytes;
        held.end_sent |= finished;
        self.in_flight = self.in_flight.saturating_add(most);
        let bytes = usize::try_from(most).unwrap_or_default();
        Some(Next { name: state.name.clone(), offset, bytes, finished })
    }

    /// Whether control owes an answer.
    pub(super) fn is_waiting(&self) -> bool {
        let owed = |held: &Progress| held.sent > held.acked || (held.end_sent && !held.ended);
        let refused = |name: &String| self.refused.contains_key(name);
        !self.unanswered.is_empty() || self.known.iter().any(|(name, held)| owed(held) && !refused(name))
    }

    /// Bytes that control does not have.
    pub(super) fn unshipped(&self, found: &[SegmentState]) -> u64 {
        let left =
            |state: &SegmentState| state.bytes.saturating_sub(self.known.get(&state.name).map_or(0, |held| held.acked));
        found.iter().fold(0, |sum, state| sum.saturating_add(left(state)))
    }

    /// Finished segments that control has whole.
    pub(super) fn kept(&self, found: &[SegmentState]) -> Vec<SegmentState> {
        let is_kept = |state: &&SegmentState| {
            let held = self.known.get(&state.name).copied().unwrap_or_default();
            let refused = self.refused.contains_key(&state.name);
            state.finished && held.ended && held.acked == state.bytes && !refused
        };
        found.iter().filter(is_kept).cloned().collect()
    }

    /// What control does not take, in words.
    pub(super) fn trouble(&self) -> Option<String> {
        let (name, why) = self.refused.first_key_value()?;
        let more = match self.refused.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count.saturating_sub(1)),
        };
        Some(format!("control refuses `{name}` of the decision log: {why}{more}"))
    }
}
