//! The one canonical form of a request's method, host, path and query (STANDARDS PA, FR-12).
//!
//! It is computed once; route, policy, record and forwarding all use it. What could mean two things to two parsers is
//! refused rather than rewritten. The only rewriting done is the one that RFC 3986 6.2.2 calls equivalent: escapes of
//! unreserved characters are decoded, once, and the hexadecimal digits of the others are upper-cased.

use core::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use smol_str::SmolStr;

use crate::{Reason, limits};

/// The methods a route can have. CONNECT, TRACE and everything unknown is refused before routing (FR-8, PA-5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// OPTIONS
    Options,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

impl Method {
    /// All of them, in the order of the generated schema.
    pub const ALL: [Self; 7] = [Self::Get, Self::Head, Self::Options, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// The name on the wire; also the name of the Cedar action.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether the method reads by default (RFC 9110 9.2.1).
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options)
    }
}

impl FromStr for Method {
    type Err = Reason;

    /// Case-sensitive (RFC 9110 9.1).
    fn from_str(text: &str) -> Result<Self, Reason> {
        Self::ALL.into_iter().find(|method| method.as_str() == text).ok_or(Reason::ParseMethod)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A host name as requests and trust directories name it: lower case, no trailing dot, no port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct Host(SmolStr);

impl Host {
    /// Parses a bare name: 1 to 253 bytes of letters, digits, dash, underscore and dot, without an empty label.
    ///
    /// # Errors
    /// [`Reason::ParseHost`] for anything else, userinfo and address literals in brackets included.
    pub fn parse(name: &str) -> Result<Self, Reason> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let fits = !name.is_empty()
            && name.len() <= limits::HOST_BYTES.default_usize()
            && name.split('.').all(|label| {
                !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            });
        if fits { Ok(Self(SmolStr::from(name.to_ascii_lowercase()))) } else { Err(Reason::ParseHost) }
    }

    /// Parses `host[:port]` as a `Host` field or `:authority` carries it (RFC 9110 7.2).
    ///
    /// # Errors
    /// [`Reason::ParseHost`] when the name or the port does not parse.
    pub fn parse_with_port(authority: &str) -> Result<(Self, Option<u16>), Reason> {
        match authority.split_once(':') {
            None => Ok((Self::parse(authority)?, None)),
            Some((name, port)) => {
                let digits = !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
                let port = port.parse().ok().filter(|_| digits).ok_or(Reason::ParseHost)?;
                Ok((Self::parse(name)?, Some(port)))
            }
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path in canonical form together with its decoded segments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CanonicalPath {
    text: SmolStr,
    /// Present only where decoding changed something.
    decoded: Option<Vec<SmolStr>>,
}

impl CanonicalPath {
    /// Parses the path of a request target.
    ///
    /// # Errors
    /// One reason per class of odd path; see the `parse.*` reasons.
    pub fn parse(raw: &str) -> Result<Self, Reason> {
        let rest = raw.strip_prefix('/').ok_or(Reason::ParseTargetForm)?;
        if raw.len() > limits::PATH_BYTES.default_usize() {
            return Err(Reason::ParseTargetTooLong);
        }
        if rest.split('/').count() > limits::PATH_SEGMENTS.default_usize() {
            return Err(Reason::ParseTargetTooLong);
        }
        if raw.contains("//") {
            return Err(Reason::ParseEmptySegment);
        }
        if raw.bytes().all(is_plain_path_byte) {
            refuse_dot_segments(rest.split('/'))?;
            return Ok(Self { text: SmolStr::new(raw), decoded: None });
        }
        let text = canonical_escapes(raw)?;
        let decoded = text.split('/').skip(1).map(decode_segment).collect::<Result<Vec<_>, _>>()?;
        refuse_dot_segments(decoded.iter().map(SmolStr::as_str))?;
        Ok(Self { text: SmolStr::from(text), decoded: Some(decoded) })
    }

    /// The text that is forwarded.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The decoded segments that templates are matched against; none for `/`.
    pub fn segments(&self) -> impl Iterator<Item = &str> + Clone {
        let plain = self.decoded.is_none() && self.text != "/";
        let raw = plain.then(|| self.text.split('/').skip(1)).into_iter().flatten();
        raw.chain(self.decoded.iter().flatten().map(SmolStr::as_str))
    }
}

/// A method, host, path and query that mean one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CanonicalRequest {
    method: Method,
    host: Host,
    port: Option<u16>,
    path: CanonicalPath,
    query: Option<SmolStr>,
}

impl CanonicalRequest {
    /// From the parts as received: the method token, the authority (`Host` or `:authority`), and the origin-form target
    /// (RFC 9112 3.2.1).
    ///
    /// # Errors
    /// The first `parse.*` reason that applies: method, then authority, then path, then query.
    pub fn parse(method: &str, authority: &str, target: &str) -> Result<Self, Reason> {
        let method = method.parse()?;
        let (host, port) = Host::parse_with_port(authority)?;
        if target.contains('#') {
            return Err(Reason::ParseFragment);
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let path = CanonicalPath::parse(path)?;
        let query = query.map(check_query).transpose()?;
        Ok(Self { method, host, port, path, query })
    }

    /// The method.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The host.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port that the caller named, if any.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The path.
    pub const fn path(&self) -> &CanonicalPath {
        &self.path
    }

    /// The query without its question mark, byte for byte as received.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Path and query as they are forwarded.
    pub fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path.as_str()),
            None => self.path.as_str().to_owned(),
        }
    }
}

/// RFC 3986 `pchar` without escapes and without `;`, plus the slash.
const fn is_plain_path_byte(b: u8) -> bool {
    matches!(b, b'/' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@')
        || is_unreserved(b)
}

/// RFC 3986 2.3.
const fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

/// PA-2: decodes escapes of unreserved characters, upper-cases the others, refuses what is ambiguous.
fn canonical_escapes(raw: &str) -> Result<String, Reason> {
    let mut text = String::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(b) = bytes.next() {
        if is_plain_path_byte(b) {
            text.push(char::from(b));
            continue;
        }
        match b {
            b'%' => {}
            b'\\' => return Err(Reason::ParseBackslash),
            b';' => return Err(Reason::ParsePathParameter),
            _ => return Err(Reason::ParseBadCharacter),
        }
        let escaped = hex_pair(bytes.next(), bytes.next()).ok_or(Reason::ParseBadEscape)?;
        match escaped {
            b'/' => return Err(Reason::ParseEncodedSlash),
            b'\\' => return Err(Reason::ParseBackslash),
            b';' => return Err(Reason::ParsePathParameter),
            0x00..=0x1f | 0x7f => return Err(Reason::ParseBadCharacter),
            _ if is_unreserved(escaped) => text.push(char::from(escaped)),
            _ => text.push_str(&format!("%{escaped:02X}")),
        }
    }
    if text.match_indices("%25").any(|(at, percent)| is_escape_after(text.bytes().skip(at + percent.len()))) {
        return Err(Reason::ParseDoubleEncoding);
    }
    Ok(text)
}

/// Whether what follows an escaped percent sign would be an escape to somebody who decodes twice; looked at in the
/// finished text, since the digits may have been escaped themselves.
fn is_escape_after(mut rest: impl Iterator<Item = u8>) -> bool {
    hex_pair(rest.next(), rest.next()).is_some()
}

fn hex_pair(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(high?)? << 4 | digit(low?)?)
}

/// Decodes the escapes that [`canonical_escapes`] left standing.
fn decode_segment(segment: &str) -> Result<SmolStr, Reason> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'%' => decoded.push(hex_pair(bytes.next(), bytes.next()).ok_or(Reason::ParseBadEscape)?),
            _ => decoded.push(b),
        }
    }
    String::from_utf8(decoded).map(SmolStr::from).map_err(|_| Reason::ParseBadEscape)
}

fn refuse_dot_segments<'a>(mut segments: impl Iterator<Item = &'a str>) -> Result<(), Reason> {
    if segments.any(|segment| segment == "." || segment == "..") { Err(Reason::ParseDotSegment) } else { Ok(()) }
}

/// The query is opaque to routing and forwarded as it came, so it must be printable ASCII with whole escapes.
fn check_query(query: &str) -> Result<SmolStr, Reason> {
    if query.len() > limits::QUERY_BYTES.default_usize() {
        return Err(Reason::ParseTargetTooLong);
    }
    let mut bytes = query.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'%' => drop(hex_pair(bytes.next(), bytes.next()).ok_or(Reason::ParseBadEscape)?),
            b'\\' => return Err(Reason::ParseBackslash),
            b'"' | b'<' | b'>' => return Err(Reason::ParseBadCharacter),
            0x21..=0x7e => {}
            _ => return Err(Reason::ParseBadCharacter),
        }
    }
    Ok(SmolStr::new(query))
}
