//! How fresh is what control said: moments by this machine's own clock, read on the request path without a lock.

use core::sync::atomic::{AtomicU64, Ordering};

use types::Timestamp;

/// When control was last heard. Ages run from the moments here, which outlive a restart on disk, and never from the start
/// of a process: one that was never heard is infinitely old.
#[derive(Debug, Default)]
pub struct Freshness {
    /// Microseconds since 1970; 0 for never.
    heard: AtomicU64,
    /// Microseconds since 1970; 0 for never.
    confirmed: AtomicU64,
}

impl Freshness {
    /// Never heard.
    pub const fn new() -> Self {
        Self { heard: AtomicU64::new(0), confirmed: AtomicU64::new(0) }
    }

    /// The signals in force were the latest at this moment.
    pub fn hear(&self, at: Timestamp) {
        self.heard.store(at.micros(), Ordering::Release);
    }

    /// The revision in force was the current one at this moment.
    pub fn confirm(&self, at: Timestamp) {
        self.confirmed.store(at.micros(), Ordering::Release);
    }

    /// Microseconds since the signals in force were known to be the latest. A moment in the future, which a clock that was
    /// set back leaves behind, is as good as never: nobody knows how old it is.
    pub fn signals_age(&self, now: Timestamp) -> u64 {
        age(self.heard.load(Ordering::Acquire), now)
    }

    /// Microseconds since the revision in force was known to be the current one, as [`Self::signals_age`].
    pub fn revision_age(&self, now: Timestamp) -> u64 {
        age(self.confirmed.load(Ordering::Acquire), now)
    }
}

/// Clocks are stepped by a little all the time: so much of the future counts as the present.
const STEP_MICROS: u64 = 2_000_000;

fn age(at: u64, now: Timestamp) -> u64 {
    match at {
        0 => u64::MAX,
        at if at > now.micros().saturating_add(STEP_MICROS) => u64::MAX,
        at => now.micros().saturating_sub(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_run_from_what_was_heard() {
        let (freshness, at) = (Freshness::new(), Timestamp::from_micros);
        assert_eq!(freshness.signals_age(at(10)), u64::MAX);
        freshness.hear(at(10));
        freshness.confirm(at(4));
        assert_eq!((freshness.signals_age(at(15)), freshness.revision_age(at(15))), (5, 11));
    }

    #[test]
    fn what_was_heard_in_the_future_is_as_good_as_never() {
        let freshness = Freshness::new();
        freshness.hear(Timestamp::from_micros(10_000_000));
        assert_eq!(freshness.signals_age(Timestamp::from_micros(9_000_000)), 0);
        assert_eq!(freshness.signals_age(Timestamp::from_micros(1_000_000)), u64::MAX);
    }
}
