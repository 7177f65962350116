//! One signal that tells everything to finish.

use std::sync::Arc;

use tokio::sync::watch;

/// The side that asks. Dropping it asks too, so that nothing outlives its owner.
#[derive(Debug)]
pub struct Trigger(Arc<watch::Sender<bool>>);

/// The side that is asked; cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A new pair.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(Arc::new(sender)), Shutdown(receiver))
}

impl Trigger {
    /// Asks everything to finish. Asking twice is the same as once.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }

    /// Resolves when every [`Shutdown`] is dropped: everything has finished.
    pub async fn finished(&self) {
        self.0.closed().await;
    }
}

impl Shutdown {
    /// Whether it was asked.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Resolves when it is asked, at once if it was already.
    pub async fn asked(&mut self) {
        // an error means that the trigger is gone, which asks too
        let _ = self.0.wait_for(|asked| *asked).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn asking_and_dropping_both_resolve() {
        let (trigger, mut shutdown) = channel();
        assert!(!shutdown.is_asked());
        trigger.ask();
        shutdown.asked().await;
        let (trigger, mut shutdown) = channel();
        drop(trigger);
        shutdown.asked().await;
        assert!(shutdown.is_asked());
    }

    #[tokio::test]
    async fn finished_waits_for_the_last_clone() {
        let (trigger, shutdown) = channel();
        let clone = shutdown.clone();
        drop(shutdown);
        tokio::select! {
            biased;
            () = trigger.finished() => panic!("one is still there"),
            () = std::future::ready(()) => {}
        }
        drop(clone);
        trigger.finished().await;
    }
}
