//! The two-way stream of a connection, with one read buffer, shared by the connection and the request body.
//!
//! Who reads: the connection between exchanges and once the body is complete or given up; the body in between. Who
//! writes: only the connection. So each direction has one waker at a time, as the runtime wants it.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use std::future::Future;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use types::limits;

use super::{
    body::{BodyError, Incoming, Piece},
    framing::Framing,
    head::Head,
    write::Out,
};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Room made for one read: heads are small, bodies come in TLS records of 16 KiB.
const HEAD_ROOM: usize = 4096;
const BODY_ROOM: usize = 16384;

/// A byte stream in both directions.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin + ?Sized> Duplex for T {}

/// How reading ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// The caller sends no more; it may still wait for an answer.
    Eof,
    /// A reset, or TLS cut off without its closing message.
    Failed,
}

/// The caller cannot be reached any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Gone;

pub(super) struct Wire<IO: ?Sized> {
    input: BytesMut,
    ended: Option<Ended>,
    incoming: Incoming,
    exchange: u64,
    /// The caller waits for `100 Continue` and has not got it.
    awaits_continue: bool,
    /// What is still to be written of `100 Continue`.
    interim: &'static [u8],
    /// The response has begun.
    answering: bool,
    connection: Option<Waker>,
    body: Option<Waker>,
    io: IO,
}

impl<IO> Wire<IO> {
    pub(super) fn new(io: IO) -> Self {
        Self {
            input: BytesMut::new(),
            ended: None,
            incoming: Incoming::new(Framing::None, 0, Duration::ZERO),
            exchange: 0,
            awaits_continue: false,
            interim: &[],
            answering: false,
            connection: None,
            body: None,
            io,
        }
    }
}

impl<IO: ?Sized> Drop for Wire<IO> {
    fn drop(&mut self) {
        if let Some(waker) = self.body.take() {
            waker.wake();
        }
    }
}

impl<IO: Duplex + ?Sized> Wire<IO> {
    pub(super) fn input(&self) -> &[u8] {
        &self.input
    }

    /// Takes `bytes` from the front of what was read.
    pub(super) fn take(&mut self, bytes: usize) -> Bytes {
        self.input.split_to(bytes.min(self.input.len())).freeze()
    }

    pub(super) const fn ended(&self) -> Option<Ended> {
        self.ended
    }

    pub(super) const fn exchange(&self) -> u64 {
        self.exchange
    }

    pub(super) const fn incoming(&self) -> &Incoming {
        &self.incoming
    }

    pub(super) const fn incoming_mut(&mut self) -> &mut Incoming {
        &mut self.incoming
    }

    /// Starts the exchange of `head`; gives its number.
    pub(super) const fn begin(&mut self, head: &Head, limit: u64, idle: Duration) -> u64 {
        self.incoming = Incoming::new(head.framing, limit, idle);
        self.awaits_continue = head.expect_continue;
        self.answering = false;
        self.exchange += 1;
        self.exchange
    }

    /// Ends the exchange: a body that somebody still holds is cut off. Gives the state of the body.
    pub(super) fn end(&mut self) -> &mut Incoming {
        self.exchange += 1;
        if let Some(waker) = self.body.take() {
            waker.wake();
        }
        &mut self.incoming
    }

    /// Reads more for a head.
    pub(super) fn poll_head_bytes(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_fill(cx, HEAD_ROOM)
    }

    /// Reads once; what came of it stands in the buffer or in [`Self::ended`].
    fn poll_fill(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<()> {
        if self.ended.is_some() {
            return Poll::Ready(());
        }
        if self.input.capacity() - self.input.len() < room / 4 {
            self.input.reserve(room);
        }
        let read = ready!(pin!(self.io.read_buf(&mut self.input)).poll(cx));
        match read {
            Ok(0) => self.ended = Some(Ended::Eof),
            Ok(_) => {}
            Err(_) => self.ended = Some(Ended::Failed),
        }
        Poll::Ready(())
    }

    /// The next piece of the body of `exchange`.
    pub(super) fn poll_body(&mut self, exchange: u64, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if exchange != self.exchange {
            return Poll::Ready(Some(Err(BodyError::Over)));
        }
        loop {
            match self.incoming.next(&mut self.input) {
                Ok(Piece::Data(data)) => {
                    self.awaits_continue = false;
                    self.wake_connection_when_settled(cx);
                    return Poll::Ready(Some(Ok(data)));
                }
                Ok(Piece::End) => {
                    self.wake_connection_when_settled(cx);
                    return Poll::Ready(None);
                }
                Ok(Piece::More) => {}
                Err(error) => {
                    self.wake_connection(cx);
                    return Poll::Ready(Some(Err(error)));
                }
            }
            match self.ended {
                Some(Ended::Eof) => drop(self.incoming.fail(BodyError::Truncated)),
                Some(Ended::Failed) => drop(self.incoming.fail(BodyError::Gone)),
                None => {
                    self.ask_for_body(cx);
                    if self.poll_fill(cx, BODY_ROOM).is_pending() {
                        self.body = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// RFC 9110 10.1.1: asked for when somebody wants the body, unless it comes anyway or the answer has begun.
    fn ask_for_body(&mut self, cx: &Context<'_>) {
        if self.awaits_continue && !self.answering {
            self.awaits_continue = false;
            if self.input.is_empty() {
                self.interim = CONTINUE;
                self.wake_connection(cx);
            }
        }
    }

    fn wake_connection_when_settled(&mut self, cx: &Context<'_>) {
        if self.incoming.is_complete() {
            self.wake_connection(cx);
        }
    }

    /// The connection may live in the very task that polls the body; it then looks around by itself.
    fn wake_connection(&mut self, cx: &Context<'_>) {
        if let Some(waker) = self.connection.take_if(|waker| !waker.will_wake(cx.waker())) {
            waker.wake();
        }
    }

    /// Nobody holds the body of `exchange` any more.
    pub(super) fn release_body(&mut self, exchange: u64) {
        if exchange == self.exchange {
            self.incoming.release();
            self.body = None;
            if let Some(waker) = self.connection.take() {
                waker.wake();
            }
        }
    }

    /// What the connection does while it waits for the handler or for the response's body: it sends `100 Continue` and
    /// looks whether the caller is still there. The end of the caller's sending alone is not its going away.
    pub(super) fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        if !self.connection.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.connection = Some(cx.waker().clone());
        }
        if self.poll_interim(cx) == Poll::Ready(Err(Gone)) {
            return Poll::Ready(Gone);
        }
        let connection_reads = self.incoming.is_complete() || self.incoming.is_released();
        while connection_reads && self.ended.is_none() && self.input.len() < limits::READ_AHEAD_BYTES.default_usize() {
            if self.poll_fill(cx, HEAD_ROOM).is_pending() {
                return Poll::Pending;
            }
        }
        if self.ended == Some(Ended::Failed) { Poll::Ready(Gone) } else { Poll::Pending }
    }

    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if self.interim.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.interim.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, self.interim));
            let written = written.ok().filter(|written| *written > 0).ok_or(Gone)?;
            self.interim = self.interim.get(written..).unwrap_or_default();
        }
        Pin::new(&mut self.io).poll_flush(cx).map_err(|_| Gone)
    }

    /// The response begins: `100 Continue` is forgotten where nothing of it was written; what is left of it otherwise
    /// goes first.
    pub(super) fn begin_answer(&mut self, out: &mut Out) {
        self.answering = true;
        if self.interim.len() == CONTINUE.len() {
            self.awaits_continue = true;
        } else {
            out.text(self.interim);
        }
        self.interim = &[];
    }

    /// Whether no other request can follow the present one, whatever happens.
    pub(super) fn cannot_go_on(&self, unread: u64) -> bool {
        if self.incoming.is_complete() {
            return self.ended.is_some() && self.input.is_empty();
        }
        let too_much_left = self.incoming.left().is_some_and(|left| left > unread);
        self.ended.is_some()
            || self.incoming.failure().is_some()
            || self.awaits_continue
            || (self.incoming.is_released() && too_much_left)
    }

    /// Writes all of `out` and flushes.
    pub(super) fn poll_send(&mut self, out: &mut Out, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        while !out.is_empty() {
            let written = ready!(out.poll_write(&mut self.io, cx));
            out.written(written.ok().filter(|written| *written > 0).ok_or(Gone)?);
        }
        Pin::new(&mut self.io).poll_flush(cx).map_err(|_| Gone)
    }

    /// Whether slices are written together.
    pub(super) fn writes_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// Throws the rest of the body away; true when its end was found within `bytes` read.
    pub(super) fn poll_discard(&mut self, bytes: &mut u64, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            match self.incoming.next(&mut self.input) {
                Ok(Piece::Data(_)) => continue,
                Ok(Piece::End) => return Poll::Ready(true),
                Ok(Piece::More) => {}
                Err(_) => return Poll::Ready(false),
            }
            if *bytes == 0 || self.ended.is_some() {
                return Poll::Ready(false);
            }
            let had = self.input.len();
            ready!(self.poll_fill(cx, BODY_ROOM));
            *bytes = bytes.saturating_sub((self.input.len() - had) as u64);
        }
    }

    /// Ends our side of the stream.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        Pin::new(&mut self.io).poll_shutdown(cx).map_err(|_| Gone)
    }

    /// Throws away what still comes, until the caller closes or `bytes` were read.
    pub(super) fn poll_linger(&mut self, bytes: &mut u64, cx: &mut Context<'_>) -> Poll<()> {
        while self.ended.is_none() && *bytes > 0 {
            self.input.clear();
            ready!(self.poll_fill(cx, BODY_ROOM));
            *bytes = bytes.saturating_sub(self.input.len() as u64);
        }
        Poll::Ready(())
    }
}
