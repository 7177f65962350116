//! What control needs of the roles that run beside it in this process, without knowing them.

use api::issuance::{IssueError, Svid};
use trustdir::Revision;
use types::{Timestamp, WorkloadId};

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

    /// The certificates that calls rest on.
    fn certificates(&self) -> Vec<Certificate>;

    /// The figures of the roles.
    fn figures(&self) -> Vec<Family>;
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
