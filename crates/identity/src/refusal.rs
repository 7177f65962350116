//! Why a certificate chain is not a verified peer.

use thiserror::Error;
use types::{Reason, SpiffeId};

/// A refused chain: which rule it broke, in words for the operator.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{detail} ({rule})")]
pub struct SvidRefusal {
    /// The reason of the decision, one of `identity.*`.
    pub reason: Reason,
    /// The requirement that was broken, such as `XS-1` (see the table of standards in the documentation).
    pub rule: &'static str,
    /// What exactly was wrong, in plain words. May quote the certificate; never shown to the caller.
    pub detail: String,
    /// The SPIFFE ID that the leaf claims, where it names exactly one. Proves nothing.
    pub claimed: Option<SpiffeId>,
}

impl SvidRefusal {
    pub(crate) fn new(reason: Reason, rule: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, rule, detail: detail.into(), claimed: None }
    }

    pub(crate) fn claiming(self, id: &SpiffeId) -> Self {
        Self { claimed: Some(id.clone()), ..self }
    }
}
