//! What a signal is about: a SPIFFE ID, the serial number of a certificate, or a public key.

use core::fmt;

use thiserror::Error;
use types::{Label, SpiffeId, TrustDomain, WorkloadId, id::IdError, limits, spiffe::SpiffeIdError};

/// The trust domain label whose identities run Countersign itself.
pub(crate) const SYSTEM: &str = "system";
/// The operator who owns the data directory: the way back for everybody else.
const LOCAL: &str = "local";

/// What a signal is about. The `Display` form is the full one, which [`Subject::parse`] reads back.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// Every certificate with this SPIFFE ID: `spiffe://finance.acme.internal/payments`.
    Spiffe(SpiffeId),
    /// Every certificate with this serial number, whatever authority issued it: `serial:5c1e01`. Lower-case hexadecimal
    /// without separators and without leading zero bytes, as [`identity::VerifiedPeer::serial`] has it.
    Serial(String),
    /// Every certificate for this public key, renewed ones included: `key:` and the SHA-256 of the key's DER
    /// `SubjectPublicKeyInfo`.
    Key([u8; 32]),
}

/// Why a text names nothing that can be revoked.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SubjectError {
    /// No kind of subject is written like that.
    #[error("`{0}` names nothing that can be revoked")]
    Unknown(String),
    /// The organisation could lose its last way in, or Countersign itself.
    #[error("`{0}` may not be revoked")]
    Protected(String),
    /// `spiffe:` with something that is no SPIFFE ID.
    #[error("`{text}` is not a SPIFFE ID")]
    Spiffe {
        /// What was given.
        text: String,
        /// The rule that it breaks.
        source: SpiffeIdError,
    },
    /// A whole trust domain.
    #[error("`{0}` names a trust domain and not an identity of it")]
    TrustDomain(String),
    /// `DOMAIN/NAME` with names that cannot be.
    #[error("`{text}` is not a workload")]
    Workload {
        /// What was given.
        text: String,
        /// The rule that it breaks.
        source: IdError,
    },
    /// `node:` without a peer's role and name.
    #[error("`{0}` names no node")]
    Node(String),
    /// `operator:` without a name.
    #[error("`{0}` names no operator")]
    Operator(String),
    /// `serial:` without a number.
    #[error("`{0}` is not a serial number")]
    Serial(String),
    /// `key:` without 64 hexadecimal digits.
    #[error("`{0}` is not the fingerprint of a key")]
    Key(String),
}

impl SubjectError {
    /// What the operator can do.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unknown(_) => {
                "write spiffe://DOMAIN/PATH, DOMAIN/WORKLOAD, serial:HEX, key:HEX, node:proxy/NAME, node:agent/NAME or \
                 operator:NAME"
            }
            Self::Protected(_) => {
                "the local operator and control itself are kept, so that somebody can always restore what was revoked"
            }
            Self::Node(_) => "such as node:proxy/edge-1 or node:agent/vm-pay-1, as `countersign fleet` names them",
            Self::Operator(_) => "such as operator:alice, as `operators` in countersign.yaml names them",
            Self::Spiffe { .. } => "such as spiffe://finance.acme.internal/payments",
            Self::TrustDomain(_) => "name one identity, such as spiffe://finance.acme.internal/payments",
            Self::Workload { .. } => "such as finance/payments",
            Self::Serial(_) => "hexadecimal digits of the certificate's serial number, with or without colons",
            Self::Key(_) => "64 hexadecimal digits: the SHA-256 of the key's DER SubjectPublicKeyInfo",
        }
    }
}

impl Subject {
    /// Reads a subject as an operator writes it: `spiffe://…` (also after `spiffe:`), `DOMAIN/WORKLOAD` of the
    /// organisation, `serial:HEX` or `key:HEX`, the digits in either case, with or without colons. `node:proxy/NAME`,
    /// `node:agent/NAME` and `operator:NAME` are spellings of their SPIFFE IDs in `system.<organisation>`.
    ///
    /// # Errors
    /// What is wrong with it. The local operator, control and the publisher are [`SubjectError::Protected`].
    pub fn parse(text: &str, organisation: &TrustDomain) -> Result<Self, SubjectError> {
        match text.split_once(':') {
            Some(("spiffe", rest)) if rest.starts_with("//") => Self::parse_spiffe(text, text, organisation),
            Some(("spiffe", rest)) => Self::parse_spiffe(rest, text, organisation),
            Some(("serial", rest)) => {
                parse_serial(rest).map(Self::Serial).ok_or_else(|| SubjectError::Serial(shown(text)))
            }
            Some(("key", rest)) => parse_key(rest).map(Self::Key).ok_or_else(|| SubjectError::Key(shown(text))),
            Some(("node", rest)) => match rest.split_once('/') {
                Some((role @ ("proxy" | "agent"), name)) if is_name(name) => {
                    Self::parse_spiffe(&format!("spiffe://{SYSTEM}.{organisation}/{role}/{name}"), text, organisation)
                }
                Some(_) | None => Err(SubjectError::Node(shown(text))),
            },
            Some(("operator", name)) if is_name(name) => {
                Self::parse_spiffe(&format!("spiffe://{SYSTEM}.{organisation}/operator/{name}"), text, organisation)
            }
            Some(("operator", _)) => Err(SubjectError::Operator(shown(text))),
            None if text.contains('/') => Self::parse_workload(text, organisation),
            Some(_) | None => Err(SubjectError::Unknown(shown(text))),
        }
    }

    fn parse_spiffe(uri: &str, text: &str, organisation: &TrustDomain) -> Result<Self, SubjectError> {
        let id = SpiffeId::parse(uri).map_err(|source| SubjectError::Spiffe { text: shown(text), source })?;
        if is_system(id.trust_domain(), organisation) && !is_replaceable(&id) {
            return Err(SubjectError::Protected(shown(text)));
        }
        if id.path().is_empty() {
            return Err(SubjectError::TrustDomain(shown(text)));
        }
        Ok(Self::Spiffe(id))
    }

    fn parse_workload(text: &str, organisation: &TrustDomain) -> Result<Self, SubjectError> {
        let workload: WorkloadId =
            text.parse().map_err(|source| SubjectError::Workload { text: shown(text), source })?;
        Self::parse_spiffe(
            &format!("spiffe://{}.{organisation}/{}", workload.domain(), workload.name()),
            text,
            organisation,
        )
    }
}

/// Whether an identity of the system is one of many: a peer's, or that of an operator who was named. Without control or the
/// local operator nobody could restore anything.
fn is_replaceable(id: &SpiffeId) -> bool {
    let mut segments = id.segments();
    match (segments.next(), segments.next(), segments.next()) {
        (Some("proxy" | "agent"), Some(_), None) => true,
        (Some("operator"), Some(name), None) => name != LOCAL,
        _ => false,
    }
}

fn is_name(text: &str) -> bool {
    Label::parse(text).is_ok()
}

fn is_system(domain: &TrustDomain, organisation: &TrustDomain) -> bool {
    domain.as_str().strip_suffix(organisation.as_str()) == Some(&*format!("{SYSTEM}."))
}

/// The digits as [`Subject::Serial`] keeps them; `None` for no number.
fn parse_serial(text: &str) -> Option<String> {
    let digits = hex_digits(text)?;
    let significant = digits.trim_start_matches('0');
    // whole bytes, and zero is one byte
    let zeros = if significant.is_empty() { 2 } else { significant.len() % 2 };
    Some(format!("{}{significant}", "00".get(..zeros)?))
}

fn parse_key(text: &str) -> Option<[u8; 32]> {
    let digits = hex_digits(text)?;
    let mut key = [0; 32];
    if digits.len() != 2 * key.len() {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
}

/// Lower-case hexadecimal digits, at least one, with the colons taken out.
fn hex_digits(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|char| *char != ':').map(|char| char.to_ascii_lowercase()).collect();
    let fits = !digits.is_empty() && digits.len() <= limits::SPIFFE_ID_BYTES.default_usize();
    (fits && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

/// As much of the input as a message needs.
fn shown(text: &str) -> String {
    text.chars().take(160).collect()
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spiffe(id) => id.fmt(f),
            Self::Serial(serial) => write!(f, "serial:{serial}"),
            Self::Key(key) => {
                f.write_str("key:")?;
                key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}
