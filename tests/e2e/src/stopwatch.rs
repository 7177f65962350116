//! Times that are measured, printed, and held against a bound.

use std::io::Write;
use std::time::{Duration, Instant};

/// Times of one kind.
#[derive(Clone, Debug)]
pub struct Stopwatch {
    what: String,
    times: Vec<Duration>,
}

impl Stopwatch {
    /// For times of this kind.
    pub fn of(what: impl Into<String>) -> Self {
        Self { what: what.into(), times: Vec::new() }
    }

    /// Adds a time.
    pub fn add(&mut self, time: Duration) {
        self.times.push(time);
    }

    /// Adds how long after a moment something happened; nothing where it happened before.
    pub fn add_after(&mut self, from: Instant, happened: Instant) {
        self.add(happened.saturating_duration_since(from));
    }

    /// The longest.
    pub fn worst(&self) -> Duration {
        self.times.iter().max().copied().unwrap_or_default()
    }

    /// The middle one.
    pub fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    /// Prints median and worst.
    pub fn print(&self) {
        let (median, worst) = (self.median().as_secs_f64() * 1e3, self.worst().as_secs_f64() * 1e3);
        say(&format!("{}: median {median:.1} ms, worst {worst:.1} ms of {}", self.what, self.times.len()));
    }

    /// Looks that there are times, and that none is longer than allowed.
    ///
    /// # Panics
    /// When one is.
    pub fn within(&self, bound: Duration) {
        assert!(!self.times.is_empty(), "{}: nothing was measured", self.what);
        assert!(self.worst() <= bound, "{}: {:?} is longer than {bound:?}", self.what, self.worst());
    }
}

/// Prints a figure past the test runner's capture.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
