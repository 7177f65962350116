//! The chunked coding, decoded from raw bytes without I/O (FR-6, RFC 9112 7.1).
//!
//! Extensions and trailers are checked, bounded and dropped; they are never merged into anything.

use types::limits;

use super::{
    body::BodyError,
    syntax::{field_line, is_token, without_crlf},
};

/// More digits than a 64-bit size has.
const SIZE_DIGITS: usize = 16;

/// What stands at the front of the buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// That many bytes of framing; to be skipped.
    Skip(usize),
    /// That many bytes of content.
    Data(usize),
    /// More bytes are needed.
    More,
    /// The body is over; nothing of what follows belongs to it.
    End,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    SizeLine,
    Content,
    ContentEnd,
    Trailer,
    End,
}

/// A body in chunks.
#[derive(Clone, Debug)]
pub(super) struct Chunked {
    state: State,
    /// Bytes left of the chunk in hand.
    left: u64,
    /// Content announced by all chunks so far.
    announced: u64,
    /// Bytes of the trailer section so far.
    trailer: usize,
}

impl Chunked {
    pub(super) const fn new() -> Self {
        Self { state: State::SizeLine, left: 0, announced: 0, trailer: 0 }
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// Whether bytes of content come next.
    pub(super) const fn at_content(&self) -> bool {
        matches!(self.state, State::Content)
    }

    /// Judges the front of `buffer` and moves on; the caller takes away what the step says.
    ///
    /// # Errors
    /// Broken framing, more than `limit` bytes of content, too large a trailer section.
    pub(super) fn step(&mut self, buffer: &[u8], limit: u64) -> Result<Step, BodyError> {
        match self.state {
            State::SizeLine => self.size_line(buffer, limit),
            State::Content => Ok(self.content(buffer)),
            State::ContentEnd => self.content_end(buffer),
            State::Trailer => self.trailer(buffer),
            State::End => Ok(Step::End),
        }
    }

    fn size_line(&mut self, buffer: &[u8], limit: u64) -> Result<Step, BodyError> {
        let bound = limits::CHUNK_LINE_BYTES.default_usize();
        let Some(line) = take_line(buffer, bound, BodyError::Malformed("a chunk's size line is too long"))? else {
            return Ok(Step::More);
        };
        self.left = chunk_size(without_crlf(line).map_err(|error| BodyError::Malformed(error.detail))?)?;
        self.announced = self.announced.checked_add(self.left).ok_or(BodyError::TooLarge)?;
        if self.announced > limit {
            return Err(BodyError::TooLarge);
        }
        self.state = if self.left == 0 { State::Trailer } else { State::Content };
        Ok(Step::Skip(line.len()))
    }

    fn content(&mut self, buffer: &[u8]) -> Step {
        if buffer.is_empty() {
            return Step::More;
        }
        let here = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.left = self.left.saturating_sub(here as u64);
        if self.left == 0 {
            self.state = State::ContentEnd;
        }
        Step::Data(here)
    }

    fn content_end(&mut self, buffer: &[u8]) -> Result<Step, BodyError> {
        match buffer {
            [] | [b'\r'] => Ok(Step::More),
            [b'\r', b'\n', ..] => {
                self.state = State::SizeLine;
                Ok(Step::Skip(2))
            }
            _ => Err(BodyError::Malformed("a chunk that does not end where its size says")),
        }
    }

    fn trailer(&mut self, buffer: &[u8]) -> Result<Step, BodyError> {
        let bound = limits::TRAILER_BYTES.default_usize().saturating_sub(self.trailer);
        let Some(line) = take_line(buffer, bound, BodyError::TrailersTooLarge)? else { return Ok(Step::More) };
        self.trailer = self.trailer.saturating_add(line.len());
        let text = without_crlf(line).map_err(|error| BodyError::Malformed(error.detail))?;
        if text.is_empty() {
            self.state = State::End;
        } else {
            field_line(text).map_err(|error| BodyError::Malformed(error.detail))?;
        }
        Ok(Step::Skip(line.len()))
    }
}

/// The line at the front with its line feed, of at most `bound` bytes; `None` when there is more to come.
fn take_line(buffer: &[u8], bound: usize, too_long: BodyError) -> Result<Option<&[u8]>, BodyError> {
    let window = buffer.get(..bound).unwrap_or(buffer);
    match window.iter().position(|b| *b == b'\n') {
        Some(at) => Ok(window.get(..=at)),
        None if buffer.len() >= bound => Err(too_long),
        None => Ok(None),
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, BodyError> {
    let end = line.iter().position(|b| *b == b';').unwrap_or(line.len());
    let (digits, extensions) = line.split_at_checked(end).unwrap_or((line, &[]));
    if digits.is_empty() || digits.len() > SIZE_DIGITS {
        return Err(BodyError::Malformed("a chunk size that is not a number"));
    }
    check_extensions(extensions)?;
    digits.iter().try_fold(0_u64, |size, digit| {
        let digit =
            char::from(*digit).to_digit(16).ok_or(BodyError::Malformed("a chunk size that is not hexadecimal"))?;
        Ok(size << 4 | u64::from(digit))
    })
}

/// RFC 9112 7.1.1: `*( ";" name [ "=" ( token / quoted-string ) ] )`; the whitespace that it calls bad is refused.
fn check_extensions(mut rest: &[u8]) -> Result<(), BodyError> {
    const BROKEN: BodyError = BodyError::Malformed("a malformed chunk extension");
    while let Some((b';', extension)) = rest.split_first() {
        let end = extension.iter().position(|b| matches!(b, b';' | b'=')).unwrap_or(extension.len());
        let (name, after) = extension.split_at_checked(end).ok_or(BROKEN)?;
        if !is_token(name) {
            return Err(BROKEN);
        }
        rest = match after.split_first() {
            Some((b'=', value)) => skip_extension_value(value).ok_or(BROKEN)?,
            _ => after,
        };
    }
    if rest.is_empty() { Ok(()) } else { Err(BROKEN) }
}

/// What follows the value at the front of `text`.
fn skip_extension_value(text: &[u8]) -> Option<&[u8]> {
    if let Some((b'"', quoted)) = text.split_first() {
        return skip_quoted(quoted);
    }
    let end = text.iter().position(|b| *b == b';').unwrap_or(text.len());
    let (value, rest) = text.split_at_checked(end)?;
    is_token(value).then_some(rest)
}

/// What follows the closing quotation mark (RFC 9110 5.6.4).
fn skip_quoted(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        let (b, rest) = text.split_first()?;
        text = match b {
            b'"' => return Some(rest),
            b'\\' => rest.split_first().filter(|(b, _)| super::syntax::is_value_byte(**b))?.1,
            b if super::syntax::is_value_byte(*b) => rest,
            _ => return None,
        };
    }
}
