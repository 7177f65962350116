//! What is in whose hands: the SVIDs that open connections were shown last. The outage budget is counted from it.
//!
//! A connection and not a stream is what counts: many clients fetch once, keep their connection, and fetch again later.
//! Who hung up takes part no longer, since nothing could be pushed to it.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use api::issuance::{HeldSvid, Svid};
use tokio::sync::Notify;
use types::Timestamp;

use crate::wallet::Handed;

/// All connections.
#[derive(Default)]
pub(crate) struct Hands {
    shown: Mutex<HashMap<u64, Vec<Handed>>>,
    next: AtomicU64,
    /// Told whenever something may have changed.
    pub changed: Notify,
}

/// One connection, for as long as it is open.
pub(crate) struct Hand {
    hands: Arc<Hands>,
    number: u64,
}

impl Hands {
    /// A connection that was shown nothing yet.
    pub fn open(self: &Arc<Self>) -> Hand {
        Hand { hands: Arc::clone(self), number: self.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// What is held and still good, sorted, each once.
    pub fn held(&self, now: Timestamp) -> Vec<HeldSvid> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let all = shown.values().flatten().map(|handed| &handed.held).filter(|held| held.svid.not_after > now);
        let held: BTreeSet<HeldSvid> =
            all.map(|held| told(&held.svid, held.failures.load(Ordering::Relaxed))).collect();
        held.into_iter().collect()
    }
}

impl Hand {
    /// Shows the full state: what was shown before counts no more.
    pub fn show(&self, handed: Vec<Handed>) {
        self.hands.shown.lock().unwrap_or_else(PoisonError::into_inner).insert(self.number, handed);
        self.hands.changed.notify_one();
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let removed = self.hands.shown.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
        if removed.is_some() {
            self.hands.changed.notify_one();
        }
    }
}

fn told(svid: &Svid, failures: u32) -> HeldSvid {
    HeldSvid { spiffe_id: svid.spiffe_id.clone(), serial: svid.serial.clone(), not_after: svid.not_after, failures }
}
