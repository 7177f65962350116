//! Bounds on what one caller may have and ask for (WA-7).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use types::limits::{self, Limit};

/// Processes that are being attested at once, each of another user.
const ATTESTED_AT_ONCE: usize = 4;

/// How many of something each holder has: a process, a user.
#[derive(Clone)]
pub(crate) struct Shares {
    most: usize,
    held: Arc<Mutex<HashMap<u32, usize>>>,
}

/// One of them; given back when dropped.
pub(crate) struct Share {
    shares: Shares,
    holder: u32,
}

impl Shares {
    /// As many for each holder as a limit says.
    pub fn of(limit: &Limit) -> Self {
        Self { most: limit.default_usize(), held: Arc::default() }
    }

    /// One more for a holder; `None` when it has all.
    pub fn take(&self, holder: u32) -> Option<Share> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(holder).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share { shares: self.clone(), holder })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.holder) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.holder);
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

/// Whose turn it is to be attested: one process of a user at a time, so that nobody who makes much work for the attestor
/// keeps others waiting.
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    users: Mutex<HashMap<u32, Weak<Semaphore>>>,
}

/// A turn; over when dropped.
pub(crate) struct Turn {
    _user: Option<OwnedSemaphorePermit>,
    _all: Option<OwnedSemaphorePermit>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(ATTESTED_AT_ONCE)), users: Mutex::default() }
    }
}

impl Turns {
    /// Waits for a turn. The user's comes first: who waits for that takes nothing from others.
    pub async fn take(&self, uid: u32) -> Turn {
        // Neither semaphore is ever closed, so that there is always a permit.
        let user = self.of(uid).acquire_owned().await.ok();
        Turn { _user: user, _all: Arc::clone(&self.all).acquire_owned().await.ok() }
    }

    fn of(&self, uid: u32) -> Arc<Semaphore> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = users.get(&uid).and_then(Weak::upgrade) {
            return semaphore;
        }
        users.retain(|_, semaphore| semaphore.strong_count() > 0);
        let semaphore = Arc::new(Semaphore::new(1));
        users.insert(uid, Arc::downgrade(&semaphore));
        semaphore
    }
}

/// Of the entries that `counts` is about, of which there may be so many, removes what is no longer wanted once there are as
/// many; `true` when there is room for one more.
pub(crate) fn make_room<K: Eq + Hash, V>(
    map: &mut HashMap<K, V>,
    most: usize,
    counts: impl Fn(&K) -> bool,
    wanted: impl Fn(&V) -> bool,
) -> bool {
    let is_full = |map: &HashMap<K, V>| map.keys().filter(|key| counts(key)).count() >= most;
    if is_full(map) {
        map.retain(|key, value| !counts(key) || wanted(value));
    }
    !is_full(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_its_share_and_gives_it_back() {
        let shares = Shares::of(&limits::WORKLOAD_STREAMS);
        let held: Vec<_> = (0..64).map(|_| shares.take(7).unwrap()).collect();
        assert!(shares.take(7).is_none());
        assert!(shares.take(8).is_some());
        drop(held);
        assert!(shares.take(7).is_some());
        assert!(shares.held.lock().unwrap().is_empty(), "empty entries stay behind");
    }

    #[test]
    fn a_user_is_held_to_its_rate_and_no_other() {
        let rate = Rate::default();
        assert!((0..200).all(|_| rate.admit(1001, 5)));
        assert!(!rate.admit(1001, 5));
        assert!(rate.admit(1002, 5));
        assert!(rate.admit(1001, 6));
    }

    #[tokio::test]
    async fn one_user_s_turn_keeps_no_other_waiting() {
        let turns = Turns::default();
        let held = turns.take(7).await;
        let mut next = Box::pin(turns.take(7));
        assert!(futures_poll(next.as_mut()).is_none());
        for other in 8..11 {
            drop(turns.take(other).await);
        }
        drop(held);
        drop(next.await);
        drop(turns.take(9).await);
        assert_eq!(turns.users.lock().unwrap().len(), 1, "users who are done stay behind");
    }

    /// Whether a future is ready at once.
    fn futures_poll<T>(future: core::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match future.poll(&mut core::task::Context::from_waker(core::task::Waker::noop())) {
            core::task::Poll::Ready(value) => Some(value),
            core::task::Poll::Pending => None,
        }
    }
}
