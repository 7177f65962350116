//! Typed identifiers: one type per kind of thing, parsed once (STYLE 11, 12).

use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use thiserror::Error;
use uuid::Uuid;

use crate::{Method, Template, limits};

/// Why a text is not the identifier it should be.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum IdError {
    /// A name that breaks the grammar of [`Label`].
    #[error("`{0}` is not a name: use 1 to 63 of a-z, 0-9 and dash, starting with a letter")]
    Label(String),
    /// Not `domain/name`.
    #[error("`{0}` is not of the form domain/name")]
    Pair(String),
    /// Not a UUID.
    #[error("`{0}` is not a decision id")]
    Decision(String),
    /// Not 64 hexadecimal digits.
    #[error("`{0}` is not a revision: it takes 64 hexadecimal digits")]
    Revision(String),
}

/// The name of a domain, service, workload, listener or node: 1 to 63 of `a-z 0-9 -`, starting with a letter.
/// Names starting with `_` are reserved and never parse.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct Label(SmolStr);

impl Label {
    /// Parses a name.
    ///
    /// # Errors
    /// [`IdError::Label`] when it breaks the grammar.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let starts_well = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let all_fit = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if starts_well && all_fit && text.len() <= limits::LABEL_BYTES.default_usize() {
            Ok(Self(SmolStr::new(text)))
        } else {
            Err(IdError::Label(text.chars().take(80).collect()))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Two identifiers of the form `domain/name` that must not be mistaken for each other.
macro_rules! pair_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name {
            domain: Label,
            name: Label,
        }

        impl $name {
            /// Joins a domain and a name.
            pub const fn new(domain: Label, name: Label) -> Self {
                Self { domain, name }
            }

            /// The business domain.
            pub const fn domain(&self) -> &Label {
                &self.domain
            }

            /// The name inside the domain.
            pub const fn name(&self) -> &Label {
                &self.name
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.domain, self.name)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let (domain, name) = text.split_once('/').ok_or_else(|| IdError::Pair(text.chars().take(160).collect()))?;
                Ok(Self { domain: Label::parse(domain)?, name: Label::parse(name)? })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

pair_id! {
    /// A callable API of a domain, such as `finance/ledger`.
    ServiceId
}
pair_id! {
    /// A caller, such as `finance/payments`.
    WorkloadId
}

/// Method and path template of a service, such as `finance/ledger POST /entries`. The pseudo-route of a service that
/// judges what it does not list is written `finance/ledger *`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RouteId {
    service: ServiceId,
    call: Option<(Method, Template)>,
}

impl RouteId {
    /// A listed route.
    pub const fn listed(service: ServiceId, method: Method, template: Template) -> Self {
        Self { service, call: Some((method, template)) }
    }

    /// The pseudo-route `*`.
    pub const fn unlisted(service: ServiceId) -> Self {
        Self { service, call: None }
    }

    /// The service.
    pub const fn service(&self) -> &ServiceId {
        &self.service
    }

    /// Method and template; `None` for the pseudo-route.
    pub const fn call(&self) -> Option<&(Method, Template)> {
        self.call.as_ref()
    }
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.call {
            Some((method, template)) => write!(f, "{} {method} {template}", self.service),
            None => write!(f, "{} *", self.service),
        }
    }
}

/// The id of a policy as decisions name it: `finance/payments-posts-entries`, `org/…`, `finance/requires.identity`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct PolicyId(SmolStr);

impl PolicyId {
    /// `scope` is a domain or `org`; `name` the policy's `@id` or a generated name.
    pub fn new(scope: &str, name: &str) -> Self {
        Self(SmolStr::from(format!("{scope}/{name}")))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of one decision: a UUIDv7, so that ids sort by time (RFC 9562 5.7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DecisionId(Uuid);

impl DecisionId {
    /// From Unix milliseconds and 10 random bytes.
    pub fn new(unix_millis: u64, random: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(unix_millis, &random).into_uuid())
    }

    /// From the 16 bytes of the record.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The 16 bytes.
    pub const fn bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for DecisionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Uuid::try_parse(text).map(Self).map_err(|_| IdError::Decision(text.chars().take(80).collect()))
    }
}

/// The name of a revision: SHA-256 over its sorted (path, content hash) list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RevisionId([u8; 32]);

impl RevisionId {
    /// From the digest.
    pub const fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first seven hexadecimal digits, as listings show it.
    pub fn short(&self) -> String {
        self.to_string().chars().take(7).collect()
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for RevisionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let fail = || IdError::Revision(text.chars().take(80).collect());
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(fail());
        }
        let mut digest = [0u8; 32];
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = core::str::from_utf8(pair).map_err(|_| fail())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| fail())?;
        }
        Ok(Self(digest))
    }
}

impl Serialize for RevisionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
