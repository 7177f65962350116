//! What a head says about the length of its body and about the connection: FR-1 to FR-3, FR-5 and FR-7.

use http::{HeaderName, HeaderValue, header};
use types::Reason;

use super::{
    head::{HeadError, Version},
    syntax::{is_token, trim},
};

/// How the end of a request body is found (RFC 9112 6.3). A request is never delimited by the end of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// There is no body.
    None,
    /// That many bytes; may be 0.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// The fields of a head that the connection itself has to understand.
#[derive(Default)]
pub(super) struct Control {
    length: Option<u64>,
    chunked: bool,
    host: Option<HeaderValue>,
    close: bool,
    expect: bool,
}

impl Control {
    /// Looks at one field.
    ///
    /// # Errors
    /// Repeated or invalid framing fields, a repeated Host, a malformed Connection, an unknown expectation.
    pub(super) fn take(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), HeadError> {
        match *name {
            header::CONTENT_LENGTH => self.content_length(value.as_bytes()),
            header::TRANSFER_ENCODING => self.transfer_encoding(value.as_bytes()),
            header::HOST => self.host(value),
            header::CONNECTION => self.connection(value.as_bytes()),
            header::EXPECT => self.expect(value.as_bytes()),
            _ => Ok(()),
        }
    }

    // FR-3: digits only; a list or a repetition is refused even where its members are equal
    fn content_length(&mut self, value: &[u8]) -> Result<(), HeadError> {
        if self.length.is_some() {
            return Err(HeadError::framing("FR-3", "a repeated Content-Length"));
        }
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(HeadError::framing("FR-3", "a Content-Length that is not a number"));
        }
        let number = value.iter().try_fold(0_u64, |sum, digit| {
            sum.checked_mul(10).and_then(|sum| sum.checked_add(u64::from(digit.wrapping_sub(b'0'))))
        });
        self.length = Some(number.ok_or(HeadError::framing("FR-3", "a Content-Length that is too large"))?);
        Ok(())
    }

    // FR-2: exactly one coding, and that one is `chunked`
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), HeadError> {
        if self.chunked {
            return Err(HeadError::framing("FR-2", "a repeated Transfer-Encoding"));
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(HeadError::framing("FR-2", "a Transfer-Encoding other than `chunked`"));
        }
        self.chunked = true;
        Ok(())
    }

    // FR-5
    fn host(&mut self, value: &HeaderValue) -> Result<(), HeadError> {
        match self.host.replace(value.clone()) {
            None => Ok(()),
            Some(_) => Err(HeadError::new(Reason::ParseHost, "FR-5", "a repeated Host")),
        }
    }

    // FR-7: names that cannot be removed must not be passed over
    fn connection(&mut self, value: &[u8]) -> Result<(), HeadError> {
        for option in value.split(|b| *b == b',').map(trim).filter(|option| !option.is_empty()) {
            if !is_token(option) {
                return Err(HeadError::syntax("FR-7", "a Connection that does not list tokens"));
            }
            self.close |= option.eq_ignore_ascii_case(b"close");
        }
        Ok(())
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), HeadError> {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(HeadError::syntax("RFC 9110 10.1.1", "an unknown expectation"));
        }
        self.expect = true;
        Ok(())
    }

    /// The value of Host.
    ///
    /// # Errors
    /// A missing Host, in HTTP/1.0 too: without it there is nothing to route by (FR-5).
    pub(super) fn authority(&self) -> Result<&str, HeadError> {
        let missing = HeadError::new(Reason::ParseHost, "FR-5", "no Host");
        let invalid = HeadError::new(Reason::ParseHost, "FR-5", "a Host that is not a host name");
        self.host.as_ref().ok_or(missing)?.to_str().map_err(|_| invalid)
    }

    /// FR-1, FR-2: the one framing of the body.
    ///
    /// # Errors
    /// Both framing fields, or Transfer-Encoding in HTTP/1.0.
    pub(super) fn framing(&self, version: Version) -> Result<Framing, HeadError> {
        match (self.length, self.chunked, version) {
            (Some(_), true, _) => Err(HeadError::framing("FR-1", "both Content-Length and Transfer-Encoding")),
            (None, true, Version::Http10) => Err(HeadError::framing("FR-2", "Transfer-Encoding in HTTP/1.0")),
            (None, true, Version::Http11) => Ok(Framing::Chunked),
            (Some(length), false, _) => Ok(Framing::Length(length)),
            (None, false, _) => Ok(Framing::None),
        }
    }

    /// Whether another request may follow. HTTP/1.0 connections always end after one exchange.
    pub(super) fn keep_alive(&self, version: Version) -> bool {
        !self.close && version == Version::Http11
    }

    /// Whether the caller waits for `100 Continue`. HTTP/1.0 has no such thing (RFC 9110 10.1.1).
    pub(super) fn expect_continue(&self, version: Version, framing: Framing) -> bool {
        let has_body = !matches!(framing, Framing::None | Framing::Length(0));
        self.expect && has_body && version == Version::Http11
    }
}
