//! A deadline that is cheap to move: the runtime's timer is touched only when it would fire too late.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline. Without one it never fires.
#[derive(Default, Debug)]
pub(super) struct Timer {
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// There is nothing to wait for.
    pub(super) const fn stop(&mut self) {
        self.deadline = None;
    }

    /// Starts to run for `time`, if it does not run.
    pub(super) fn start(&mut self, time: Duration) {
        if self.deadline.is_none() {
            self.deadline = Instant::now().checked_add(time);
        }
    }

    /// Runs for `time` from now on.
    pub(super) fn restart(&mut self, time: Duration) {
        self.stop();
        self.start(time);
    }

    /// Ready once the deadline has passed; wakes the task when it will have.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
