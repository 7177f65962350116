//! Fetches bundles when they are due: one attempt each interval, whether it succeeds or not (BU-8).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use trustdir::Profile;
use types::limits;

use super::entries::Due;
use super::fetch::{FetchError, fetch};
use super::proof;
use crate::service::Control;

/// How long one fetch may take.
const PATIENCE: Duration = Duration::from_millis(limits::FEDERATION_FETCH_TIME.default);

/// Keeps the bundles of federated trust domains up to date until `finishing` becomes true, or its sender is gone. Once for
/// a process.
pub async fn keep_federated(control: Arc<Control>, mut finishing: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(limits::FEDERATION_FETCHES.default_usize()));
    let mut fetches = JoinSet::new();
    loop {
        while fetches.try_join_next().is_some() {}
        let (due, next) = control.federation.due(Instant::now());
        for due in due {
            let (control, room) = (Arc::clone(&control), Arc::clone(&room));
            fetches.spawn(async move {
                let _room = room.acquire_owned().await;
                refresh(control, due, PATIENCE).await;
            });
        }
        let idle = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = idle => {}
            () = control.federation.wake.notified() => {}
            _ = finishing.wait_for(|finish| *finish) => return,
        }
    }
}

/// One attempt, taken into force off the threads that carry connections.
pub(super) async fn refresh(control: Arc<Control>, due: Due, patience: Duration) {
    let (name, taker) = (due.federation.trust_domain.clone(), Arc::clone(&control));
    let came = attempt(&control, &due, patience).await;
    let taking = tokio::task::spawn_blocking(move || taker.fetched(&due, came));
    if let Err(error) = taking.await {
        tracing::error!(trust_domain = %name, %error, "taking a bundle over failed");
        control.federation.again(&name);
    }
}

async fn attempt(control: &Arc<Control>, due: &Due, patience: Duration) -> Result<String, FetchError> {
    let (federation, clock) = (due.federation.clone(), Arc::clone(&control.parts.clock));
    let tls = match &federation.profile {
        Profile::HttpsSpiffe { endpoint_id } => proof::spiffe(endpoint_id, due.bundles.clone(), &clock)?,
        Profile::HttpsWeb { roots } => {
            let roots = roots.clone();
            // the system's roots are files
            let made = tokio::task::spawn_blocking(move || proof::web(roots.as_deref(), &clock)).await;
            made.map_err(|error| FetchError::Handshake(std::io::Error::other(error)))??
        }
    };
    fetch(&federation.url, federation.private_network, Arc::new(tls), patience).await
}
