//! The numbers of all workers, added up.

use types::{Failure, Mode, Reason};

use super::{CHECKS, Counter, Counters, DECISION_MICROS};

/// What a proxy has counted since its start, and what is open at the moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Calls that were allowed, tolerated ones included.
    pub allowed: u64,
    /// Of those, calls that a check in shadow would refuse.
    pub would_deny: u64,
    /// Of those allowed, the others in whose record a check that observes noted a refusal.
    pub observed: u64,
    /// Refusals by reason, in the order of [`Reason::ALL`]; those of connections and those without a record of their own
    /// included. Every reason is there.
    pub refused: Vec<(Reason, u64)>,
    /// Records in which relaxed checks noted a refusal.
    pub noted: Vec<NotedCount>,
    /// Allowed exchanges that ended well.
    pub completed: u64,
    /// Allowed exchanges that did not, by the cause; only what has happened.
    pub failed: Vec<(Failure, u64)>,
    /// Of those, exchanges that were cut because they were no longer allowed.
    pub cut: u64,
    /// Allowed exchanges that have not ended.
    pub open_exchanges: u64,
    /// Connections that have not ended, handshakes not included.
    pub open_connections: u64,
    /// How long decisions took, from the request's head to the record.
    pub decision_time: Histogram,
}

/// How many records noted a refusal of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotedCount {
    /// `requires.identity`, `consent`, `routes.unlisted`, `permit`, or `policy` for all single policies.
    pub check: &'static str,
    /// Observe or shadow.
    pub mode: Mode,
    /// How many records.
    pub count: u64,
}

/// A distribution of times.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Histogram {
    /// Upper bounds of the buckets in microseconds, and how many took at most that and more than the bound before.
    pub buckets: Vec<(u64, u64)>,
    /// How many took longer than the last bound.
    pub longer: u64,
    /// All times together, in nanoseconds.
    pub sum_nanos: u64,
}

impl Histogram {
    /// How many were measured.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum::<u64>() + self.longer
    }
}

impl Snapshot {
    pub(super) fn new() -> Self {
        let noted = [Mode::Observe, Mode::Shadow]
            .into_iter()
            .flat_map(|mode| CHECKS.into_iter().map(move |check| NotedCount { check, mode, count: 0 }));
        Self {
            allowed: 0,
            would_deny: 0,
            observed: 0,
            refused: Reason::ALL.iter().map(|reason| (*reason, 0)).collect(),
            noted: noted.collect(),
            completed: 0,
            failed: Vec::new(),
            cut: 0,
            open_exchanges: 0,
            open_connections: 0,
            decision_time: Histogram {
                buckets: DECISION_MICROS.iter().map(|bound| (*bound, 0)).collect(),
                longer: 0,
                sum_nanos: 0,
            },
        }
    }

    pub(super) fn add(&mut self, counters: &Counters) {
        self.allowed += counters.allowed.get();
        self.would_deny += counters.would_deny.get();
        self.observed += counters.observed.get();
        self.completed += counters.completed.get();
        self.cut += counters.cut.get();
        self.open_exchanges += counters.open_exchanges.get();
        self.open_connections += counters.open_connections.get();
        add_up(self.refused.iter_mut().map(|(_, count)| count), &counters.refused);
        add_up(self.noted.iter_mut().map(|noted| &mut noted.count), counters.noted.iter().flatten());
        add_up(self.decision_time.buckets.iter_mut().map(|(_, count)| count), &counters.decisions);
        self.decision_time.longer += counters.decisions.last().map_or(0, Counter::get);
        self.decision_time.sum_nanos += counters.decision_nanos.get();
        let reasons = Reason::ALL.iter().map(|reason| Failure::Reason(*reason)).zip(&counters.failed);
        let others = Failure::OTHERS.iter().copied().zip(&counters.failed_otherwise);
        for (failure, counter) in reasons.chain(others) {
            self.add_failure(failure, counter.get());
        }
    }

    fn add_failure(&mut self, failure: Failure, more: u64) {
        match self.failed.iter_mut().find(|(known, _)| *known == failure) {
            Some((_, count)) => *count += more,
            None if more > 0 => self.failed.push((failure, more)),
            None => {}
        }
    }

    /// How many were refused for a reason.
    pub fn refused_for(&self, reason: Reason) -> u64 {
        self.refused.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| *count)
    }

    /// How many exchanges ended with a failure.
    pub fn failed_with(&self, failure: impl Into<Failure>) -> u64 {
        let failure = failure.into();
        self.failed.iter().find(|(known, _)| *known == failure).map_or(0, |(_, count)| *count)
    }
}

fn add_up<'a>(sums: impl Iterator<Item = &'a mut u64>, counters: impl IntoIterator<Item = &'a Counter>) {
    sums.zip(counters).for_each(|(sum, counter)| *sum += counter.get());
}
