//! Refusals before identity: recorded one by one up to a rate, counted together beyond it, so that a flood of bad
//! handshakes cannot fill the decision log (DESIGN section 7).

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use types::{Reason, Recordable, Timestamp, facts, limits};

/// The meter of one listener on one worker.
#[derive(Debug)]
pub struct EarlyRefusals {
    listener: Arc<str>,
    second: u64,
    recorded: u64,
    counted: BTreeMap<(Reason, Option<IpAddr>), Counted>,
}

/// Refusals of one reason and source that were counted only.
#[derive(Debug)]
struct Counted {
    count: u64,
    since: Timestamp,
}

/// A count on its way to the record.
#[derive(Debug)]
pub struct Tally {
    listener: Arc<str>,
    reason: Reason,
    /// Absent for the refusals of more sources than are told apart.
    source: Option<IpAddr>,
    counted: Counted,
}

impl EarlyRefusals {
    /// A new meter.
    pub const fn new(listener: Arc<str>) -> Self {
        Self { listener, second: 0, recorded: 0, counted: BTreeMap::new() }
    }

    /// Whether a refusal at this moment gets a record of its own. Otherwise it is counted.
    pub fn admit(&mut self, reason: Reason, source: IpAddr, at: Timestamp) -> bool {
        if at.seconds() != self.second {
            self.second = at.seconds();
            self.recorded = 0;
        }
        if self.recorded < limits::PRE_IDENTITY_RECORDS.default {
            self.recorded += 1;
            return true;
        }
        let told_apart = self.counted.len() < limits::PRE_IDENTITY_SOURCES.default_usize();
        let known = told_apart || self.counted.contains_key(&(reason, Some(source)));
        let key = (reason, known.then_some(source));
        self.counted.entry(key).or_insert(Counted { count: 0, since: at }).count += 1;
        false
    }

    /// What was counted so far, to be recorded now.
    pub fn take(&mut self) -> Vec<Tally> {
        let listener = &self.listener;
        let tally = |((reason, source), counted)| Tally { listener: Arc::clone(listener), reason, source, counted };
        std::mem::take(&mut self.counted).into_iter().map(tally).collect()
    }

    /// Puts back what could not be recorded, so that no count is lost.
    pub fn put_back(&mut self, tally: Tally) {
        let since = tally.counted.since;
        let entry = self.counted.entry((tally.reason, tally.source)).or_insert(Counted { count: 0, since });
        entry.count += tally.counted.count;
        entry.since = entry.since.min(tally.counted.since);
    }
}

impl Recordable for Tally {
    fn facts(&self) -> facts::Facts<'_> {
        facts::Facts::Refusals(facts::Refusals {
            listener: &self.listener,
            reason: self.reason.code(),
            source: self.source,
            count: self.counted.count,
            since: self.counted.since,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_blamed_for_another_source() {
        let mut early = EarlyRefusals::new("gateway".into());
        let at = Timestamp::from_seconds(10);
        let sources = || (0..=255).flat_map(|high| (0..8).map(move |low| IpAddr::from([127, 1, high, low])));
        let most = limits::PRE_IDENTITY_SOURCES.default_usize() + 1;
        let admitted = sources().filter(|source| early.admit(Reason::IdentityMissing, *source, at)).count();
        let tallies = early.take();
        assert_eq!(tallies.len(), most);
        assert!(tallies.iter().all(|tally| tally.source.is_none() || tally.counted.count == 1));
        let counted: u64 = tallies.iter().map(|tally| tally.counted.count).sum();
        assert_eq!(counted as usize + admitted, sources().count());
    }

    #[test]
    fn beyond_the_rate_refusals_are_counted_and_no_count_is_lost() {
        let mut early = EarlyRefusals::new("gateway".into());
        let source = IpAddr::from([127, 0, 0, 1]);
        let at = Timestamp::from_seconds(10);
        let single = (0..100).filter(|_| early.admit(Reason::IdentityMissing, source, at)).count();
        assert_eq!(single as u64, limits::PRE_IDENTITY_RECORDS.default);
        let mut tallies = early.take();
        let tally = tallies.pop().expect("one reason");
        assert_eq!(tally.counted.count, 100 - single as u64);
        early.put_back(tally);
        assert!(early.admit(Reason::IdentityMissing, source, at.plus_seconds(1)));
        assert_eq!(early.take().len(), 1);
        assert!(early.take().is_empty());
    }
}
