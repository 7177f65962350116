//! Publications: what makes a revision current, and what they say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::Timestamp;

use super::rfc3339;

/// `POST /v1/publications`: make these files the current revision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// The texts of the trust directory by path, `/` between folders.
    pub files: BTreeMap<String, String>,
    /// Why, in the operator's words; `""` for nothing.
    pub why: String,
    /// The revision that the operator took to be current, 64 hexadecimal digits; where another one is, nothing is
    /// published. Absent for no matter which.
    pub after: Option<String>,
}

/// `POST /v1/rollback`: make a revision current that was so before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The revision: 64 hexadecimal digits, or the start of them as listings print it.
    pub revision: String,
    /// Why, in the operator's words; `""` for nothing.
    pub why: String,
}

/// One publication.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Publication {
    /// Its number, from 1 on.
    pub number: u64,
    /// The revision that it made current, 64 hexadecimal digits.
    pub revision: String,
    /// What kind.
    pub kind: PublicationKind,
    /// When.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// Who.
    pub operator: String,
    /// Why, in the operator's words.
    pub why: String,
    /// What it changed, one sentence each, such as `policy finance/freeze added`.
    pub changes: Vec<String>,
    /// The owners who approved it, in the order in which they did: `alice`. Empty where it needed nobody beside its
    /// operator.
    #[serde(default)]
    pub approvals: Vec<String>,
    /// Whether its revision is the current one.
    pub current: bool,
}

/// The kinds of publication.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublicationKind {
    /// Into an empty store, at a start.
    First,
    /// New files.
    Publish,
    /// A revision that was current before.
    Rollback,
}
