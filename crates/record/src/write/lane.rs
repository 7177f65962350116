//! The request path of the log: [`Lane::append`], and the proof that it gives.

use core::fmt;
use std::sync::{
    Arc,
    mpsc::{Receiver, Sender, channel},
};

use types::{
    Clock, Label, Reason, Recordable, Timestamp,
    facts::{Facts, Outcome},
    limits,
};

use super::{
    log::Core,
    prepare::{Job, Request},
    segment::Segment,
};
use crate::{
    codec::{self, COMPLETION_BYTES, Stamp},
    format::{Header, LaneKey, SegmentName, frame_bytes},
};

/// Proof that an item is in the log. Made by [`Lane::append`] alone; not `Clone`, so that one record is one forward.
#[derive(Debug)]
#[must_use = "what was recorded is meant to be acted on"]
pub struct Recorded<P> {
    item: P,
    sequence: u64,
    at: Timestamp,
}

impl<P> Recorded<P> {
    /// The item.
    pub const fn get(&self) -> &P {
        &self.item
    }

    /// The item, without its proof.
    pub fn into_inner(self) -> P {
        self.item
    }

    /// Its position in the lane, from 0.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The time that stands in the record.
    pub const fn at(&self) -> Timestamp {
        self.at
    }
}

/// An item that is not in the log, and why. The answer is [`Reason::RecordFull`]: nothing is forwarded without its
/// record.
pub struct NotRecorded<P> {
    item: P,
    why: Why,
}

impl<P> NotRecorded<P> {
    /// Why it is not in the log.
    pub const fn why(&self) -> Why {
        self.why
    }

    /// The reason with which the request is refused.
    pub const fn reason(&self) -> Reason {
        Reason::RecordFull
    }

    /// The item.
    pub const fn get(&self) -> &P {
        &self.item
    }

    /// The item, to be refused.
    pub fn into_inner(self) -> P {
        self.item
    }
}

impl<P> fmt::Debug for NotRecorded<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotRecorded").field("why", &self.why).finish_non_exhaustive()
    }
}

impl<P> fmt::Display for NotRecorded<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.why, f)
    }
}

impl<P> core::error::Error for NotRecorded<P> {}

/// Why something was not recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// Its record would be longer than `record_bytes` ([`limits::RECORD_BYTES`]).
    TooLarge {
        /// The length it would have.
        bytes: usize,
    },
    /// The segment is full, or what is left is kept for completions, and no next one is ready. [`crate::Log::health`]
    /// says why there is none.
    NoRoom,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => {
                write!(f, "the record takes {bytes} bytes, more than {}", limits::RECORD_BYTES.default)
            }
            Self::NoRoom => f.write_str("the decision log has no room"),
        }
    }
}

/// What a completion takes of a segment at most, and what an allowed decision keeps free for it.
const RESERVED: usize = frame_bytes(COMPLETION_BYTES);

/// One writer's part of the log: one sequence, kept in numbered segments. Belongs to one worker at a time.
///
/// Dropping it shrinks its segment to what was written.
pub struct Lane {
    key: LaneKey,
    enforcer: Label,
    clock: Arc<dyn Clock>,
    /// INVARIANT: `current.room() >= outstanding * RESERVED`, so that every completion of an allowed decision fits.
    current: Option<Segment>,
    /// The next segment where it has arrived.
    next: Option<Segment>,
    arrivals: (Sender<Segment>, Receiver<Segment>),
    /// The next segment was asked for and has not become `current`.
    requested: bool,
    /// The number of the next segment.
    number: u32,
    /// The sequence of the next record.
    sequence: u64,
    /// The latest time of any record so far.
    latest: Timestamp,
    /// Allowed decisions whose completion is to come.
    outstanding: usize,
    /// Tells the thread that this lane still waits.
    alive: Arc<()>,
    /// Last, so that the lock of the directory outlives the segments.
    core: Arc<Core>,
}

impl Lane {
    /// A lane whose first segment is `first`, or comes when there is room.
    pub(super) fn new(core: Arc<Core>, lane: Label, first: Option<Segment>) -> Self {
        let mut lane = Self {
            key: LaneKey { start: core.start, lane },
            enforcer: core.enforcer.clone(),
            clock: Arc::clone(&core.clock),
            current: None,
            requested: first.is_some(),
            next: first,
            arrivals: channel(),
            number: 0,
            sequence: 0,
            latest: Timestamp::default(),
            outstanding: 0,
            alive: Arc::new(()),
            core,
        };
        lane.request();
        lane
    }

    /// The name of the lane.
    pub const fn name(&self) -> &Label {
        &self.key.lane
    }

    /// Allowed decisions whose completion was not appended yet. Room is kept for each.
    pub const fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Writes a record. When it returns, the record survives the death of this process.
    ///
    /// An allowed decision also keeps room for its completion; appending a [`Facts::Completion`] uses up one such room
    /// and therefore always succeeds, once for each allowed decision. Texts are cut at their limits: `note` at
    /// [`limits::NOTE_BYTES`], a claimed SPIFFE ID at [`limits::SPIFFE_ID_BYTES`], a completion's reason at 64 bytes.
    ///
    /// # Errors
    /// [`NotRecorded`] gives the item back: it is too large, or there is no room now. Nothing was written.
    pub fn append<P: Recordable>(&mut self, item: P) -> Result<Recorded<P>, NotRecorded<P>> {
        let written = self.write(&item.facts());
        match written {
            Ok(Stamp { sequence, at }) => Ok(Recorded { item, sequence, at }),
            Err(why) => {
                self.core.count_refused();
                Err(NotRecorded { item, why })
            }
        }
    }

    fn write(&mut self, facts: &Facts<'_>) -> Result<Stamp, Why> {
        let stamp = Stamp { sequence: self.sequence, at: self.clock.now() };
        let length = codec::encoded_len(stamp, facts);
        if length > limits::RECORD_BYTES.default_usize() {
            return Err(Why::TooLarge { bytes: length });
        }
        let outstanding = match facts {
            Facts::Decision(decision) if decision.outcome == Outcome::Allow => self.outstanding.saturating_add(1),
            Facts::Completion(_) => self.outstanding.saturating_sub(1),
            Facts::Decision(_)
            | Facts::Refusals(_)
            | Facts::Issuance(_)
            | Facts::Lifecycle(_)
            | Facts::Administration(_) => self.outstanding,
        };
        let needed = outstanding.saturating_mul(RESERVED).saturating_add(frame_bytes(length));
        let segment = self.segment(needed, stamp).ok_or(Why::NoRoom)?;
        segment.append(stamp, facts, length).ok_or(Why::NoRoom)?;
        let past_half = segment.is_past_half();
        self.outstanding = outstanding;
        self.sequence = self.sequence.saturating_add(1);
        self.latest = self.latest.max(stamp.at);
        if past_half {
            self.request();
        }
        Ok(stamp)
    }

    /// The segment that has `needed` bytes left: the current one, or the next where it is ready.
    fn segment(&mut self, needed: usize, stamp: Stamp) -> Option<&mut Segment> {
        if self.current.as_ref().is_none_or(|current| current.room() < needed) {
            self.rotate(needed, stamp)?;
        }
        self.current.as_mut()
    }

    #[cold]
    fn rotate(&mut self, needed: usize, stamp: Stamp) -> Option<()> {
        self.request();
        if self.next.is_none() {
            self.next = self.arrivals.1.try_recv().ok();
        }
        let mut next = self.next.take_if(|next| next.room() >= needed)?;
        next.begin(Header {
            enforcer: self.enforcer.clone(),
            name: SegmentName { key: self.key.clone(), number: self.number },
            salt: 0,
            first_sequence: stamp.sequence,
            created: stamp.at,
            latest: self.latest,
            capacity: 0,
        })?;
        self.number = self.number.saturating_add(1);
        self.requested = false;
        if let Some(old) = self.current.replace(next) {
            self.core.send(Job::Retire(old));
        }
        Some(())
    }

    /// Asks for the next segment, once.
    fn request(&mut self) {
        if !self.requested {
            self.requested = true;
            let name = SegmentName { key: self.key.clone(), number: self.number };
            self.core.send(Job::Prepare(Request {
                name,
                reply: self.arrivals.0.clone(),
                lane: Arc::downgrade(&self.alive),
            }));
        }
    }
}
