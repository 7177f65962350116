//! How agents and proxies obtain identities: the issuer as they see it, whether it runs in the same process or not.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::collections::BTreeMap;

use thiserror::Error;
use tokio::sync::watch;
use types::{Label, Selectors, SpiffeId, Timestamp, TrustDomain};
use zeroize::Zeroizing;

/// The answer to a request for identities.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, IssueError>> + Send + 'a>>;

/// The issuer, from the point of view of an agent or a proxy.
///
/// Certificate requests are DER PKCS#10. Only their public key is used; the names in the certificate come from what is
/// registered, never from the request.
pub trait Issuance: Send + Sync {
    /// The SPIFFE IDs that a process with these selectors may have, sorted; empty when there are none.
    fn entitled<'a>(&'a self, selectors: &'a Selectors) -> Answer<'a, Vec<SpiffeId>>;

    /// An SVID for a workload. The issuer matches the selectors itself.
    fn mint_workload<'a>(&'a self, selectors: &'a Selectors, id: &'a SpiffeId, csr_der: &'a [u8]) -> Answer<'a, Svid>;

    /// The server identity of gateway `name` in a domain; the domain's hosts become DNS names of the certificate.
    fn mint_gateway<'a>(&'a self, domain: &'a Label, name: &'a Label, csr_der: &'a [u8]) -> Answer<'a, Svid>;

    /// Every domain's roots.
    fn bundles(&self) -> Bundles;

    /// Bumped whenever registrations, hosts or bundles change. The value only says that something did.
    fn changes(&self) -> watch::Receiver<u64>;

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

/// The roots of every trust domain at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bundles {
    /// Grows with every change.
    pub generation: u64,
    /// DER of each root, by trust domain. Never merged.
    pub roots: BTreeMap<TrustDomain, Vec<Vec<u8>>>,
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
    /// The certificate request cannot be used.
    #[error("the certificate request is refused: {0}")]
    BadRequest(String),
}
