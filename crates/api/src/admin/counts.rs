//! Exact counts of what was decided, folded from the decision log.

use serde::{Deserialize, Serialize};
use types::{Timestamp, facts::Outcome};

use super::rfc3339;

/// The answer to a call as listings show it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Allowed, and nothing against it that counts.
    Allow,
    /// Allowed only because a check is in shadow.
    WouldDeny,
    /// Refused.
    Deny,
}

impl Answer {
    /// The answer of a decision: what it was, and whether a shadowed check would have refused.
    pub const fn of(outcome: Outcome, shadowed: bool) -> Self {
        match (outcome, shadowed) {
            (Outcome::Deny, _) => Self::Deny,
            (Outcome::Allow, true) => Self::WouldDeny,
            (Outcome::Allow, false) => Self::Allow,
        }
    }

    /// The word of listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::WouldDeny => "would-deny",
            Self::Deny => "deny",
        }
    }
}

/// `GET /v1/counts`: of which time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CountQuery {
    /// From the minute of this moment on, in microseconds since 1970; absent for as far as the counts go back.
    pub since: Option<u64>,
    /// Up to and without the minute of this moment; absent for the present moment.
    pub until: Option<u64>,
}

/// How often one thing happened. A call that several checks in shadow would have refused is counted under each of them;
/// [`Minute`] counts each call once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Count {
    /// Who called: `finance/payments`, a SPIFFE ID, or `""` where nobody was identified.
    pub caller: String,
    /// The service, `""` before routing.
    pub service: String,
    /// The method, `""` before parsing.
    pub method: String,
    /// The path template, `""` where none matched.
    pub template: String,
    /// The answer.
    pub answer: Answer,
    /// The check that refused or would have, as `modes` names it; `""` for an allow, and for what has no mode.
    pub check: String,
    /// The reason code, `""` for an allow.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// One minute of all calls together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Minute {
    /// Its beginning.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// Allowed calls.
    pub allow: u64,
    /// Would-denies.
    pub would_deny: u64,
    /// Refused calls.
    pub deny: u64,
}
