//! How agents and proxies obtain identities: the issuer as they see it, whether it runs in the same process or not.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;
use tokio::sync::watch;
use types::{KeyKind, Label, Selectors, SpiffeId, Timestamp, TrustDomain};
use zeroize::Zeroizing;

/// The answer to a request for identities.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, IssueError>> + Send + 'a>>;

/// The issuer, from the point of view of an agent or a proxy.
///
/// Certificate requests are DER PKCS#10. Only their public key is used; the names in the certificate come from what is
/// registered, never from the request.
pub trait Issuance: Send + Sync {
    /// What a process with these selectors may have, sorted by SPIFFE ID; empty when there is nothing.
    fn entitled<'a>(&'a self, selectors: &'a Selectors) -> Answer<'a, Vec<Entitled>>;

    /// An SVID for a workload. The issuer matches the selectors itself.
    fn mint_workload<'a>(&'a self, selectors: &'a Selectors, order: &'a WorkloadOrder) -> Answer<'a, Svid>;

    /// A JWT-SVID for a workload, for these audiences: at least one, none empty. The issuer matches the selectors itself.
    fn mint_jwt<'a>(
        &'a self,
        selectors: &'a Selectors,
        id: &'a SpiffeId,
        audience: &'a [String],
    ) -> Answer<'a, JwtSvid>;

    /// The server identity of gateway `name` in a domain; the domain's hosts become DNS names of the certificate.
    fn mint_gateway<'a>(&'a self, domain: &'a Label, name: &'a Label, csr_der: &'a [u8]) -> Answer<'a, Svid>;

    /// Every trust domain's roots and JWT keys.
    fn bundles(&self) -> Bundles;

    /// Bumped whenever registrations, hosts or bundles change. The value only says that something did.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Whether trust was taken from a certificate by its serial number or by its key (SHA-256 of the DER
    /// `SubjectPublicKeyInfo`), as far as that is known here: another one is due at once. Who decides about calls does not
    /// ask here, and whose SPIFFE ID is revoked is entitled to nothing any more.
    fn is_revoked(&self, serial: &str, key_sha256: &[u8; 32]) -> bool;

    /// Tells what is held here at this moment, whole: the outage budget is counted from it.
    fn tell_held(&self, held: Vec<HeldSvid>) {
        let _ = held;
    }

    /// What was last given to [`Self::keep_gateway`] for a domain, while it is still good under the bundles of the moment:
    /// with it a gateway starts while the issuer is away. Nothing where nothing is kept, as in one process.
    fn kept_gateway(&self, domain: &Label) -> Option<KeptGateway> {
        let _ = domain;
        None
    }

    /// Keeps a gateway's identity for the next start, where the issuer may be away then. Best effort: a failure is told in
    /// the log and changes nothing now.
    fn keep_gateway(&self, domain: &Label, gateway: &KeptGateway) {
        let _ = (domain, gateway);
    }
}

/// The server identity of a gateway with its key.
#[derive(Clone)]
pub struct KeptGateway {
    /// The certificate.
    pub svid: Svid,
    /// Its private key, DER PKCS#8.
    pub key_der: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for KeptGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptGateway").field("svid", &self.svid).finish_non_exhaustive()
    }
}

/// An identity that a process may have, and what kind of key is to be made for it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entitled {
    /// The identity.
    pub id: SpiffeId,
    /// The kind of its key.
    pub key: KeyKind,
}

/// What is asked for: an SVID of a workload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkloadOrder {
    /// Whose.
    pub id: SpiffeId,
    /// The request, DER PKCS#10.
    pub csr_der: Vec<u8>,
    /// The certificate that this one takes the place of, for the same running instance; absent for its first.
    pub predecessor: Option<Predecessor>,
}

/// A certificate that is to be replaced, with the proof that whoever asks holds its key (docs/token-binding.md).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Predecessor {
    /// The certificate, DER.
    pub certificate_der: Vec<u8>,
    /// By its key, over `countersign predecessor 1\n` and the SHA-256 of the request.
    pub signature: Vec<u8>,
}

/// A JWT-SVID. The token is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct JwtSvid {
    /// Whose it is.
    pub spiffe_id: SpiffeId,
    /// In compact serialization.
    pub token: Zeroizing<String>,
    /// When it was issued, by the issuer's clock.
    pub issued_at: Timestamp,
    /// Last moment of validity.
    pub not_after: Timestamp,
}

impl fmt::Debug for JwtSvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtSvid")
            .field("spiffe_id", &self.spiffe_id)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// An X.509-SVID that is in somebody's hands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct HeldSvid {
    /// Whose.
    pub spiffe_id: SpiffeId,
    /// Its serial number.
    pub serial: String,
    /// Last moment of validity.
    pub not_after: Timestamp,
    /// How many attempts to renew it failed since the last that did not.
    pub failures: u32,
}

/// A public key that signs JWT-SVIDs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct JwtKey {
    /// Its key id, unique within the trust domain.
    pub kid: String,
    /// DER SubjectPublicKeyInfo.
    pub spki_der: Vec<u8>,
}

/// An issued certificate with what its holder needs to know about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Svid {
    /// Whose it is.
    pub spiffe_id: SpiffeId,
    /// DER, leaf first, without the root.
    pub chain_der: Vec<Vec<u8>>,
    /// First moment of validity; a little before the moment of issuance, for clocks that are behind.
    pub not_before: Timestamp,
    /// Last moment of validity.
    pub not_after: Timestamp,
    /// The serial number: lower-case hexadecimal without separators.
    pub serial: String,
}

/// The roots and JWT keys of every trust domain at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bundles {
    /// Grows with every change.
    pub generation: u64,
    /// DER of each root, by trust domain. Never merged.
    pub roots: BTreeMap<TrustDomain, Vec<Vec<u8>>>,
    /// The keys that sign JWT-SVIDs, by trust domain; a domain without any is left out.
    pub jwt_keys: BTreeMap<TrustDomain, Vec<JwtKey>>,
    /// Those of the trust domains that are somebody else's (`federation` in countersign.yaml).
    pub federated: BTreeSet<TrustDomain>,
}

/// Why nothing was issued.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum IssueError {
    /// Not registered, or no rule matches. Asking again does not help until registrations change.
    #[error("not entitled: {0}")]
    NotEntitled(String),
    /// The issuer cannot answer now. Asking again later may help.
    #[error("the issuer is unavailable: {0}")]
    Unavailable(String),
    /// Too much was asked for in a short time. Asking again later helps.
    #[error("too many requests: {0}")]
    Limited(String),
    /// The request cannot be used.
    #[error("the request is refused: {0}")]
    BadRequest(String),
}
