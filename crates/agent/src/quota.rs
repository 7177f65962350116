//! Bounds on what one caller may have and ask for (WA-7).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use types::limits;

/// How many of something each process holds.
#[derive(Clone, Default)]
pub(crate) struct Shares(Arc<Mutex<HashMap<u32, usize>>>);

/// One of them; given back when dropped.
pub(crate) struct Share {
    shares: Shares,
    pid: u32,
}

impl Shares {
    /// One more for a process; `None` when it has `workload_streams` already.
    pub fn take(&self, pid: u32) -> Option<Share> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(pid).or_default();
        if *count >= limits::WORKLOAD_STREAMS.default_usize() {
            return None;
        }
        *count += 1;
        Some(Share { shares: self.clone(), pid })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.pid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.pid);
            }
        }
    }
}

/// Calls of the present second, by user.
#[derive(Default)]
pub(crate) struct Rate(Mutex<Window>);

#[derive(Default)]
struct Window {
    second: u64,
    calls: HashMap<u32, u64>,
}

impl Rate {
    /// Whether a user may make one more call in this second: at most `workload_calls`.
    pub fn admit(&self, uid: u32, second: u64) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.second != second {
            *window = Window { second, calls: HashMap::new() };
        }
        let calls = window.calls.entry(uid).or_default();
        *calls = calls.saturating_add(1);
        *calls <= limits::WORKLOAD_CALLS.default
    }
}

/// Removes from a full map what is no longer wanted; `true` when there is room for one more.
pub(crate) fn make_room<K: Eq + Hash, V>(map: &mut HashMap<K, V>, most: usize, wanted: impl Fn(&V) -> bool) -> bool {
    if map.len() >= most {
        map.retain(|_, value| wanted(value));
    }
    map.len() < most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_its_share_and_gives_it_back() {
        let shares = Shares::default();
        let held: Vec<_> = (0..64).map(|_| shares.take(7).unwrap()).collect();
        assert!(shares.take(7).is_none());
        assert!(shares.take(8).is_some());
        drop(held);
        assert!(shares.take(7).is_some());
        assert!(shares.0.lock().unwrap().is_empty(), "empty entries stay behind");
    }

    #[test]
    fn a_user_is_held_to_its_rate_and_no_other() {
        let rate = Rate::default();
        assert!((0..200).all(|_| rate.admit(1001, 5)));
        assert!(!rate.admit(1001, 5));
        assert!(rate.admit(1002, 5));
        assert!(rate.admit(1001, 6));
    }
}
