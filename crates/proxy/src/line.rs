//! The line to a caller: what carries a response, and can be cut in the middle without a proper end.
//!
//! For HTTP/1.1 it is the connection, which closes; for HTTP/2 the stream, which is reset (RFC 9113 5.4.2). Whatever works
//! for the caller is a part of the future that [`Line::run`] drops, so that a cut also reaches a caller that takes nothing
//! and gives no window, and no byte moves after it.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
};

use crate::flag::Flag;

/// A line. See the module.
#[derive(Default, Debug)]
pub struct Line {
    cut: Flag,
    stalled: Cell<bool>,
}

tokio::task_local! {
    /// The line of the HTTP/2 stream to which the present task belongs.
    static STREAM: Rc<Line>;
}

impl Line {
    /// Cuts it. What runs on it is dropped before it is polled again.
    pub fn cut(&self) {
        self.cut.raise();
    }

    /// The caller stayed and took nothing for too long.
    pub fn stalled(&self) {
        self.stalled.set(true);
    }

    /// Whether the caller stayed and took nothing for too long.
    pub const fn is_stalled(&self) -> bool {
        self.stalled.get()
    }

    /// Does the work of the line until it is done, or the line is cut (`None`) and the work is to be dropped. It comes
    /// pinned, since a future that is passed by value takes its room twice.
    pub async fn run<F: Future>(&self, mut work: Pin<&mut F>) -> Option<F::Output> {
        poll_fn(|cx| match self.cut.poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => work.as_mut().poll(cx).map(Some),
        })
        .await
    }

    /// The same for an HTTP/2 stream, whose line the work finds with [`Line::of_stream`].
    pub async fn run_stream<F: Future<Output = ()>>(work: F) {
        let line = Rc::new(Self::default());
        STREAM.scope(Rc::clone(&line), async move { line.run(Box::pin(work).as_mut()).await }).await;
    }

    /// The line of the stream in whose task this is called; one that nothing runs on elsewhere.
    pub fn of_stream() -> Rc<Self> {
        STREAM.try_with(Rc::clone).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, pin::pin};

    use super::*;

    #[tokio::test]
    async fn a_cut_drops_the_work_before_it_moves_again() {
        let (line, moves) = (Line::default(), Cell::new(0));
        let work = async {
            moves.set(moves.get() + 1);
            tokio::task::yield_now().await;
            moves.set(moves.get() + 1);
            pending::<()>().await;
        };
        let work = pin!(work);
        let (done, ()) = tokio::join!(line.run(work), async { line.cut() });
        assert_eq!((done, moves.get()), (None, 1));
        assert_eq!(Line::default().run(pin!(async { 7 })).await, Some(7));
    }

    #[tokio::test]
    async fn a_stream_finds_its_own_line() {
        let reached = Cell::new(false);
        Line::run_stream(async {
            Line::of_stream().cut();
            tokio::task::yield_now().await;
            reached.set(true);
        })
        .await;
        assert!(!reached.get());
    }
}
