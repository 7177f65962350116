//! Revocation: trust that an operator takes away, and gives back.

use serde::{Deserialize, Serialize};
use types::Timestamp;

use super::{Reach, option_rfc3339, rfc3339};

/// `POST /v1/revocations`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// `spiffe://…` or `DOMAIN/WORKLOAD`, `serial:HEX`, or `key:HEX` (SHA-256 of the public key's DER).
    pub subject: String,
    /// Why, in the operator's words; not empty.
    pub reason: String,
    /// For how many seconds; absent for good.
    pub seconds: Option<u64>,
}

/// `POST /v1/restore`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// The subject, as [`Revoke::subject`].
    pub subject: String,
    /// Why, in the operator's words; `""` for nothing.
    pub reason: String,
}

/// A revocation in force, or the one that was just lifted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Revocation {
    /// The subject in its full form.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// Who revoked it.
    pub operator: String,
    /// Since when.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// Until when; absent for good.
    #[serde(with = "option_rfc3339")]
    pub until: Option<Timestamp>,
    /// The epoch of the signals from which on it holds.
    pub epoch: u64,
    /// What the operator should know, such as that nobody has seen this serial number; `""` for nothing.
    pub note: String,
    /// How far the change has come; absent in listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
}
