//! The body of a request, read from its connection while it is polled (FR-3, FR-6, FR-11).

use std::{
    cell::RefCell,
    fmt,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;
use types::Reason;

use super::{
    chunked::{Chunked, Step},
    framing::Framing,
    timer::Timer,
    wire::{Duplex, Wire},
};

/// Why a request body did not reach its end. It never looks like an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum BodyError {
    /// More bytes than the limit, announced or received.
    #[error("the request body is larger than its limit")]
    TooLarge,
    /// More bytes of trailers than the limit.
    #[error("the request's trailers are too large")]
    TrailersTooLarge,
    /// The chunked coding is broken.
    #[error("the request body is malformed: {0}")]
    Malformed(&'static str),
    /// The caller ended its side of the connection before the end of the body.
    #[error("the request body was cut short")]
    Truncated,
    /// The caller sent nothing for too long.
    #[error("the request body stopped arriving")]
    Timeout,
    /// The connection failed.
    #[error("the caller is gone")]
    Gone,
    /// The response was complete before the body was.
    #[error("the exchange is over")]
    Over,
}

impl BodyError {
    /// The reason to answer with; none where nobody waits for an answer.
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::TooLarge => Some(Reason::LimitsBody),
            Self::TrailersTooLarge => Some(Reason::LimitsTrailers),
            Self::Malformed(_) => Some(Reason::ParseFraming),
            Self::Truncated | Self::Timeout => Some(Reason::LimitsBodyIncomplete),
            Self::Gone | Self::Over => None,
        }
    }
}

#[derive(Debug)]
enum Decoder {
    Length(u64),
    Chunked(Chunked),
}

/// What the decoder finds in the bytes at hand.
#[derive(Debug)]
pub(super) enum Piece {
    Data(Bytes),
    More,
    End,
}

/// The state of the present request's body: pure, reads nothing itself.
#[derive(Debug)]
pub(super) struct Incoming {
    decoder: Decoder,
    limit: u64,
    idle: Duration,
    received: u64,
    failure: Option<BodyError>,
    released: bool,
}

impl Incoming {
    pub(super) const fn new(framing: Framing, limit: u64, idle: Duration) -> Self {
        let decoder = match framing {
            Framing::None => Decoder::Length(0),
            Framing::Length(length) => Decoder::Length(length),
            Framing::Chunked => Decoder::Chunked(Chunked::new()),
        };
        Self { decoder, limit, idle, received: 0, failure: None, released: false }
    }

    /// Takes the next piece out of `input`.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Piece, BodyError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let piece = self.decode(input).inspect_err(|error| self.failure = Some(*error))?;
        if let Piece::Data(data) = &piece {
            self.received = self.received.saturating_add(data.len() as u64);
            self.settle(input);
        }
        Ok(piece)
    }

    fn decode(&mut self, input: &mut BytesMut) -> Result<Piece, BodyError> {
        match &mut self.decoder {
            Decoder::Length(0) => Ok(Piece::End),
            Decoder::Length(left) if self.received.saturating_add(*left) > self.limit => Err(BodyError::TooLarge),
            Decoder::Length(_) if input.is_empty() => Ok(Piece::More),
            Decoder::Length(left) => {
                let here = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left = left.saturating_sub(here as u64);
                Ok(Piece::Data(input.split_to(here).freeze()))
            }
            Decoder::Chunked(chunked) => loop {
                match chunked.step(input, self.limit)? {
                    Step::Skip(bytes) => input.advance(bytes.min(input.len())),
                    Step::Data(bytes) => return Ok(Piece::Data(input.split_to(bytes.min(input.len())).freeze())),
                    Step::More => return Ok(Piece::More),
                    Step::End => return Ok(Piece::End),
                }
            },
        }
    }

    /// Takes the framing after a piece at once where it is there, so that the end is known with the last piece.
    fn settle(&mut self, input: &mut BytesMut) {
        let Decoder::Chunked(chunked) = &mut self.decoder else { return };
        while !chunked.at_content() {
            match chunked.step(input, self.limit) {
                Ok(Step::Skip(bytes)) => input.advance(bytes.min(input.len())),
                Ok(_) => return,
                Err(error) => {
                    self.failure = Some(error);
                    return;
                }
            }
        }
    }

    /// Whether all of it was taken.
    pub(super) const fn is_complete(&self) -> bool {
        self.failure.is_none()
            && match &self.decoder {
                Decoder::Length(left) => *left == 0,
                Decoder::Chunked(chunked) => chunked.is_over(),
            }
    }

    /// The bytes left, where they are known.
    pub(super) const fn left(&self) -> Option<u64> {
        match &self.decoder {
            Decoder::Length(left) => Some(*left),
            Decoder::Chunked(chunked) if chunked.is_over() => Some(0),
            Decoder::Chunked(_) => None,
        }
    }

    pub(super) const fn failure(&self) -> Option<BodyError> {
        self.failure
    }

    pub(super) fn fail(&mut self, error: BodyError) -> BodyError {
        *self.failure.get_or_insert(error)
    }

    pub(super) const fn idle(&self) -> Duration {
        self.idle
    }

    /// Nobody will ask for the rest.
    pub(super) const fn release(&mut self) {
        self.released = true;
    }

    pub(super) const fn is_released(&self) -> bool {
        self.released
    }

    /// The rest is only to be thrown away: no limit but the caller's.
    pub(super) const fn unlimit(&mut self) {
        self.limit = u64::MAX;
    }

    fn restrict(&mut self, limit: u64, idle: Duration) -> Result<(), BodyError> {
        (self.limit, self.idle) = (limit, idle);
        match self.decoder {
            Decoder::Length(left) if self.received.saturating_add(left) > limit => Err(self.fail(BodyError::TooLarge)),
            _ => self.failure.map_or(Ok(()), Err),
        }
    }
}

/// The stream of a connection as its parts share it.
pub(super) type Shared = Rc<RefCell<Wire<dyn Duplex>>>;

/// The body of one request.
///
/// It reads only while it is polled, so a slow reader slows the caller down. `Expect: 100-continue` is answered when it
/// is polled for the first time. Once the response is complete it gives [`BodyError::Over`].
pub struct RequestBody {
    // weak: the stream closes with its connection, whoever still holds a body
    wire: Weak<RefCell<Wire<dyn Duplex>>>,
    exchange: u64,
    timer: Timer,
}

impl RequestBody {
    pub(super) fn new(wire: Weak<RefCell<Wire<dyn Duplex>>>, exchange: u64) -> Self {
        Self { wire, exchange, timer: Timer::default() }
    }

    /// Sets the limit in bytes and the longest silence, instead of those of the connection's configuration. The same
    /// silence bounds how long the caller may leave the response lying.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] when the announced length is above the limit already.
    pub fn restrict(&mut self, limit: u64, idle: Duration) -> Result<(), BodyError> {
        self.present(|incoming| incoming.restrict(limit, idle)).unwrap_or(Err(BodyError::Over))
    }

    /// Asks the present exchange, if it is still the one of this body.
    fn present<T>(&self, ask: impl FnOnce(&mut Incoming) -> T) -> Option<T> {
        let wire = self.wire.upgrade()?;
        let mut wire = wire.borrow_mut();
        (wire.exchange() == self.exchange).then(|| ask(wire.incoming_mut()))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(wire) = this.wire.upgrade() else { return Poll::Ready(Some(Err(BodyError::Over))) };
        let polled = wire.borrow_mut().poll_body(this.exchange, cx);
        if polled.is_ready() {
            this.timer.stop();
            return polled.map_ok(Frame::data);
        }
        let idle = this.present(|incoming| incoming.idle()).unwrap_or_default();
        this.timer.start(idle);
        if this.timer.poll(cx).is_pending() {
            return Poll::Pending;
        }
        let error = this.present(|incoming| incoming.fail(BodyError::Timeout)).unwrap_or(BodyError::Over);
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.present(|incoming| incoming.is_complete()).unwrap_or(false)
    }

    fn size_hint(&self) -> SizeHint {
        match self.present(|incoming| incoming.left()).flatten() {
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(wire) = self.wire.upgrade() {
            wire.borrow_mut().release_body(self.exchange);
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}
