//! SPIFFE IDs and trust domains (SPIFFE-ID 2; STANDARDS ID-1 … ID-6).

use core::fmt;

use serde::Serialize;
use smol_str::SmolStr;
use thiserror::Error;

use crate::limits;

const SCHEME: &str = "spiffe://";

/// The name of a trust domain, such as `finance.acme.internal`: 1 to 255 bytes of `a-z 0-9 . - _` (ID-2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct TrustDomain(SmolStr);

impl TrustDomain {
    /// Parses a bare name (no scheme).
    ///
    /// # Errors
    /// Empty, longer than 255 bytes, or holding a character outside the allowed set. Upper case is refused, never
    /// folded (ID-5).
    pub fn parse(name: &str) -> Result<Self, SpiffeIdError> {
        if name.is_empty() {
            return Err(SpiffeIdError::EmptyTrustDomain);
        }
        if name.len() > limits::TRUST_DOMAIN_BYTES.default_usize() {
            return Err(SpiffeIdError::TrustDomainTooLong);
        }
        if !name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_')) {
            return Err(SpiffeIdError::BadTrustDomainCharacter);
        }
        Ok(Self(SmolStr::new(name)))
    }

    /// The name without a scheme.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The SPIFFE ID of the trust domain itself (no path).
    pub fn id(&self) -> SpiffeId {
        SpiffeId { text: SmolStr::from(format!("{SCHEME}{}", self.0)), domain: self.clone() }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SPIFFE ID, such as `spiffe://finance.acme.internal/payments`. Compared as the exact text (ID-6).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpiffeId {
    text: SmolStr,
    domain: TrustDomain,
}

impl SpiffeId {
    /// Parses the full URI. A trust domain ID (empty path) is accepted here; a leaf certificate needs more (XS-2).
    ///
    /// # Errors
    /// Whatever breaks ID-1 to ID-5, named by the variant.
    pub fn parse(uri: &str) -> Result<Self, SpiffeIdError> {
        if uri.len() > limits::SPIFFE_ID_BYTES.default_usize() {
            return Err(SpiffeIdError::TooLong);
        }
        let rest = uri.strip_prefix(SCHEME).ok_or(SpiffeIdError::WrongScheme)?;
        let (name, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let domain = TrustDomain::parse(name)?;
        if !path.is_empty() {
            path.split('/').skip(1).try_for_each(check_segment)?;
        }
        Ok(Self { text: SmolStr::new(uri), domain })
    }

    /// Joins a trust domain and path segments.
    ///
    /// # Errors
    /// A segment that is empty, a dot segment, or holds a character outside `A-Za-z0-9.-_`; or a result over 2048 bytes.
    pub fn from_segments(domain: &TrustDomain, segments: &[&str]) -> Result<Self, SpiffeIdError> {
        let mut text = format!("{SCHEME}{domain}");
        for segment in segments {
            text.push('/');
            text.push_str(segment);
        }
        Self::parse(&text)
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// The path with its leading slash, or `""`.
    pub fn path(&self) -> &str {
        self.text.get(SCHEME.len() + self.domain.0.len()..).unwrap_or_default()
    }

    /// The segments of the path.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path().split('/').skip(1)
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for SpiffeId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// SPIFFE-ID 2.2 (ID-3).
fn check_segment(segment: &str) -> Result<(), SpiffeIdError> {
    match segment {
        "" => Err(SpiffeIdError::EmptySegment),
        "." | ".." => Err(SpiffeIdError::DotSegment),
        _ if segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) => Ok(()),
        _ => Err(SpiffeIdError::BadPathCharacter),
    }
}

/// Why a text is not a SPIFFE ID.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SpiffeIdError {
    /// ID-1.
    #[error("the scheme is not exactly `spiffe`")]
    WrongScheme,
    /// ID-1.
    #[error("the trust domain is empty")]
    EmptyTrustDomain,
    /// ID-2.
    #[error("the trust domain is longer than 255 bytes")]
    TrustDomainTooLong,
    /// ID-2; also what userinfo, a port, upper case or percent-encoding runs into.
    #[error("the trust domain may hold only a-z, 0-9, dot, dash and underscore")]
    BadTrustDomainCharacter,
    /// ID-3.
    #[error("the path has an empty segment or a trailing slash")]
    EmptySegment,
    /// ID-3.
    #[error("the path has a dot segment")]
    DotSegment,
    /// ID-3; also what a query, a fragment or percent-encoding runs into.
    #[error("a path segment may hold only letters, digits, dot, dash and underscore")]
    BadPathCharacter,
    /// ID-4.
    #[error("longer than 2048 bytes")]
    TooLong,
}
