//! What control needs of the roles that run beside it in this process, without knowing them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::admin::{Keys, Role, RotationPhase};
use api::issuance::{IssueError, JwtKey, JwtSvid, Svid, WorkloadOrder};
use trustdir::Revision;
use types::{KeyKind, Label, Selectors, SpiffeId, Timestamp, TrustDomain, WorkloadId};

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

/// Where the node stands that asks for a workload's identity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// On the node that shares control's process, which belongs to every group.
    Everywhere,
    /// On a node that joined.
    Node {
        /// Its name.
        name: Label,
        /// The groups that it is in.
        groups: BTreeSet<Label>,
    },
}

/// How far one domain's keys have come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyState {
    /// The domain.
    pub domain: Label,
    /// Which keys.
    pub keys: Keys,
    /// Where they are: never [`RotationPhase::Acknowledged`], which the issuer cannot know.
    pub phase: RotationPhase,
    /// Since when; absent where no rotation was ever made.
    pub since: Option<Timestamp>,
    /// Whether no further step is to be taken until an operator says so.
    pub held: bool,
    /// SHA-256 of the root, or the key id, that signs.
    pub current: String,
    /// The same of the one that follows, or, while the new one signs, of the one that goes; `""` for none.
    pub other: String,
    /// The kind of the key that follows, or of the one that signs where none does.
    pub key: KeyKind,
    /// While the new key signs: when the last thing that the old one signed has run out.
    pub old_ends: Option<Timestamp>,
    /// When the root that signs ends; absent for JWT keys.
    pub not_after: Option<Timestamp>,
}

/// A step of a rotation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyStep {
    /// From idle: makes the next key, which nobody knows.
    Prepare,
    /// From prepared: the next key is in the bundle.
    Publish,
    /// From published: the next key signs, the old one stays in the bundle.
    Sign,
    /// From signing: the old key leaves the bundle and is destroyed.
    Retire,
    /// One step back, and held there.
    Back,
    /// Held, or let go on.
    Hold(bool),
    /// From anywhere: a new key signs at once, and every other key leaves the bundle and is destroyed.
    Emergency,
}

/// Who vouches for a root: the one before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Succession {
    /// Whose roots.
    pub trust_domain: TrustDomain,
    /// SHA-256 of the root that signs, DER.
    pub by: [u8; 32],
    /// The root that follows, DER.
    pub root_der: Vec<u8>,
    /// Over [`api::protocol::SUCCESSION_CONTEXT`], the trust domain, a line feed and the SHA-256 of `root_der`.
    pub signature: Vec<u8>,
}

/// What somebody else's trust domain rests on. Empty revokes all of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ForeignBundle {
    /// DER of each root.
    pub roots: Vec<Vec<u8>>,
    /// The keys that sign its JWT-SVIDs.
    pub jwt_keys: Vec<JwtKey>,
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
