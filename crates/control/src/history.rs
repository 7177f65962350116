//! Reading the decision logs for people: filtered, each decision joined with its completion, and followed as it grows.

mod merged;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use api::admin::{
    Answer, Certificate, Completion, Damage, Decision, DecisionQuery, Entry, Failure, FailureCode, Identity, Noted,
    Refusals,
};
use record::{DamageKind, Item, ReadError, Record};
use tokio::sync::mpsc::Sender;
use types::facts::{self, Caller, Facts, Outcome};
use types::{Clock, DecisionId, Timestamp, limits};

use crate::names::{Callers, DecisionName};
pub use merged::Logs;
use merged::{Found, Merged};

/// How often a log that is followed is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100); // tidy: a pause, not a limit
/// How long a line of an allowed call waits for the call's end, so that it can say how it ended.
const WAIT_FOR_END_MICROS: u64 = 1_000_000;
/// How far back the latest decisions are looked for before the whole log is: 10 s, 5 minutes, 2 hours, 2 days.
const WINDOWS_MICROS: [u64; 4] = [10_000_000, 300_000_000, 7_200_000_000, 172_800_000_000];
/// Clocks may have been set back between the making of an id and its record.
const SLACK_MICROS: u64 = 60_000_000;
/// How many decisions of one short name are told apart.
const NAMESAKES: usize = 10;

/// The logs, and how their callers are named.
#[derive(Clone)]
pub struct History {
    /// This node's own log, and those that were shipped here.
    pub logs: Logs,
    /// How callers are named.
    pub callers: Callers,
    /// For knowing how long a line has waited.
    pub clock: Arc<dyn Clock>,
}

impl History {
    /// Sends what a question asks for, until there is no more, or the receiver is gone.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn answer(&self, query: &DecisionQuery, out: &Sender<Entry>) -> Result<(), ReadError> {
        let asked = Timestamp::from_micros(query.since.unwrap_or_default());
        for since in self.windows(asked, query) {
            let cursor = Merged::open_since(&self.logs, since)?;
            let Some((entries, cursor)) = self.gather(cursor, query, since == asked, out)? else { return Ok(()) };
            // a window that was too short for what is asked tells nothing
            if since != asked && query.limit.is_some_and(|limit| entries.len() < limit) {
                continue;
            }
            for entry in entries {
                if out.blocking_send(entry).is_err() {
                    return Ok(());
                }
            }
            return if query.follow { self.follow(cursor, query, out) } else { Ok(()) };
        }
        Ok(())
    }

    /// The moments from which on to look for the latest so many: a busy log has them at its end, and only a quiet one
    /// must be read from its beginning.
    fn windows(&self, asked: Timestamp, query: &DecisionQuery) -> Vec<Timestamp> {
        let now = self.clock.now().micros();
        let tried = WINDOWS_MICROS.iter().filter(|_| query.limit.is_some());
        let tried = tried.map(|back| Timestamp::from_micros(now.saturating_sub(*back)));
        tried.filter(|since| *since > asked).chain([asked]).collect()
    }

    /// Everything that is wanted of the log as it stands, and the cursor at its end. `None` when the receiver is gone.
    fn gather(
        &self,
        mut cursor: Merged,
        query: &DecisionQuery,
        is_last: bool,
        out: &Sender<Entry>,
    ) -> Result<Option<(VecDeque<Entry>, Merged)>, ReadError> {
        let mut latest = Latest::new(query.limit.unwrap_or_else(|| limits::LISTED_DECISIONS.default_usize()));
        while let Some(found) = cursor.next().transpose()? {
            match self.read(&cursor, &found) {
                Read::Entry(entry) if self.wanted(&entry, query) => {
                    // asked for all, those that have waited longest go out with or without their ends
                    let oldest = latest.push(found.log, entry).filter(|_| query.limit.is_none() && is_last);
                    if oldest.is_some_and(|oldest| out.blocking_send(oldest).is_err()) {
                        return Ok(None);
                    }
                }
                Read::End(id, end) => latest.end((found.log, id), end),
                Read::Entry(_) | Read::Nothing => {}
            }
        }
        Ok(Some((latest.entries, cursor)))
    }

    /// What happens from now on. A line of an allowed call waits a little for its end.
    fn follow(&self, mut cursor: Merged, query: &DecisionQuery, out: &Sender<Entry>) -> Result<(), ReadError> {
        let mut waiting = Waiting::new();
        while !out.is_closed() {
            cursor.poll()?;
            let mut ready = Vec::new();
            while let Some(found) = cursor.next().transpose()? {
                match self.read(&cursor, &found) {
                    Read::Entry(entry) if !self.wanted(&entry, query) => {}
                    Read::Entry(Entry::Decision(decision)) if decision.outcome == Outcome::Allow => {
                        waiting.insert((decision.at, found.log, decision.id), decision);
                    }
                    Read::Entry(entry) => ready.push(entry),
                    Read::End(id, end) => ready.extend(ended(&mut waiting, (found.log, id), end)),
                    Read::Nothing => {}
                }
            }
            let now = self.clock.now();
            let late = waiting.extract_if(.., |(at, ..), _| now.micros_since(*at) > WAIT_FOR_END_MICROS);
            ready.extend(late.map(|(_, decision)| Entry::Decision(decision)));
            for entry in ready {
                if out.blocking_send(entry).is_err() {
                    return Ok(());
                }
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// The decision of that name.
    ///
    /// # Errors
    /// [`Failure`] when there is none, more than one, or the log cannot be read.
    pub fn find(&self, name: &str) -> Result<Decision, Failure> {
        let parsed = DecisionName::parse(name).ok_or_else(|| not_a_name(name))?;
        let likely = parsed.not_before().micros().saturating_sub(SLACK_MICROS);
        let mut found = self.search(&parsed, Timestamp::from_micros(likely))?;
        if found.is_empty() && likely > 0 {
            found = self.search(&parsed, Timestamp::default())?;
        }
        match (found.pop(), found.is_empty()) {
            (None, _) => Err(not_found(name)),
            (Some(decision), true) => Ok(decision),
            (Some(last), false) => Err(ambiguous(name, found.iter().chain([&last]))),
        }
    }

    fn search(&self, name: &DecisionName, since: Timestamp) -> Result<Vec<Decision>, Failure> {
        let mut matches: Vec<(usize, Decision)> = Vec::new();
        let mut cursor = Merged::open_since(&self.logs, since).map_err(unreadable)?;
        while let Some(found) = cursor.next().transpose().map_err(unreadable)? {
            match self.read(&cursor, &found) {
                Read::Entry(Entry::Decision(decision)) if name.fits(decision.id) && matches.len() < NAMESAKES => {
                    matches.push((found.log, *decision));
                }
                Read::End(id, end) => {
                    let ended = matches.iter_mut().find(|(log, decision)| *log == found.log && decision.id == id);
                    if let Some((_, decision)) = ended {
                        decision.completion = Some(end);
                    }
                }
                Read::Entry(_) | Read::Nothing => {}
            }
        }
        Ok(matches.into_iter().map(|(_, decision)| decision).collect())
    }

    fn wanted(&self, entry: &Entry, query: &DecisionQuery) -> bool {
        let since = query.since.map(Timestamp::from_micros);
        match entry {
            Entry::Decision(decision) => {
                let spiffe_id = match &decision.identity {
                    Identity::Verified(certificate) => certificate.spiffe_id.as_str(),
                    Identity::Unidentified { .. } => "",
                };
                let caller = |wanted: &String| *wanted == decision.caller || wanted == spiffe_id;
                query.caller.as_ref().is_none_or(caller)
                    && query.outcome.is_none_or(|answer| answer == decision.answer())
                    && since.is_none_or(|since| decision.at >= since)
            }
            Entry::Refusals(refusals) => {
                query.caller.is_none()
                    && query.outcome.is_none_or(|answer| answer == Answer::Deny)
                    && since.is_none_or(|since| refusals.at >= since)
            }
            Entry::Damage(_) => true,
        }
    }

    fn read(&self, cursor: &Merged, found: &Found) -> Read {
        let record = match &found.item {
            Item::Record(record) => record,
            // the writer died within a record on whose account nothing was answered
            Item::Damage(damage) if matches!(damage.what, DamageKind::TornTail { .. }) => return Read::Nothing,
            Item::Damage(damage) => return Read::Entry(Entry::Damage(Damage { message: damage.to_string() })),
        };
        let record = record.view();
        match &record.facts {
            Facts::Decision(facts) => {
                // who shipped it is proved, what it says of itself is not
                let enforcer = cursor.enforcer(found.log).unwrap_or(record.enforcer);
                Read::Entry(Entry::Decision(Box::new(self.decision(enforcer, &record, facts))))
            }
            Facts::Completion(facts) => Read::End(facts.id, completion(facts)),
            Facts::Refusals(facts) => Read::Entry(Entry::Refusals(refusals(record.at, facts))),
            Facts::Issuance(_) | Facts::Lifecycle(_) | Facts::Administration(_) => Read::Nothing,
        }
    }

    fn decision(&self, enforcer: &str, record: &Record<'_>, facts: &facts::Decision<'_>) -> Decision {
        let (caller, identity) = match &facts.caller {
            Caller::Verified(peer) => (self.callers.name(peer.spiffe_id), verified(peer)),
            Caller::Unidentified { claimed } => {
                (String::new(), Identity::Unidentified { claimed: (*claimed).to_owned() })
            }
        };
        Decision {
            id: facts.id,
            at: record.at,
            outcome: facts.outcome,
            reason: facts.reason.to_owned(),
            note: facts.note.to_owned(),
            caller,
            identity,
            listener: facts.listener.to_owned(),
            protocol: facts.protocol,
            source: facts.source,
            host: facts.host.to_owned(),
            service: facts.service.to_owned(),
            method: facts.method.to_owned(),
            template: facts.template.to_owned(),
            risk: facts.risk,
            determining: facts.determining.iter().map(|id| (*id).to_owned()).collect(),
            noted: facts.noted.iter().map(noted).collect(),
            epoch: facts.epoch,
            revision: facts.revision.map(|revision| revision.to_string()),
            enforcer: enforcer.to_owned(),
            lane: record.lane.to_owned(),
            sequence: record.sequence,
            completion: None,
        }
    }
}

/// What one item of the log means for a listing.
enum Read {
    /// A line.
    Entry(Entry),
    /// The end of a call whose line stands before.
    End(DecisionId, Completion),
    /// Nothing.
    Nothing,
}

/// The latest entries, and where each decision among them stands.
struct Latest {
    limit: usize,
    /// How many entries were let go at the front.
    gone: usize,
    entries: VecDeque<Entry>,
    /// The log of each entry.
    logs: VecDeque<usize>,
    places: HashMap<(usize, DecisionId), usize>,
}

impl Latest {
    fn new(limit: usize) -> Self {
        Self { limit, gone: 0, entries: VecDeque::new(), logs: VecDeque::new(), places: HashMap::new() }
    }

    /// Takes an entry in, and gives back the oldest where there is one too many.
    fn push(&mut self, log: usize, entry: Entry) -> Option<Entry> {
        if let Entry::Decision(decision) = &entry {
            self.places.insert((log, decision.id), self.gone.saturating_add(self.entries.len()));
        }
        self.entries.push_back(entry);
        self.logs.push_back(log);
        if self.entries.len() <= self.limit {
            return None;
        }
        self.gone = self.gone.saturating_add(1);
        let (oldest, log) = (self.entries.pop_front(), self.logs.pop_front().unwrap_or_default());
        if let Some(Entry::Decision(decision)) = &oldest {
            self.places.remove(&(log, decision.id));
        }
        oldest
    }

    fn end(&mut self, of: (usize, DecisionId), end: Completion) {
        let place = self.places.get(&of).and_then(|place| place.checked_sub(self.gone));
        if let Some(Entry::Decision(decision)) = place.and_then(|place| self.entries.get_mut(place)) {
            decision.completion = Some(end);
        }
    }
}

/// Lines of allowed calls that wait for the call's end: by time, log and id.
type Waiting = BTreeMap<(Timestamp, usize, DecisionId), Box<Decision>>;

/// The line that waited for this end.
fn ended(waiting: &mut Waiting, of: (usize, DecisionId), end: Completion) -> Option<Entry> {
    let key = *waiting.keys().find(|(_, log, id)| (*log, *id) == of)?;
    let mut decision = waiting.remove(&key)?;
    decision.completion = Some(end);
    Some(Entry::Decision(decision))
}

fn verified(peer: &facts::Peer<'_>) -> Identity {
    Identity::Verified(Certificate {
        spiffe_id: peer.spiffe_id.to_owned(),
        serial: peer.serial.to_owned(),
        sha256: peer.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        not_before: peer.not_before,
        not_after: peer.not_after,
        via: peer.via.to_owned(),
    })
}

fn completion(facts: &facts::Completion<'_>) -> Completion {
    Completion {
        status: facts.status,
        reason: facts.reason.to_owned(),
        duration_micros: facts.micros,
        request_bytes: facts.request_bytes,
        response_bytes: facts.response_bytes,
        revision: facts.revision.map(|revision| revision.to_string()),
        epoch: facts.epoch,
    }
}

fn noted(facts: &facts::Noted<'_>) -> Noted {
    Noted {
        check: facts.check.to_owned(),
        mode: facts.mode,
        reason: facts.reason.to_owned(),
        policy: facts.policy.to_owned(),
    }
}

fn refusals(at: Timestamp, facts: &facts::Refusals<'_>) -> Refusals {
    Refusals {
        at,
        since: facts.since,
        listener: facts.listener.to_owned(),
        reason: facts.reason.to_owned(),
        source: facts.source,
        count: facts.count,
    }
}

fn not_a_name(name: &str) -> Failure {
    let shown: String = name.chars().take(80).collect();
    let hint = "paste the id of a response's Countersign-Decision, or the short form that `decisions` prints";
    Failure::new(FailureCode::BadRequest, format!("`{shown}` is not a decision id"), hint)
}

fn not_found(name: &str) -> Failure {
    let hint = "an enforcer may not have shipped it yet, or its part of the log was removed";
    Failure::new(FailureCode::NotFound, format!("no decision `{name}` in the logs that are kept here"), hint)
}

fn ambiguous<'a>(name: &str, found: impl Iterator<Item = &'a Decision>) -> Failure {
    let list: Vec<String> =
        found.map(|decision| format!("{}  {}  {}", decision.id, decision.at, decision.enforcer)).collect();
    let message = format!("`{name}` is the short form of more than one decision");
    Failure::new(FailureCode::Ambiguous, message, format!("one of\n{}", list.join("\n")))
}

pub fn unreadable(error: ReadError) -> Failure {
    let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    Failure::new(FailureCode::Unavailable, format!("the decision log is not readable: {error}{source}"), "")
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
