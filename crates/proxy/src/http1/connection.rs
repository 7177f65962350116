//! One connection: read a head, let it be handled, write the response, and so on, strictly one after the other.
//!
//! A caller that only stops sending (a half-closed connection) still gets its answer. The handler is dropped when
//! the connection fails: a reset, a failed write, or TLS that ends without its closing message.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use types::limits::{self, Limit};

use super::{
    body::{RequestBody, Shared},
    head::{Head, HeadError, HeadLimits, HeadParser},
    timer::Timer,
    wire::{Ended, Gone, Wire},
    write::{Answer, Asked, Broken, Fill, Out},
};

/// What answers the requests of connections.
pub trait Handler {
    /// The body of the responses. A failing body cuts the connection off.
    type Body: Body<Data = Bytes>;

    /// Answers one request. The future is dropped when the caller goes away before it is ready.
    fn call(&self, head: Head, body: RequestBody) -> impl Future<Output = Response<Self::Body>>;

    /// Answers what is not an acceptable request. The connection closes afterwards.
    fn malformed(&self, error: &HeadError) -> Response<Self::Body>;

    /// The caller stays and takes nothing of the response, whose body is dropped now. The connection closes.
    fn stalled(&self) {}
}

/// Bounds of a connection.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bounds of heads.
    pub head: HeadLimits,
    /// Receiving a head, from its first byte.
    pub head_time: Duration,
    /// Silence between requests.
    pub keep_alive_time: Duration,
    /// Bytes of a request body, unless [`RequestBody::restrict`] says otherwise.
    pub body_bytes: u64,
    /// Silence in a request body, and a response that the caller does not take, unless [`RequestBody::restrict`] says
    /// otherwise.
    pub idle_time: Duration,
    /// Bytes of an unread request body that are thrown away to keep the connection.
    pub unread_body_bytes: u64,
    /// The time for that.
    pub unread_body_time: Duration,
    /// Bytes thrown away after the last response.
    pub linger_bytes: u64,
    /// The time for that.
    pub linger_time: Duration,
}

impl Default for Config {
    /// The registry of limits.
    fn default() -> Self {
        let time = |limit: Limit| Duration::from_millis(limit.default);
        Self {
            head: HeadLimits::default(),
            head_time: time(limits::HEAD_TIME),
            keep_alive_time: time(limits::KEEP_ALIVE_TIME),
            body_bytes: limits::BODY_BYTES.default,
            idle_time: time(limits::IDLE_TIME),
            unread_body_bytes: limits::UNREAD_BODY_BYTES.default,
            unread_body_time: time(limits::UNREAD_BODY_TIME),
            linger_bytes: limits::LINGER_BYTES.default,
            linger_time: time(limits::LINGER_TIME),
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The caller closed between two requests.
    CallerClosed,
    /// No request came for too long.
    Idle,
    /// We were asked to finish.
    Drained,
    /// The last response said that it was the last.
    Closed,
    /// Bytes that were no acceptable head; they were answered.
    Malformed(HeadError),
    /// The connection failed.
    Gone,
    /// The caller did not take the response.
    Stalled,
    /// The response could not be finished and was cut off.
    CutOff,
}

/// Serves one connection until it ends. `drain` is ready when no new request shall be taken: the exchange in hand is
/// finished and says `Connection: close`.
pub async fn serve<IO, H, D>(io: IO, handler: &H, config: &Config, drain: D) -> End
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Handler,
    D: Future<Output = ()>,
{
    let drain = pin!(drain);
    let mut connection = Connection {
        wire: Rc::new(RefCell::new(Wire::new(io))),
        config,
        parser: HeadParser::new(config.head),
        timer: Timer::default(),
        drain: Drain { signal: drain, given: false },
    };
    loop {
        if let Err(end) = connection.exchange(handler).await {
            connection.close(end).await;
            return end;
        }
    }
}

/// The wish to finish, which stays once it was given.
struct Drain<'a, D> {
    signal: Pin<&'a mut D>,
    given: bool,
}

impl<D: Future<Output = ()>> Drain<'_, D> {
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.given = self.given || self.signal.as_mut().poll(cx).is_ready();
        self.given
    }
}

struct Connection<'a, D> {
    wire: Shared,
    config: &'a Config,
    parser: HeadParser,
    timer: Timer,
    drain: Drain<'a, D>,
}

impl<D: Future<Output = ()>> Connection<'_, D> {
    /// One request and its response. An `Err` is the end of the connection.
    async fn exchange<H: Handler>(&mut self, handler: &H) -> Result<(), End> {
        let head = match self.read_head().await {
            Ok(head) => head,
            Err(End::Malformed(error)) => return self.refuse(handler, error).await,
            Err(end) => return Err(end),
        };
        let asked = Asked::by(&head);
        let keep_alive = head.keep_alive;
        let exchange = self.wire.borrow_mut().begin(&head, self.config.body_bytes, self.config.idle_time);
        let body = RequestBody::new(Rc::downgrade(&self.wire), exchange);
        let response = self.handle(handler.call(head, body)).await?;
        let close = self.respond(handler, response, asked, keep_alive).await?;
        self.finish_request(close).await
    }

    async fn refuse<H: Handler>(&mut self, handler: &H, error: HeadError) -> Result<(), End> {
        self.respond(handler, handler.malformed(&error), Asked::unknown(), false).await?;
        Err(End::Malformed(error))
    }

    async fn read_head(&mut self) -> Result<Head, End> {
        self.timer.restart(self.config.keep_alive_time);
        let mut begun = false;
        let head = poll_fn(|cx| self.poll_head(&mut begun, cx)).await;
        self.timer.stop();
        head
    }

    fn poll_head(&mut self, begun: &mut bool, cx: &mut Context<'_>) -> Poll<Result<Head, End>> {
        loop {
            let mut wire = self.wire.borrow_mut();
            let found = self.parser.advance(wire.input()).map_err(End::Malformed)?;
            if let Some(end) = found {
                let bytes = wire.take(end);
                return Poll::Ready(self.parser.finish(&bytes).map_err(End::Malformed));
            }
            if !*begun && self.parser.has_begun(wire.input()) {
                *begun = true;
                self.timer.restart(self.config.head_time);
            }
            match wire.ended() {
                Some(Ended::Eof) if *begun => return Poll::Ready(Err(End::Malformed(CUT_SHORT))),
                Some(Ended::Eof) => return Poll::Ready(Err(End::CallerClosed)),
                Some(Ended::Failed) => return Poll::Ready(Err(End::Gone)),
                None => {}
            }
            if wire.poll_head_bytes(cx).is_pending() {
                break;
            }
        }
        if !*begun && self.drain.poll(cx) {
            return Poll::Ready(Err(End::Drained));
        }
        self.timer.poll(cx).map(|()| Err(if *begun { End::Malformed(TOO_SLOW) } else { End::Idle }))
    }

    /// Waits for the handler, for as long as the caller is there.
    async fn handle<T>(&mut self, work: impl Future<Output = T>) -> Result<T, End> {
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Ok(response)),
            Poll::Pending => self.wire.borrow_mut().poll_watch(cx).map(|Gone| Err(End::Gone)),
        })
        .await
    }

    /// Writes a response while its body comes; gives whether the connection closes after it.
    async fn respond<H: Handler>(
        &mut self,
        handler: &H,
        response: Response<H::Body>,
        asked: Asked,
        keep_alive: bool,
    ) -> Result<bool, End> {
        let (parts, body) = response.into_parts();
        let mut body = pin!(body);
        let drained = poll_fn(|cx| Poll::Ready(self.drain.poll(cx))).await;
        let mut answer = self.begin_answer();
        let close = !keep_alive || drained || self.wire.borrow().cannot_go_on(self.config.unread_body_bytes);
        let close =
            answer.head(parts.status, parts.headers, &body.size_hint(), asked, close).map_err(|Broken| End::CutOff)?;
        let mut patient = true;
        let sent = poll_fn(|cx| self.poll_respond(&mut answer, body.as_mut(), &mut patient, cx)).await;
        if sent == Err(End::Stalled) {
            handler.stalled();
        }
        sent?;
        self.timer.stop();
        Ok(close)
    }

    fn begin_answer(&self) -> Answer {
        let mut wire = self.wire.borrow_mut();
        let mut out = Out::default();
        wire.begin_answer(&mut out);
        Answer::new(out, wire.writes_vectored())
    }

    fn poll_respond<B: Body<Data = Bytes>>(
        &mut self,
        answer: &mut Answer,
        mut body: Pin<&mut B>,
        patient: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), End>> {
        loop {
            let fill = answer.fill(body.as_mut(), cx).map_err(|Broken| End::CutOff)?;
            if std::mem::take(patient) && fill == Fill::Waiting {
                // the first bytes of the body often need one more turn of the task that reads them; head and body
                // then go out together
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let left = answer.out.len();
            let mut wire = self.wire.borrow_mut();
            match wire.poll_send(&mut answer.out, cx) {
                Poll::Ready(Err(Gone)) => return Poll::Ready(Err(End::Gone)),
                Poll::Ready(Ok(())) => match fill {
                    Fill::Ended => return Poll::Ready(Ok(())),
                    Fill::Full => continue,
                    Fill::Waiting => self.timer.stop(),
                },
                Poll::Pending if answer.out.len() < left => self.timer.restart(wire.incoming().idle()),
                Poll::Pending => self.timer.start(wire.incoming().idle()),
            }
            if self.timer.poll(cx).is_ready() {
                return Poll::Ready(Err(End::Stalled));
            }
            return wire.poll_watch(cx).map(|Gone| Err(End::Gone));
        }
    }

    /// The response is out; what is left of the request must not be taken for another one.
    async fn finish_request(&mut self, close: bool) -> Result<(), End> {
        let unread = {
            let mut wire = self.wire.borrow_mut();
            let incoming = wire.end();
            incoming.unlimit();
            !incoming.is_complete()
        };
        if close {
            return Err(if self.drain.given { End::Drained } else { End::Closed });
        }
        if !unread {
            return Ok(());
        }
        self.timer.restart(self.config.unread_body_time);
        let mut bytes = self.config.unread_body_bytes;
        let found = poll_fn(|cx| match self.wire.borrow_mut().poll_discard(&mut bytes, cx) {
            Poll::Pending => self.timer.poll(cx).map(|()| false),
            found => found,
        })
        .await;
        self.timer.stop();
        if found { Ok(()) } else { Err(End::Closed) }
    }

    /// Ends the connection as its end wants it. What was cut off gets no closing message, so that it cannot be taken
    /// for a whole response.
    async fn close(&mut self, end: End) {
        let lingers = match end {
            End::Gone | End::Stalled | End::CutOff => return,
            End::CallerClosed | End::Idle => false,
            End::Drained | End::Closed | End::Malformed(_) => true,
        };
        self.timer.restart(self.config.linger_time);
        let mut bytes = self.config.linger_bytes;
        let mut shut = false;
        poll_fn(|cx| {
            let mut wire = self.wire.borrow_mut();
            if !shut {
                match wire.poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => shut = true,
                    Poll::Ready(Err(Gone)) => return Poll::Ready(()),
                    Poll::Pending => return self.timer.poll(cx),
                }
            }
            if !lingers || wire.poll_linger(&mut bytes, cx).is_ready() {
                return Poll::Ready(());
            }
            self.timer.poll(cx)
        })
        .await;
    }
}

const CUT_SHORT: HeadError = HeadError::syntax("RFC 9112 8", "the head was cut short");
const TOO_SLOW: HeadError = HeadError::new(types::Reason::ParseHeadTimeout, "FR-11", "the head did not arrive in time");
