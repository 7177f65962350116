//! The head of a request: start line and fields, parsed from raw bytes, incrementally and without I/O (FR-1 to FR-6).
//!
//! Nothing odd is repaired: what RFC 9112 calls invalid or lets a recipient reject is refused, with the rule's name.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use thiserror::Error;
use types::{Host, Reason, limits};

use super::{
    framing::{Control, Framing},
    syntax::{field_line, starts_request, without_crlf},
};

/// Method, two spaces, version and line end beside the target of a request line.
const LINE_SLACK: usize = 64;

/// Bounds on a head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of start line and fields together, with their line ends.
    pub bytes: usize,
    /// Number of fields.
    pub fields: usize,
    /// Bytes of the request target.
    pub target: usize,
    /// Empty lines before the request line.
    pub blank_lines: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            bytes: limits::HEAD_BYTES.default_usize(),
            fields: limits::HEADER_COUNT.default_usize(),
            target: limits::PATH_BYTES.default_usize() + limits::QUERY_BYTES.default_usize() + 1,
            blank_lines: limits::BLANK_LINES.default_usize(),
        }
    }
}

/// Why bytes are not an acceptable head. The connection closes after the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{detail} ({rule})")]
pub struct HeadError {
    /// The reason of the refusal.
    pub reason: Reason,
    /// The rule that was broken, as STANDARDS or an RFC names it.
    pub rule: &'static str,
    /// What is wrong, for the operator.
    pub detail: &'static str,
}

impl HeadError {
    pub(super) const fn new(reason: Reason, rule: &'static str, detail: &'static str) -> Self {
        Self { reason, rule, detail }
    }

    pub(super) const fn syntax(rule: &'static str, detail: &'static str) -> Self {
        Self::new(Reason::ParseMalformed, rule, detail)
    }

    pub(super) const fn framing(rule: &'static str, detail: &'static str) -> Self {
        Self::new(Reason::ParseFraming, rule, detail)
    }
}

/// The versions that are spoken here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// HTTP/1.0: one exchange per connection.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// The head of one request.
#[derive(Clone, Debug)]
pub struct Head {
    /// The method as received; any token but CONNECT.
    pub method: Method,
    /// The target in origin form as received: visible ASCII that starts with a slash. Not yet canonical.
    pub target: String,
    /// The version.
    pub version: Version,
    /// All fields as received, the hop-by-hop ones too; see [`super::hop::end_to_end`].
    pub fields: HeaderMap,
    /// The value of Host: a valid host name with an optional port.
    pub authority: String,
    /// How long the body is.
    pub framing: Framing,
    /// Whether the caller wants to go on after this exchange.
    pub keep_alive: bool,
    /// Whether the caller waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
}

/// Where the parts of a field line stand in the head.
struct Span {
    name: Range<usize>,
    value: Range<usize>,
}

/// A head in the making. Each line is looked at once, when it is complete. Once a prefix is refused, every continuation
/// of it is refused for the same reason.
pub(super) struct HeadParser {
    limits: HeadLimits,
    /// Everything before was searched for a line feed.
    scanned: usize,
    /// Where the line in hand starts.
    line: usize,
    blank_lines: usize,
    request: Option<RequestLine>,
    fields: Vec<Span>,
}

impl HeadParser {
    pub(super) const fn new(limits: HeadLimits) -> Self {
        Self { limits, scanned: 0, line: 0, blank_lines: 0, request: None, fields: Vec::new() }
    }

    /// Whether `buffer` holds anything of a request, empty lines aside.
    pub(super) fn has_begun(&self, buffer: &[u8]) -> bool {
        self.request.is_some() || !matches!(buffer.get(self.line..).unwrap_or_default(), b"" | b"\r")
    }

    /// Looks at the complete lines of `buffer` that were not looked at before; `buffer` has only grown since the last
    /// call. Gives the length of the head once it is there.
    pub(super) fn advance(&mut self, buffer: &[u8]) -> Result<Option<usize>, HeadError> {
        loop {
            let unseen = buffer.get(self.scanned..).unwrap_or_default();
            let Some(at) = unseen.iter().position(|b| *b == b'\n') else {
                self.scanned = buffer.len();
                self.check_unfinished(buffer)?;
                return Ok(None);
            };
            let end = self.scanned + at + 1;
            self.scanned = end;
            let line = buffer.get(self.line..end).unwrap_or_default();
            let complete = self.take_line(line, end)?;
            self.line = end;
            if complete {
                return Ok(Some(end));
            }
        }
    }

    /// Where the line in hand must have ended, and what is wrong if it has not. It does not depend on how much of the
    /// line is there yet.
    fn line_bound(&self) -> (usize, HeadError) {
        let target = self.line.saturating_add(self.limits.target).saturating_add(LINE_SLACK);
        if self.request.is_none() && target < self.limits.bytes {
            (target, TARGET_TOO_LONG)
        } else {
            (self.limits.bytes, TOO_LARGE)
        }
    }

    /// Refuses a line that has no end yet but already can have no good one.
    fn check_unfinished(&self, buffer: &[u8]) -> Result<(), HeadError> {
        if self.request.is_none() {
            check_first_byte(buffer.get(self.line..).unwrap_or_default())?;
        }
        let (bound, too_long) = self.line_bound();
        if buffer.len() >= bound { Err(too_long) } else { Ok(()) }
    }

    /// Takes a line with its line end, which stands before `end`; true after the empty line that ends the head.
    fn take_line(&mut self, line: &[u8], end: usize) -> Result<bool, HeadError> {
        if self.request.is_none() {
            check_first_byte(line)?;
        }
        let (bound, too_long) = self.line_bound();
        if end > bound {
            return Err(too_long);
        }
        let text = without_crlf(line)?;
        match (&self.request, text.is_empty()) {
            (None, true) => self.take_blank_line()?,
            (None, false) => self.request = Some(RequestLine::parse(text, &self.limits)?),
            (Some(_), true) => return Ok(true),
            (Some(_), false) => self.take_field(text)?,
        }
        Ok(false)
    }

    // RFC 9112 2.2
    fn take_blank_line(&mut self) -> Result<(), HeadError> {
        self.blank_lines += 1;
        if self.blank_lines > self.limits.blank_lines {
            return Err(HeadError::syntax("RFC 9112 2.2", "too many empty lines before the request line"));
        }
        Ok(())
    }

    fn take_field(&mut self, text: &[u8]) -> Result<(), HeadError> {
        let (name, value) = field_line(text)?;
        if self.fields.len() >= self.limits.fields {
            return Err(HeadError::new(Reason::ParseHeadTooLarge, "FR-11", "too many header fields"));
        }
        let start = |part: &[u8]| self.line + (part.as_ptr() as usize - text.as_ptr() as usize);
        let (name_start, value_start) = (start(name), start(value));
        self.fields
            .push(Span { name: name_start..name_start + name.len(), value: value_start..value_start + value.len() });
        Ok(())
    }

    /// Makes the head out of its bytes, once [`Self::advance`] has found its end, and is ready for the next one.
    /// Values share the memory of `bytes`.
    pub(super) fn finish(&mut self, bytes: &Bytes) -> Result<Head, HeadError> {
        let lost = HeadError::syntax("RFC 9112 3", "no request line");
        let request = self.request.take().ok_or(lost)?;
        (self.scanned, self.line, self.blank_lines) = (0, 0, 0);
        let mut control = Control::default();
        let mut fields = HeaderMap::with_capacity(self.fields.len());
        for span in self.fields.drain(..) {
            let (name, value) = field(bytes, &span).ok_or(HeadError::syntax("FR-4", "an invalid field"))?;
            control.take(&name, &value)?;
            fields.try_append(name, value).map_err(|_| TOO_LARGE)?;
        }
        request.into_head(&control, fields)
    }
}

const TOO_LARGE: HeadError = HeadError::new(Reason::ParseHeadTooLarge, "FR-11", "the head is too large");
const TARGET_TOO_LONG: HeadError = HeadError::new(Reason::ParseTargetTooLong, "FR-11", "the request line is too long");

/// What starts like this is another protocol; it is not worth waiting for its line end.
fn check_first_byte(line: &[u8]) -> Result<(), HeadError> {
    match line.first() {
        Some(b) if !starts_request(*b) && !matches!(b, b'\r' | b'\n') => {
            Err(HeadError::syntax("RFC 9112 3", "bytes that are not a request line"))
        }
        _ => Ok(()),
    }
}

fn field(bytes: &Bytes, span: &Span) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(bytes.get(span.name.clone())?).ok()?;
    // checked first, because `slice` panics where `get` does not
    bytes.get(span.value.clone())?;
    let value = HeaderValue::from_maybe_shared(bytes.slice(span.value.clone())).ok()?;
    Some((name, value))
}

struct RequestLine {
    method: Method,
    target: String,
    version: Version,
}

impl RequestLine {
    /// RFC 9112 3: three parts, one space between them, nothing else.
    fn parse(line: &[u8], limits: &HeadLimits) -> Result<Self, HeadError> {
        let shape = HeadError::syntax("RFC 9112 3", "a request line that is not method, target and version");
        let mut parts = line.split(|b| *b == b' ');
        let (method, target, version) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(method), Some(target), Some(version), None) if !target.is_empty() => (method, target, version),
            _ => return Err(shape),
        };
        let version = match version {
            b"HTTP/1.1" => Version::Http11,
            b"HTTP/1.0" => Version::Http10,
            _ => return Err(HeadError::syntax("RFC 9112 2.3", "a version other than HTTP/1.0 and HTTP/1.1")),
        };
        let method = token_method(method)?;
        if target.len() > limits.target {
            return Err(TARGET_TOO_LONG);
        }
        let visible = target.iter().all(u8::is_ascii_graphic);
        let target = str::from_utf8(target).ok().filter(|_| visible);
        let target = target.ok_or(HeadError::new(
            Reason::ParseBadCharacter,
            "PA-2",
            "a character in the request target that is not visible ASCII",
        ))?;
        Ok(Self { method, target: target.to_owned(), version })
    }

    fn into_head(self, control: &Control, fields: HeaderMap) -> Result<Head, HeadError> {
        let Self { method, target, version } = self;
        let framing = control.framing(version)?;
        let authority = control.authority()?.to_owned();
        let invalid = HeadError::new(Reason::ParseHost, "FR-5", "a Host that is not a host name");
        Host::parse_with_port(&authority).map_err(|_| invalid)?;
        let target = origin_form(&method, target, &authority)?;
        let keep_alive = control.keep_alive(version);
        let expect_continue = control.expect_continue(version, framing);
        Ok(Head { method, target, version, fields, authority, framing, keep_alive, expect_continue })
    }
}

fn token_method(method: &[u8]) -> Result<Method, HeadError> {
    let invalid = HeadError::syntax("RFC 9112 3", "a method that is not a token");
    let method = Method::from_bytes(method).map_err(|_| invalid)?;
    if method == Method::CONNECT {
        return Err(HeadError::new(Reason::ParseMethod, "FR-8", "CONNECT asks for a tunnel"));
    }
    Ok(method)
}

/// RFC 9112 3.2: the origin form, or the absolute form of the same authority reduced to it.
fn origin_form(method: &Method, target: String, host: &str) -> Result<String, HeadError> {
    let form = HeadError::new(Reason::ParseTargetForm, "RFC 9112 3.2", "a target that is no absolute path");
    if target.starts_with('/') {
        return Ok(target);
    }
    let (scheme, rest) = target.split_once("://").ok_or(form)?;
    let port = match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => 80,
        _ if scheme.eq_ignore_ascii_case("https") => 443,
        _ => return Err(form),
    };
    let (authority, path) = rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len())).ok_or(form)?;
    let fold = |authority: &str| Host::parse_with_port(authority).map(|(host, named)| (host, named.unwrap_or(port)));
    let differs =
        HeadError::new(Reason::ParseHost, "FR-5", "an absolute target that names another authority than Host");
    match (fold(authority), fold(host)) {
        (Ok(named), Ok(host)) if named == host => {}
        _ => return Err(differs),
    }
    match path {
        "" if *method == Method::OPTIONS => Err(form),
        _ if path.starts_with('/') => Ok(path.to_owned()),
        _ => Ok(format!("/{path}")),
    }
}
