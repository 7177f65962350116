//! Bodies on their way through: the request body towards the upstream, with its limit and its clock, and the response
//! body towards the caller.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep, timeout};
use types::{Reason, limits};

use crate::{http1, watch::Watched};

/// Why a body did not reach its end: the reason that the exchange's completion gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("a body did not reach its end: {0}")]
pub struct BodyFault(pub Reason);

impl From<http1::BodyError> for BodyFault {
    fn from(error: http1::BodyError) -> Self {
        Self(error.reason().unwrap_or(Reason::LimitsBodyIncomplete))
    }
}

/// What is known of a request body while it streams; shared with the exchange that waits for the response.
#[derive(Debug)]
pub struct Progress {
    /// Bytes so far.
    pub bytes: Cell<u64>,
    /// Why it failed, if it did.
    pub fault: Cell<Option<BodyFault>>,
    /// Whether it reached its end.
    pub ended: Cell<bool>,
    /// Whether the exchange is over: what the caller still sends is no longer read.
    pub over: Cell<bool>,
    /// When the last bytes came.
    pub moved: Cell<Instant>,
    /// Whether the upstream waits for the caller's next bytes.
    pub awaited: Cell<bool>,
    /// Who waits for them.
    waiter: RefCell<Option<Waker>>,
}

impl Progress {
    /// Nothing yet.
    pub fn new() -> Rc<Self> {
        let moved = Cell::new(Instant::now());
        Rc::new(Self {
            bytes: Cell::new(0),
            fault: Cell::new(None),
            ended: Cell::new(false),
            over: Cell::new(false),
            moved,
            awaited: Cell::new(false),
            waiter: RefCell::new(None),
        })
    }

    /// What the caller still sends is no longer read, and whoever waits for it is told.
    pub fn stop(&self) {
        self.over.set(true);
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }

    fn wait(&self, cx: &Context<'_>) {
        self.awaited.set(true);
        let mut waiter = self.waiter.borrow_mut();
        if !waiter.as_ref().is_some_and(|waiter| waiter.will_wake(cx.waker())) {
            *waiter = Some(cx.waker().clone());
        }
    }

    /// Something came from the caller: bytes, or the end.
    fn came(&self) {
        self.moved.set(Instant::now());
        self.awaited.set(false);
    }
}

/// The body of a request as its protocol gives it.
pub enum Inbound {
    /// From our own HTTP/1.1 reader.
    Http1(http1::RequestBody),
    /// From HTTP/2.
    Http2(Http2Body),
}

/// The body of an HTTP/2 request, shared with who answers the request: a body that is dropped resets its stream, and a
/// caller that still sends may then lose the answer.
#[derive(Clone)]
pub struct Http2Body(Rc<RefCell<Incoming>>);

impl Http2Body {
    /// Wraps a body.
    pub fn new(incoming: Incoming) -> Self {
        Self(Rc::new(RefCell::new(incoming)))
    }

    /// The answer is there: where nobody wants the rest, some of it is thrown away to spare the caller a reset.
    pub fn answered(self) {
        if Rc::strong_count(&self.0) == 1 && !self.0.borrow().is_end_stream() {
            tokio::task::spawn_local(self.discard());
        }
    }

    async fn discard(self) {
        let mut left = limits::UNREAD_BODY_BYTES.default_usize();
        let rest = async {
            while let Some(Ok(frame)) = poll_fn(|cx| self.poll(cx)).await {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if left == 0 {
                    return;
                }
            }
        };
        // tolerated: a slow caller gets the reset after all
        let _ = timeout(Duration::from_millis(limits::UNREAD_BODY_TIME.default), rest).await;
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_frame(cx)
    }
}

impl Inbound {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match self {
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(BodyFault::from),
            Self::Http2(body) => body.poll(cx).map_err(|_| BodyFault(Reason::LimitsBodyIncomplete)),
        }
    }
}

/// A request body towards the upstream: counted, limited, timed. Trailers are dropped (FR-6).
pub struct UpstreamBody {
    inbound: Inbound,
    limit: u64,
    idle: Silence,
    progress: Rc<Progress>,
}

impl UpstreamBody {
    /// Wraps `inbound`; more than `limit` bytes or a silence of `idle` is a fault.
    pub fn new(mut inbound: Inbound, limit: u64, idle: Duration, progress: Rc<Progress>) -> Self {
        if let Inbound::Http1(body) = &mut inbound
            && let Err(error) = body.restrict(limit, idle)
        {
            progress.fault.set(Some(error.into()));
        }
        let this = Self { inbound, limit, idle: Silence::new(idle), progress };
        this.note_end();
        this
    }

    fn note_end(&self) {
        if self.is_end_stream() {
            self.progress.ended.set(true);
        }
    }

    fn fail(&self, fault: BodyFault) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.progress.fault.set(Some(fault));
        Poll::Ready(Some(Err(fault)))
    }

    fn take(&mut self, data: Bytes) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let bytes = self.progress.bytes.get().saturating_add(data.len() as u64);
        if bytes > self.limit {
            return self.fail(BodyFault(Reason::LimitsBody));
        }
        self.idle.broken();
        self.progress.bytes.set(bytes);
        self.progress.came();
        self.note_end();
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = self.get_mut();
        if this.progress.over.get() {
            return this.fail(BodyFault(Reason::LimitsBodyIncomplete));
        }
        loop {
            return match this.inbound.poll(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.take(data),
                    Err(_trailers) => continue,
                },
                Poll::Ready(Some(Err(fault))) => this.fail(fault),
                Poll::Ready(None) => {
                    this.progress.came();
                    this.progress.ended.set(true);
                    Poll::Ready(None)
                }
                Poll::Pending if this.idle.is_over(cx) => this.fail(BodyFault(Reason::LimitsBodyIncomplete)),
                Poll::Pending => {
                    this.progress.wait(cx);
                    Poll::Pending
                }
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inbound {
            Inbound::Http1(body) => body.is_end_stream(),
            Inbound::Http2(body) => body.0.borrow().is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inbound {
            Inbound::Http1(body) => body.size_hint(),
            Inbound::Http2(body) => body.0.borrow().size_hint(),
        }
    }
}

/// A bound on silence. The timer is made only when something has to be waited for.
pub struct Silence {
    bound: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    /// Not started.
    pub const fn new(bound: Duration) -> Self {
        Self { bound, timer: None }
    }

    /// Something was heard.
    pub fn broken(&mut self) {
        self.timer = None;
    }

    /// Whether the silence has lasted for the bound; wakes the task when it will have.
    pub fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let bound = self.bound;
        self.timer.get_or_insert_with(|| Box::pin(sleep(bound))).as_mut().poll(cx).is_ready()
    }
}

/// The body of a response.
pub enum ResponseBody {
    /// Our own words.
    Own(Full<Bytes>),
    /// The upstream's, watched to its end.
    Upstream(Box<Watched>),
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Upstream(body) => Pin::new(body.as_mut()).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Upstream(body) => body.size_hint(),
        }
    }
}
