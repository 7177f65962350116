//! A flag that is raised once and can be waited for, on one worker: no lock, no atomics.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Context, Poll, Waker},
};

/// A flag with at most one waiter at a time.
#[derive(Default, Debug)]
pub struct Flag {
    raised: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Flag {
    /// Raises it, for good.
    pub fn raise(&self) {
        self.raised.set(true);
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }

    /// Ready once it is raised.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.raised.get() {
            return Poll::Ready(());
        }
        let mut waiter = self.waiter.borrow_mut();
        if !waiter.as_ref().is_some_and(|waiter| waiter.will_wake(cx.waker())) {
            *waiter = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Resolves once it is raised, at once if it was already.
    pub async fn raised(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn who_waits_is_woken_once_it_is_raised() {
        let flag = Flag::default();
        tokio::select! {
            biased;
            () = flag.raised() => panic!("nobody raised it"),
            () = ready(()) => {}
        }
        tokio::join!(flag.raised(), async { flag.raise() });
        flag.raised().await;
    }
}
