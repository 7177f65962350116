//! The proof that a peer was verified.

use core::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use smol_str::SmolStr;
use types::{Host, SpiffeId, Timestamp};

use crate::predecessor::Predecessor;

/// A peer whose certificate chain passed [`crate::verify`]. It can be made nowhere else, so that holding one is proof.
///
/// ```compile_fail,E0423
/// let peer = countersign_identity::VerifiedPeer(std::sync::Arc::default());
/// ```
#[derive(Clone)]
pub struct VerifiedPeer(Arc<Facts>);

/// What was read from the verified leaf.
pub(crate) struct Facts {
    pub spiffe_id: SpiffeId,
    pub serial: String,
    pub sha256: [u8; 32],
    pub key_sha256: [u8; 32],
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub via: Option<String>,
    pub node: Option<String>,
    pub predecessors: Vec<Predecessor>,
    pub dns: Vec<SmolStr>,
}

impl VerifiedPeer {
    pub(crate) fn new(facts: Facts) -> Self {
        Self(Arc::new(facts))
    }

    /// The SPIFFE ID. It has a path.
    pub fn spiffe_id(&self) -> &SpiffeId {
        &self.0.spiffe_id
    }

    /// The serial number: lower-case hexadecimal of the positive number, without separators or leading zero bytes.
    pub fn serial(&self) -> &str {
        &self.0.serial
    }

    /// SHA-256 of the leaf's DER.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.0.sha256
    }

    /// SHA-256 of the leaf's public key: of its DER `SubjectPublicKeyInfo`.
    pub fn key_sha256(&self) -> &[u8; 32] {
        &self.0.key_sha256
    }

    /// First moment of validity.
    pub fn not_before(&self) -> Timestamp {
        self.0.not_before
    }

    /// Last moment of validity: the whole second counts.
    pub fn not_after(&self) -> Timestamp {
        self.0.not_after
    }

    /// The operator on whose behalf an impersonation certificate was issued; absent for the workload itself.
    pub fn via(&self) -> Option<&str> {
        self.0.via.as_deref()
    }

    /// The node that the SVID was issued for; absent where the issuer wrote none, and for federated trust domains.
    pub fn node(&self) -> Option<&str> {
        self.0.node.as_deref()
    }

    /// The earlier certificates of the same attested instance that this one follows, as its issuer wrote them: nearest
    /// first, some of them past their `until` (docs/token-binding.md). None for federated trust domains.
    pub fn predecessors(&self) -> &[Predecessor] {
        &self.0.predecessors
    }

    /// Whether a DNS name of the leaf covers the host (RFC 9525 6.3; PV-4): labels compared without case, a wildcard
    /// only as the whole left-most label. The common name never counts, and no DNS name covers an address.
    pub fn covers_dns(&self, host: &Host) -> bool {
        let is_address = host.as_str().parse::<IpAddr>().is_ok();
        !is_address && self.0.dns.iter().any(|name| covers(name, host.as_str()))
    }
}

fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => {
            host.split_once('.').is_some_and(|(_, rest)| rest.contains('.') && rest.eq_ignore_ascii_case(parent))
        }
        None => !name.contains('*') && name.eq_ignore_ascii_case(host),
    }
}

impl fmt::Debug for VerifiedPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedPeer")
            .field("spiffe_id", &self.0.spiffe_id.as_str())
            .field("serial", &self.0.serial)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn dns_names_match_as_rfc_9525_says() {
        assert!(covers("ledger.acme.internal", "ledger.acme.internal"));
        assert!(covers("Ledger.ACME.internal", "ledger.acme.internal"));
        assert!(covers("*.acme.internal", "ledger.acme.internal"));
        assert!(!covers("*.acme.internal", "a.ledger.acme.internal"));
        assert!(!covers("*.acme.internal", "acme.internal"));
        assert!(!covers("l*.acme.internal", "ledger.acme.internal"));
        assert!(!covers("*.internal", "acme.internal"), "a wildcard over a single label is too wide");
        assert!(!covers("ledger.acme.internal", "hr.acme.internal"));
    }
}
