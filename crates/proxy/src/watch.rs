//! An allowed exchange while it lives: its response is metered, its end is recorded, whatever the end is.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};
use trustdir::UpstreamUrl;
use types::{DecisionId, Reason, Recordable, facts};

use crate::{
    body::{BodyFault, Progress, Silence},
    pool::Sender,
    worker::Worker,
};

/// What a completion says when the caller went away before the end.
pub const CALLER_GONE: &str = "caller-gone";
/// What a completion says when the proxy stopped and the drain time was over before the end.
pub const STOPPED: &str = "stopped";

/// The pending completion of an allowed exchange. Dropping it writes the completion record: an exchange cannot end
/// without one.
pub struct Completion {
    worker: Rc<Worker>,
    id: DecisionId,
    started: Instant,
    request: Rc<Progress>,
    response_bytes: Cell<u64>,
    status: Cell<Option<u16>>,
    reason: Cell<&'static str>,
}

impl Completion {
    /// Starts counting. Until told otherwise, the exchange ended because the caller went away.
    pub fn new(worker: Rc<Worker>, id: DecisionId, request: Rc<Progress>) -> Self {
        Self {
            worker,
            id,
            started: Instant::now(),
            request,
            response_bytes: Cell::new(0),
            status: Cell::new(None),
            reason: Cell::new(CALLER_GONE),
        }
    }

    /// The upstream answered with this status.
    pub fn answered(&self, status: u16) {
        self.status.set(Some(status));
    }

    /// The exchange ended for this reason; `""` when it ended well.
    pub fn ended(&self, reason: &'static str) {
        self.reason.set(reason);
    }
}

impl Recordable for Completion {
    fn facts(&self) -> facts::Facts<'_> {
        facts::Facts::Completion(facts::Completion {
            id: self.id,
            status: self.status.get(),
            reason: self.reason.get(),
            micros: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            request_bytes: self.request.bytes.get(),
            response_bytes: self.response_bytes.get(),
        })
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if self.worker.is_cut() && self.reason.get() == CALLER_GONE {
            self.reason.set(STOPPED);
        }
        self.worker.record_completion(self);
    }
}

/// The upstream's response body on its way to the caller.
pub struct Watched {
    inner: Incoming,
    idle: Silence,
    deadline: Option<Pin<Box<Sleep>>>,
    connection: Option<(UpstreamUrl, Sender)>,
    completion: Completion,
}

impl Watched {
    /// Watches `inner`, which arrived on `connection`; `deadline` bounds the whole exchange.
    pub fn new(
        inner: Incoming,
        idle: Duration,
        deadline: Option<Instant>,
        connection: (UpstreamUrl, Sender),
        completion: Completion,
    ) -> Self {
        let deadline = deadline.map(|at| Box::pin(sleep_until(at)));
        let mut this = Self { inner, idle: Silence::new(idle), deadline, connection: Some(connection), completion };
        if this.inner.is_end_stream() {
            this.end_well();
        }
        this
    }

    fn end_well(&mut self) {
        self.completion.ended("");
        if let Some((upstream, sender)) = self.connection.take() {
            self.completion.worker.pool().put(&upstream, sender);
        }
    }

    fn fail(&mut self, reason: Reason) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.connection = None;
        self.completion.ended(reason.code());
        Poll::Ready(Some(Err(BodyFault(reason))))
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = self.get_mut();
        if this.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            return this.fail(Reason::UpstreamTimeout);
        }
        loop {
            return match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    this.idle.broken();
                    let bytes = &this.completion.response_bytes;
                    bytes.set(bytes.get().saturating_add(data.len() as u64));
                    if this.inner.is_end_stream() {
                        this.end_well();
                    }
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "upstream broke off its response");
                    this.fail(Reason::UpstreamFailed)
                }
                Poll::Ready(None) => {
                    this.end_well();
                    Poll::Ready(None)
                }
                Poll::Pending if this.idle.is_over(cx) => this.fail(Reason::UpstreamTimeout),
                Poll::Pending => Poll::Pending,
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
