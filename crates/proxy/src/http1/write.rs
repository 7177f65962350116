//! Responses as bytes: the head is written anew and the body is framed by us (FR-9).

use std::{
    fmt::Write as _,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body::{Body, SizeHint};

use super::{
    head::{Head, Version},
    hop,
    wire::Duplex,
};

/// Content up to this size is copied behind the text before it; a second slice would cost as much.
const SMALL: usize = 4096;
/// The same where slices cannot be written together: a TLS record.
const SMALL_WITHOUT_SLICES: usize = 16384;
/// No more text is collected than this before it is written.
const TEXT: usize = 16384;

/// Bytes on their way out: text that was collected, then perhaps one large piece of content.
#[derive(Default)]
pub(super) struct Out {
    text: BytesMut,
    content: Bytes,
    after: &'static [u8],
}

impl Out {
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.content.is_empty() && self.after.is_empty()
    }

    fn has_room(&self) -> bool {
        self.content.is_empty() && self.after.is_empty() && self.text.len() < TEXT
    }

    /// Adds text. There must be room.
    pub(super) fn text(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
    }

    fn content(&mut self, content: Bytes, after: &'static [u8], small: usize) {
        if content.len() <= small {
            self.text(&content);
            self.text(after);
        } else {
            (self.content, self.after) = (content, after);
        }
    }

    /// Writes what comes first, in one call where slices can be written together.
    pub(super) fn poll_write<IO: Duplex + ?Sized>(&self, io: &mut IO, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let parts = [self.text.as_ref(), self.content.as_ref(), self.after];
        let first = parts.into_iter().find(|part| !part.is_empty()).unwrap_or_default();
        let whole = first.len() == parts.iter().map(|part| part.len()).sum::<usize>();
        if whole || !io.is_write_vectored() {
            return Pin::new(io).poll_write(cx, first);
        }
        Pin::new(io).poll_write_vectored(cx, &parts.map(IoSlice::new))
    }

    /// Forgets the first `bytes`.
    pub(super) fn written(&mut self, bytes: usize) {
        let of_text = bytes.min(self.text.len());
        self.text.advance(of_text);
        let of_content = (bytes - of_text).min(self.content.len());
        self.content.advance(of_content);
        self.after = self.after.get(bytes - of_text - of_content..).unwrap_or_default();
    }

    /// Bytes that are left.
    pub(super) fn len(&self) -> usize {
        self.text.len() + self.content.len() + self.after.len()
    }
}

/// How the end of a response body is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framed {
    /// There is no body, whatever the fields say.
    Nothing,
    /// That many bytes are left.
    Length(u64),
    /// In chunks.
    Chunks,
    /// By the end of the connection; for HTTP/1.0 only.
    Close,
}

/// What about a request decides over the form of its response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    head_only: bool,
    version: Version,
}

impl Asked {
    pub(super) fn by(head: &Head) -> Self {
        Self { head_only: head.method == Method::HEAD, version: head.version }
    }

    /// Asked by something that is not a request.
    pub(super) const fn unknown() -> Self {
        Self { head_only: false, version: Version::Http11 }
    }

    fn framed(self, status: StatusCode, size: &SizeHint) -> Framed {
        if self.head_only || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Framed::Nothing;
        }
        match (size.exact(), self.version) {
            (Some(length), _) => Framed::Length(length),
            (None, Version::Http11) => Framed::Chunks,
            (None, Version::Http10) => Framed::Close,
        }
    }
}

/// Why a response cannot be finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Broken;

/// How far filling went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fill {
    /// There is enough to write.
    Full,
    /// The body has nothing more at the moment.
    Waiting,
    /// The response is complete.
    Ended,
}

/// A response that is being written.
pub(super) struct Answer {
    pub(super) out: Out,
    framed: Framed,
    ended: bool,
    small: usize,
}

impl Answer {
    pub(super) const fn new(out: Out, vectored: bool) -> Self {
        let small = if vectored { SMALL } else { SMALL_WITHOUT_SLICES };
        Self { out, framed: Framed::Nothing, ended: false, small }
    }

    /// Puts the head out; gives whether the connection closes after the response.
    ///
    /// # Errors
    /// An interim status, which cannot end an exchange.
    pub(super) fn head(
        &mut self,
        status: StatusCode,
        fields: HeaderMap,
        size: &SizeHint,
        asked: Asked,
        close: bool,
    ) -> Result<bool, Broken> {
        if status.is_informational() {
            return Err(Broken);
        }
        self.framed = asked.framed(status, size);
        let length = match self.framed {
            Framed::Length(length) => Some(length),
            Framed::Nothing if status == StatusCode::NO_CONTENT => None,
            Framed::Nothing => announced_length(&fields).or(size.exact().filter(|length| *length > 0)),
            Framed::Chunks | Framed::Close => None,
        };
        let close = close || self.framed == Framed::Close;
        let text = &mut self.out.text;
        let with_content = size.exact().and_then(|length| usize::try_from(length).ok());
        text.reserve(256 + fields.len() * 64 + with_content.filter(|length| *length <= self.small).unwrap_or(0));
        status_line(text, status);
        for (name, value) in &hop::end_to_end_response(fields) {
            if *name != header::CONTENT_LENGTH {
                field(text, name.as_str(), value.as_bytes());
            }
        }
        if let Some(length) = length {
            number(text, format_args!("content-length: {length}\r\n"));
        }
        if self.framed == Framed::Chunks {
            field(text, "transfer-encoding", b"chunked");
        }
        if close {
            field(text, "connection", b"close");
        }
        text.put_slice(b"\r\n");
        self.ended = matches!(self.framed, Framed::Nothing | Framed::Length(0));
        Ok(close)
    }

    /// Takes from the body what it has.
    ///
    /// # Errors
    /// A body that fails or has another length than it said.
    pub(super) fn fill<B: Body<Data = Bytes>>(
        &mut self,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Result<Fill, Broken> {
        while !self.ended {
            if !self.out.has_room() {
                return Ok(Fill::Full);
            }
            match body.as_mut().poll_frame(cx) {
                Poll::Pending => return Ok(Fill::Waiting),
                Poll::Ready(None) => self.end()?,
                Poll::Ready(Some(Err(_))) => return Err(Broken),
                // trailers are not passed on in HTTP/1.1
                Poll::Ready(Some(Ok(frame))) => self.data(frame.into_data().unwrap_or_default())?,
            }
        }
        Ok(Fill::Ended)
    }

    fn data(&mut self, data: Bytes) -> Result<(), Broken> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.framed {
            Framed::Nothing => return Err(Broken),
            Framed::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Broken)?;
                self.ended = *left == 0;
                self.out.content(data, b"", self.small);
            }
            Framed::Chunks => {
                number(&mut self.out.text, format_args!("{:x}\r\n", data.len()));
                self.out.content(data, b"\r\n", self.small);
            }
            Framed::Close => self.out.content(data, b"", self.small),
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Broken> {
        match self.framed {
            Framed::Length(left) if left > 0 => return Err(Broken),
            Framed::Chunks => self.out.text(b"0\r\n\r\n"),
            _ => {}
        }
        self.ended = true;
        Ok(())
    }
}

/// The length that the upstream names for a body that is not sent, as in the answer to HEAD.
fn announced_length(fields: &HeaderMap) -> Option<u64> {
    let value = fields.get(header::CONTENT_LENGTH).map(HeaderValue::as_bytes)?;
    str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

fn status_line(text: &mut BytesMut, status: StatusCode) {
    text.put_slice(b"HTTP/1.1 ");
    text.put_slice(status.as_str().as_bytes());
    text.put_slice(b" ");
    text.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    text.put_slice(b"\r\n");
}

/// Writes formatted text without a string in between.
fn number(text: &mut BytesMut, arguments: std::fmt::Arguments<'_>) {
    // INVARIANT: a `BytesMut` grows, so that formatting into it cannot fail
    let _ = text.write_fmt(arguments);
}

fn field(text: &mut BytesMut, name: &str, value: &[u8]) {
    text.put_slice(name.as_bytes());
    text.put_slice(b": ");
    text.put_slice(value);
    text.put_slice(b"\r\n");
}
