//! What a service manager is told over `NOTIFY_SOCKET` (sd_notify(3)): ready, reloading, stopping, still alive. Without
//! one, nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use crate::admin_client::AdminClient;

/// It takes calls. The words are what `systemctl status` shows.
pub fn ready(words: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(words)]);
}

/// It reads its configuration again. [`ready`] ends that, also where nothing came of it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager is not told of the reload"),
    }
}

/// What it is doing, before it takes calls.
pub fn status(words: &str) {
    tell(&[NotifyState::Status(words)]);
}

/// It takes no more calls.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing what is in flight")]);
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!(%error, "the service manager is not reached");
    }
}

/// Says that it is alive, as often as the service manager wants to hear it (`WatchdogSec=`), for as long as it answers.
/// Never ends.
pub async fn keep_alive<F: Future<Output = bool>>(answers: impl Fn() -> F) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    // half of it, as sd_watchdog_enabled(3) advises
    let mut due = interval((patience / 2).max(Duration::from_millis(1)));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        match tokio::time::timeout(patience / 2, answers()).await {
            Ok(true) => tell(&[NotifyState::Watchdog]),
            _ => tracing::warn!("it does not answer itself, and the service manager is not told that all is well"),
        }
    }
}

/// Whether the running process answers on its admin socket.
pub async fn admin_answers(client: AdminClient) -> bool {
    client.status().await.is_ok()
}
