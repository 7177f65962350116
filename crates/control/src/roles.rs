//! What control needs of the roles that run beside it in this process, without knowing them.

use std::collections::BTreeMap;
use std::time::Duration;

use api::admin::{Keys, Role};
use api::issuance::{IssueError, JwtSvid, Svid, WorkloadOrder};
use api::keys::{ForeignBundle, KeyState, KeyStep, Place, Succession};
use trustdir::Revision;
use types::{Label, Selectors, SpiffeId, Timestamp, TrustDomain, WorkloadId};

use crate::metrics::Family;

/// The roles of this process, as control needs them.
pub trait Roles: Send + Sync {
    /// Gets ready for a revision that is about to become current: whatever can fail, such as making the keys of its new
    /// domains. Nothing that decides changes.
    ///
    /// # Errors
    /// Why the revision cannot become current.
    fn prepare(&self, revision: &Revision) -> Result<(), NotReady>;

    /// The revision is current: who may be issued what follows it from here on.
    fn apply(&self, revision: &Revision);

    /// What is held against whom has changed.
    fn signals_changed(&self);

    /// Issues a certificate in the name of a workload to the named operator, for a request in DER. Recorded.
    ///
    /// # Errors
    /// [`IssueError`].
    fn impersonate(&self, workload: &WorkloadId, operator: &str, csr_der: &[u8]) -> Result<Svid, IssueError>;

    /// Issues a certificate to an operator, for a request in DER: `spiffe://system.<organisation>/operator/NAME`, for so
    /// long. Recorded.
    ///
    /// # Errors
    /// [`IssueError`].
    fn mint_operator(&self, name: &Label, csr_der: &[u8], life: Duration) -> Result<Svid, IssueError>;

    /// Signs what peers will hold control to, by the publisher's key.
    ///
    /// # Errors
    /// [`IssueError`]: then nothing new can be told to anybody.
    fn sign(&self, message: &[u8]) -> Result<Signature, IssueError>;

    /// The root of `system.<organisation>`, DER.
    fn system_root(&self) -> Vec<u8>;

    /// The identity of a peer, for a request in DER. Who may have it is decided before; only the key is taken from the
    /// request. Recorded.
    ///
    /// # Errors
    /// [`IssueError`].
    fn mint_peer(&self, role: Role, name: &Label, csr_der: &[u8]) -> Result<Svid, IssueError>;

    /// An SVID for a workload that runs at a place: refused where it is not placed there. Recorded, also when refused.
    ///
    /// # Errors
    /// [`IssueError`].
    fn mint_workload_at(&self, place: &Place, selectors: &Selectors, order: &WorkloadOrder)
    -> Result<Svid, IssueError>;

    /// A JWT-SVID for a workload that runs at a place: refused where it is not placed there. Recorded, also when refused.
    ///
    /// # Errors
    /// [`IssueError`].
    fn mint_jwt_at(
        &self,
        place: &Place,
        selectors: &Selectors,
        id: &SpiffeId,
        audience: &[String],
    ) -> Result<JwtSvid, IssueError>;

    /// How far the keys of every domain have come: all of them, rotated or not, by domain, roots before JWT keys.
    fn key_states(&self) -> Vec<KeyState>;

    /// One step of a rotation: taken whole, or not at all, also when the process dies in the middle of it.
    ///
    /// # Errors
    /// [`IssueError::BadRequest`] where the step cannot be taken from where the keys are, or the domain is unknown;
    /// [`IssueError::Unavailable`] where the keys cannot be read or written. What signed before goes on signing.
    fn rotate_keys(&self, domain: &Label, keys: Keys, step: KeyStep) -> Result<KeyState, IssueError>;

    /// Who vouches for the roots that were not always there.
    fn successions(&self) -> Vec<Succession>;

    /// The trust domains of others, whole: what was there before and is missing now is forgotten.
    fn set_federated(&self, federated: BTreeMap<TrustDomain, ForeignBundle>);

    /// The server identity of a proxy in a domain. Recorded.
    ///
    /// # Errors
    /// [`IssueError`].
    fn mint_gateway(&self, proxy: &Label, domain: &Label, csr_der: &[u8]) -> Result<Svid, IssueError>;

    /// The certificates that calls rest on.
    fn certificates(&self) -> Vec<Certificate>;

    /// The figures of the roles.
    fn figures(&self) -> Vec<Family>;
}

/// A signature of the publisher.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    /// ECDSA P-256 with SHA-256, ASN.1.
    pub signature: Vec<u8>,
    /// The publisher's certificate, DER, leaf first, without the root.
    pub chain: Vec<Vec<u8>>,
}

/// A revision cannot become current.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotReady {
    /// Why.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// A certificate of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// Whose, such as `the gateway's certificate for finance`.
    pub name: String,
    /// The domain.
    pub domain: String,
    /// Whether it is a domain's root.
    pub is_root: bool,
    /// Last moment of validity.
    pub not_after: Timestamp,
}
