//! Telling the issuer what is held here, for the outage budget.

use core::convert::Infallible;
use core::time::Duration;
use std::sync::Arc;

use types::Timestamp;

use crate::hands::Hands;
use crate::state::Source;
use crate::stream::sleep_until;

/// How long changes are gathered, so that a hundred workloads that start are told once.
const GATHER: Duration = Duration::from_millis(100); // tidy: a pause, not a limit

/// Tells what is held, whole, at the start and whenever that changes: also when something of it ends.
pub(crate) async fn keep_telling(source: Arc<Source>, hands: Arc<Hands>) -> Infallible {
    let mut told = None;
    loop {
        let held = hands.held(source.clock.now());
        let next_end = held.iter().map(|held| held.not_after).min().unwrap_or(Timestamp::from_micros(u64::MAX));
        if told.as_ref() != Some(&held) {
            source.issuance.tell_held(held.clone());
            told = Some(held);
        }
        tokio::select! {
            () = hands.changed.notified() => tokio::time::sleep(GATHER).await,
            () = sleep_until(source.clock.as_ref(), next_end) => {}
        }
    }
}
