//! Approvals: publications that wait for the owners of what they touch.

use serde::{Deserialize, Serialize};
use types::Timestamp;

use super::{Publication, PublicationKind, Reach, rfc3339};

/// What became of files that were published.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Published {
    /// They are current.
    Current {
        /// The publication.
        publication: Publication,
        /// How far it has come.
        reach: Reach,
    },
    /// They wait for approval. What ran goes on.
    Proposed {
        /// The proposal.
        proposal: Proposal,
    },
}

/// A publication that is not current yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proposal {
    /// Its number, from 1 on, in a row of its own.
    pub number: u64,
    /// The revision that it would make current, 64 hexadecimal digits.
    pub revision: String,
    /// The revision that was current when it was made. Where another one is current, it can no longer be approved.
    pub base: String,
    /// A publication of new files or a rollback.
    pub kind: PublicationKind,
    /// When.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// By whom.
    pub operator: String,
    /// Why, in the operator's words.
    pub why: String,
    /// What it would change, one sentence each.
    pub changes: Vec<String>,
    /// Whose approval it needs.
    pub needs: Vec<Need>,
}

/// One approval that a publication needs: of any of these owners.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Need {
    /// The folder whose owners they are: `domains/finance`, or `.` for the organisation's own.
    pub folder: String,
    /// The owners under the current revision, such as `operator:alice`.
    pub owners: Vec<String>,
    /// What asks for it, such as `domains/finance/policies/ledger.cedar` or `finance: mode goes from enforce to shadow`.
    pub because: Vec<String>,
    /// The owner who approved, or published it; `""` while none did.
    pub approved_by: String,
}

/// `POST /v1/proposals/approve`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// The proposal.
    pub number: u64,
    /// The revision that the operator looked at, 64 hexadecimal digits or the start of them: nobody approves what they
    /// have not seen.
    pub revision: String,
    /// Why, in the operator's words; `""` for nothing.
    pub why: String,
}

/// `POST /v1/proposals/withdraw`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdraw {
    /// The proposal.
    pub number: u64,
    /// Why, in the operator's words; `""` for nothing.
    pub why: String,
}

/// `POST /v1/operators/certify`: a certificate with which an operator asks from elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certify {
    /// The operator, a key of `operators` in countersign.yaml.
    pub name: String,
    /// A PKCS #10 request in PEM, proving the key. Its subject and extensions are not read.
    pub csr: String,
    /// For how many seconds; absent for the usual time.
    pub seconds: Option<u64>,
}

/// A certificate of an operator: `spiffe://system.<organisation>/operator/NAME`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Certified {
    /// The chain in PEM, leaf first.
    pub chain: String,
    /// The system root in PEM, to hold control to.
    pub root: String,
    /// The leaf's serial number, lower-case hexadecimal.
    pub serial: String,
    /// Last moment of validity.
    #[serde(with = "rfc3339")]
    pub not_after: Timestamp,
}
