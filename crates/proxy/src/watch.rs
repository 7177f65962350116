//! An allowed exchange while it lives: its response is metered, its end is recorded, whatever the end is.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use policy::Permit;
use record::Recorded;
use tokio::time::{Instant, Sleep, sleep_until};
use trustdir::UpstreamUrl;
use types::{Failure, Reason, Recordable, facts, facts::Protocol};

use crate::{
    body::{BodyFault, Progress, Silence},
    line::Line,
    pool::Sender,
    registry::{Cut, Open, Registered},
    standing::Standing,
    worker::Worker,
};

/// The pending completion of an allowed exchange. Dropping it writes the completion record: an exchange cannot end
/// without one.
pub struct Completion {
    worker: Rc<Worker>,
    open: Registered<Open>,
    started: Instant,
    response_bytes: Cell<u64>,
    status: Cell<Option<u16>>,
    failure: Cell<Option<Failure>>,
    cut: Cell<Option<Cut>>,
}

impl Completion {
    /// Registers the exchange and starts counting. Until told otherwise, it ended because the caller went away.
    pub fn new(
        worker: Rc<Worker>,
        permit: Recorded<Permit>,
        caller: Option<Rc<Standing>>,
        line: Rc<Line>,
        request: Rc<Progress>,
    ) -> Self {
        worker.counters().exchange_opened();
        Self {
            open: worker.registry().open(permit, caller, line, request),
            worker,
            started: Instant::now(),
            response_bytes: Cell::new(0),
            status: Cell::new(None),
            failure: Cell::new(Some(Failure::CallerGone)),
            cut: Cell::new(None),
        }
    }

    /// The exchange as it is registered.
    pub const fn open(&self) -> &Rc<Open> {
        self.open.get()
    }

    /// The upstream answered with this status.
    pub fn answered(&self, status: u16) {
        self.status.set(Some(status));
    }

    /// The exchange ended well.
    pub fn ended_well(&self) {
        self.failure.set(None);
    }

    /// The exchange failed.
    pub fn failed(&self, failure: impl Into<Failure>) {
        self.failure.set(Some(failure.into()));
    }
}

impl Completion {
    /// An exchange that is dropped before its end has no failure of its own: the cause is found here.
    fn name_the_end(&self) {
        let gone = self.failure.get() == Some(Failure::CallerGone);
        match self.open().is_cut() {
            Some(cut) if gone || self.failure.get().is_none() => {
                self.cut.set(Some(cut));
                self.failed(cut.reason);
            }
            _ if gone && self.open().line().is_stalled() => self.failed(Failure::CallerStalled),
            _ if gone && self.worker.is_cut() => self.failed(Failure::Stopped),
            _ => {}
        }
    }
}

impl Recordable for Completion {
    fn facts(&self) -> facts::Facts<'_> {
        facts::Facts::Completion(facts::Completion {
            id: self.open().permit().get().situated().accepted().id,
            status: self.status.get(),
            reason: self.failure.get().map_or("", Failure::code),
            micros: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            request_bytes: self.open().request().bytes.get(),
            response_bytes: self.response_bytes.get(),
            revision: self.cut.get().map(|cut| cut.revision),
            epoch: self.cut.get().map(|cut| cut.epoch),
        })
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.worker.registry().end(&self.open);
        self.name_the_end();
        self.worker.counters().exchange_ended(self.failure.get(), self.cut.get().is_some());
        self.worker.record_completion(self);
    }
}

/// The upstream's response body on its way to the caller.
pub struct Watched {
    flow: Rc<RefCell<Flow>>,
    silence: Silence,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// What ends when the exchange ends: the upstream's side and the record.
struct Flow {
    inner: Option<Incoming>,
    connection: Option<(UpstreamUrl, Sender)>,
    completion: Completion,
    /// When the caller last asked for more.
    asked: Instant,
}

impl Flow {
    /// The response is complete. A connection whose request is not is no good for another one, and what the caller still
    /// sends is no longer read.
    fn end_well(&mut self) {
        self.completion.ended_well();
        let request = self.completion.open().request();
        let whole = request.ended.get();
        if !whole {
            request.stop();
        }
        if let Some((upstream, sender)) = self.connection.take().filter(|_| whole) {
            self.completion.worker.pool().put(&upstream, sender);
        }
    }

    fn fail(&mut self, reason: Reason) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.cut(reason.into());
        Poll::Ready(Some(Err(BodyFault(reason))))
    }

    /// Lets go of the upstream.
    fn cut(&mut self, failure: Failure) {
        self.inner = None;
        self.connection = None;
        self.completion.failed(failure);
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_some_and(Incoming::is_end_stream)
    }
}

impl Watched {
    /// Watches `inner`, which arrived on `connection`; `deadline` bounds the whole exchange.
    pub fn new(
        inner: Incoming,
        idle: Duration,
        deadline: Option<Instant>,
        connection: (UpstreamUrl, Sender),
        completion: Completion,
        protocol: Protocol,
    ) -> Self {
        let mut flow = Flow { inner: Some(inner), connection: Some(connection), completion, asked: Instant::now() };
        flow.completion.open().begin_answer();
        let ended = flow.is_end_stream();
        if ended {
            flow.end_well();
        }
        let flow = Rc::new(RefCell::new(flow));
        if !ended && protocol == Protocol::Http2 {
            // HTTP/2 does not poll a body for which the caller gives no window; HTTP/1.1 bounds its writes itself
            tokio::task::spawn_local(guard(Rc::downgrade(&flow), idle, deadline));
        }
        Self { flow, silence: Silence::new(idle), deadline: deadline.map(|at| Box::pin(sleep_until(at))) }
    }
}

/// Cuts the exchange when the caller asks for nothing for `idle`, or the deadline is over.
async fn guard(flow: Weak<RefCell<Flow>>, idle: Duration, deadline: Option<Instant>) {
    loop {
        let Some(until) = flow.upgrade().map(|flow| flow.borrow().asked + idle) else { return };
        sleep_until(deadline.map_or(until, |deadline| deadline.min(until))).await;
        let Some(flow) = flow.upgrade() else { return };
        let mut flow = flow.borrow_mut();
        let now = Instant::now();
        if flow.is_end_stream() || flow.inner.is_none() {
            return;
        }
        let failure = if deadline.is_some_and(|deadline| deadline <= now) {
            Failure::from(Reason::UpstreamTimeout)
        } else if flow.asked + idle <= now {
            Failure::CallerStalled
        } else {
            continue;
        };
        flow.cut(failure);
        flow.completion.open().line().cut();
        return;
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = self.get_mut();
        let flow = &mut *this.flow.borrow_mut();
        flow.asked = Instant::now();
        if this.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            return flow.fail(Reason::UpstreamTimeout);
        }
        loop {
            let Some(inner) = &mut flow.inner else {
                return Poll::Ready(Some(Err(BodyFault(Reason::UpstreamTimeout))));
            };
            return match Pin::new(inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    this.silence.broken();
                    let bytes = &flow.completion.response_bytes;
                    bytes.set(bytes.get().saturating_add(data.len() as u64));
                    if flow.is_end_stream() {
                        flow.end_well();
                    }
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "upstream broke off its response");
                    flow.fail(Reason::UpstreamFailed)
                }
                Poll::Ready(None) => {
                    flow.end_well();
                    Poll::Ready(None)
                }
                Poll::Pending if this.silence.is_over(cx) => flow.fail(Reason::UpstreamTimeout),
                Poll::Pending => Poll::Pending,
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        self.flow.borrow().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.flow.borrow().inner.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
