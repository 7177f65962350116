//! Clocks for tests.

use std::sync::Mutex;
use std::time::SystemTime;

use types::{Clock, Timestamp};

/// Stands still until told otherwise.
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// Starts at a moment.
    pub const fn new(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }

    /// Moves to a moment, backwards too.
    pub fn set(&self, moment: Timestamp) {
        if let Ok(mut now) = self.0.lock() {
            *now = moment;
        }
    }

    /// Moves forward by whole seconds.
    pub fn advance(&self, seconds: u64) {
        self.set(self.now().plus_seconds(seconds));
    }
}

impl Default for ManualClock {
    /// 2026-03-02T09:00:00Z.
    fn default() -> Self {
        Self::new(Timestamp::from_seconds(1_772_442_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.lock().map(|now| *now).unwrap_or_default()
    }
}

/// The machine's own clock.
pub struct RealClock;

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "this is a clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}
