//! A role that serves until it is told to stop.

use super::signals::{Signal, Signals};
use crate::manager;

/// A running role.
pub trait Serving {
    /// What runs, for `systemctl status`.
    fn words(&self) -> String;

    /// What SIGHUP does. What came of it is in the log.
    async fn reload(&mut self);

    /// Ends in order.
    async fn stop(self);
}

/// Serves until a signal says stop, and reloads at SIGHUP.
pub async fn until_stopped(role: &mut impl Serving, signals: &mut Signals) {
    while signals.next().await == Signal::Hangup {
        manager::reloading();
        role.reload().await;
        manager::ready(&role.words());
    }
}

/// Stops in order; a second signal does not wait for what is in flight.
pub async fn stop(role: impl Serving, signals: &mut Signals) {
    manager::stopping();
    tokio::select! {
        () = role.stop() => {}
        () = signals.stop() => {}
    }
}
