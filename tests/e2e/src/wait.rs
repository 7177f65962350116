//! Waiting on conditions.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it: only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks until there is a value.
///
/// # Panics
/// When there is none in time.
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, what, look)
}

/// Looks until there is a value, with a time of its own for what must take long.
///
/// # Panics
/// When there is none in time.
pub fn wait_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < patience, "waited {patience:?} for {what}");
        // tidy: the one pause of the harness, between two looks at a condition
        thread::sleep(PAUSE);
    }
}

/// Looks until it holds.
///
/// # Panics
/// When it does not hold in time.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, || holds().then_some(()));
}
