//! What a proxy counts. Each worker writes counters of its own with plain stores, so that nothing is shared between cores on
//! the request path; whoever asks adds them up.

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use policy::Noted;
use types::{Failure, Label, Mode, Reason, Timestamp};

mod snapshot;

pub use snapshot::{Histogram, NotedCount, Snapshot};

/// Upper bounds of the buckets of decision times, in microseconds: around the tens that a decision takes, and up to what
/// only a machine in trouble needs.
const DECISION_MICROS: [u64; 11] = [10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000, 50_000, 250_000];

/// The checks that modes relax. Those of single policies are one kind here: their names are open, and the decision log
/// counts each.
const CHECKS: [&str; 5] = ["requires.identity", "consent", "routes.unlisted", "permit", "policy"];

/// A number that one thread writes and any may read.
#[derive(Default, Debug)]
struct Counter(AtomicU64);

impl Counter {
    /// INVARIANT: called by the worker that owns the counters only, so that a load and a store lose nothing.
    fn add(&self, more: u64) {
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    fn take(&self) {
        self.0.store(self.get().saturating_sub(1), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one worker, on cache lines of their own.
#[repr(align(128))]
#[derive(Debug)]
pub struct Counters {
    allowed: Counter,
    would_deny: Counter,
    observed: Counter,
    refused: [Counter; Reason::ALL.len()],
    noted: [[Counter; CHECKS.len()]; 2],
    completed: Counter,
    failed: [Counter; Reason::ALL.len()],
    failed_otherwise: [Counter; Failure::OTHERS.len()],
    cut: Counter,
    open_exchanges: Counter,
    open_connections: Counter,
    /// One more than there are bounds.
    decisions: [Counter; DECISION_MICROS.len() + 1],
    decision_nanos: Counter,
}

impl Default for Counters {
    fn default() -> Self {
        fn zeros<const N: usize>() -> [Counter; N] {
            std::array::from_fn(|_| Counter::default())
        }
        Self {
            allowed: Counter::default(),
            would_deny: Counter::default(),
            observed: Counter::default(),
            refused: zeros(),
            noted: std::array::from_fn(|_| zeros()),
            completed: Counter::default(),
            failed: zeros(),
            failed_otherwise: zeros(),
            cut: Counter::default(),
            open_exchanges: Counter::default(),
            open_connections: Counter::default(),
            decisions: zeros(),
            decision_nanos: Counter::default(),
        }
    }
}

fn bump(counters: &[Counter], place: Option<usize>) {
    if let Some(counter) = place.and_then(|place| counters.get(place)) {
        counter.add(1);
    }
}

fn place_of(reason: Reason) -> Option<usize> {
    // the table lists the reasons in the order of their declaration
    Some(reason as usize)
}

impl Counters {
    /// A call was allowed, with what relaxed checks noted.
    pub fn allowed(&self, noted: &[Noted]) {
        self.allowed.add(1);
        if noted.iter().any(|noted| noted.mode() == Mode::Shadow) {
            self.would_deny.add(1);
        } else if !noted.is_empty() {
            self.observed.add(1);
        }
        self.noted(noted);
    }

    /// A call, or a connection before it, was refused.
    pub fn refused(&self, reason: Reason, noted: &[Noted]) {
        bump(&self.refused, place_of(reason));
        self.noted(noted);
    }

    fn noted(&self, noted: &[Noted]) {
        // one record may note a check twice, and counts once
        let seen = Cell::new([[false; CHECKS.len()]; 2]);
        for noted in noted {
            let mode = usize::from(noted.mode() == Mode::Shadow);
            let check = CHECKS.iter().position(|check| *check == kind(noted.check()));
            let mut marks = seen.get();
            let mark = check.and_then(|check| marks.get_mut(mode)?.get_mut(check));
            if mark.is_some_and(|mark| !std::mem::replace(mark, true)) {
                bump(self.noted.get(mode).map_or(&[], <[Counter; _]>::as_slice), check);
            }
            seen.set(marks);
        }
    }

    /// A call was decided, in this time.
    pub fn decided(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = DECISION_MICROS.iter().position(|bound| micros <= *bound);
        bump(&self.decisions, Some(bucket.unwrap_or(DECISION_MICROS.len())));
        self.decision_nanos.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// An allowed exchange begins.
    pub fn exchange_opened(&self) {
        self.open_exchanges.add(1);
    }

    /// An allowed exchange ended: well, or with this failure; `cut` where it was no longer allowed.
    pub fn exchange_ended(&self, failure: Option<Failure>, cut: bool) {
        self.open_exchanges.take();
        match failure {
            None => self.completed.add(1),
            Some(Failure::Reason(reason)) => bump(&self.failed, place_of(reason)),
            Some(other) => {
                bump(&self.failed_otherwise, Failure::OTHERS.iter().position(|failure| *failure == other));
            }
        }
        if cut {
            self.cut.add(1);
        }
    }

    /// A connection was taken.
    pub fn connection_opened(&self) {
        self.open_connections.add(1);
    }

    /// A connection ended.
    pub fn connection_ended(&self) {
        self.open_connections.take();
    }
}

/// The kind of a check.
fn kind(check: &str) -> &str {
    if check.starts_with("policy.") { "policy" } else { check }
}

/// What all workers of a proxy count, for whoever asks. Made before the proxy and given to it.
#[derive(Default, Debug)]
pub struct Stats {
    workers: Mutex<Vec<Arc<Counters>>>,
    certificates: ArcSwap<Vec<(Label, Timestamp)>>,
}

impl Stats {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The counters of a new worker.
    pub(crate) fn worker(&self) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&counters));
        counters
    }

    /// The gateway's certificates have changed.
    pub(crate) fn set_certificates(&self, certificates: Vec<(Label, Timestamp)>) {
        self.certificates.store(Arc::new(certificates));
    }

    /// The domains whose gateway certificate is held, in order, with its last moment of validity.
    pub fn certificates(&self) -> Vec<(Label, Timestamp)> {
        self.certificates.load().to_vec()
    }

    /// Everything counted since the start, added up over the workers. Each number is exact; those of one moment may differ
    /// by what happens while they are read.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        for counters in self.workers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            snapshot.add(counters);
        }
        snapshot
    }
}

#[cfg(test)]
mod tests;
