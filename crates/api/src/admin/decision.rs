//! Decisions: how they are asked for, listed and explained.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use types::facts::{Outcome, Protocol};
use types::{DecisionId, Mode, Timestamp};

use super::access::{Clause, NearPermit, Noted};
use super::counts::Answer;
use super::{option_rfc3339, rfc3339};

/// `GET /v1/decisions`: which ones.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecisionQuery {
    /// Only calls of this workload (`finance/payments`) or SPIFFE ID.
    pub caller: Option<String>,
    /// Only this answer.
    pub outcome: Option<Answer>,
    /// Only what happened at or after this moment, in microseconds since 1970.
    pub since: Option<u64>,
    /// At most the latest so many, all when absent; what follows is not counted.
    pub limit: Option<usize>,
    /// Stay, and give what happens from now on.
    pub follow: bool,
}

/// One line of a listing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Entry {
    /// A request that was decided.
    Decision(Box<Decision>),
    /// Refusals before identity that were counted, not recorded one by one.
    Refusals(Refusals),
    /// A place where the log is not as it was written.
    Damage(Damage),
}

/// A place where the log is not as it was written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Damage {
    /// Which file, where in it, and what is wrong.
    pub message: String,
}

/// One decision, joined with how it ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// The id that the caller was given.
    pub id: DecisionId,
    /// When it was decided.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// The answer.
    pub outcome: Outcome,
    /// The reason code of a denial, `""` for an allow.
    pub reason: String,
    /// What the operator should know beyond the reason, `""` for nothing.
    pub note: String,
    /// Who called: `finance/payments`, a SPIFFE ID where it is no workload of ours, `""` where nobody was identified.
    pub caller: String,
    /// What is known of the caller's identity.
    pub identity: Identity,
    /// The listener.
    pub listener: String,
    /// The protocol of the request.
    pub protocol: Protocol,
    /// The peer's network address.
    pub source: Option<IpAddr>,
    /// The host that was asked for: the server name until a request is read, `""` where not even that is known.
    pub host: String,
    /// The service, `""` before routing.
    pub service: String,
    /// The method, `""` before parsing.
    pub method: String,
    /// The path template, `*` for an unlisted route that is judged, `""` where none matched.
    pub template: String,
    /// The risk that policies saw.
    pub risk: Option<u8>,
    /// The determining policies.
    pub determining: Vec<String>,
    /// The refusals of checks that do not enforce.
    pub noted: Vec<Noted>,
    /// The epoch of the signals that were held against the caller; absent before the call was situated.
    pub epoch: Option<u64>,
    /// The revision that decided, 64 hexadecimal digits.
    pub revision: Option<String>,
    /// The enforcer that decided it, by its name in node.yaml.
    #[serde(default)]
    pub enforcer: String,
    /// The lane of the log that holds the record.
    pub lane: String,
    /// Its place in that lane.
    pub sequence: u64,
    /// How the request ended; absent for a denial and while it lasts.
    pub completion: Option<Completion>,
}

impl Decision {
    /// The answer as listings show it.
    pub fn answer(&self) -> Answer {
        Answer::of(self.outcome, self.noted.iter().any(|noted| noted.mode == Mode::Shadow))
    }
}

/// What is known of a caller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// Proven by a certificate.
    Verified(Certificate),
    /// Not established.
    Unidentified {
        /// The SPIFFE ID that a refused certificate claimed, `""` where there was none.
        claimed: String,
    },
}

/// The certificate that proved a caller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Certificate {
    /// The SPIFFE ID.
    pub spiffe_id: String,
    /// The serial number, lower-case hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate, lower-case hexadecimal.
    pub sha256: String,
    /// First moment of validity.
    #[serde(with = "rfc3339")]
    pub not_before: Timestamp,
    /// Last moment of validity.
    #[serde(with = "rfc3339")]
    pub not_after: Timestamp,
    /// The operator on whose behalf the workload was impersonated, `""` for the workload itself.
    pub via: String,
}

/// How an allowed request ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Completion {
    /// The status that the upstream gave; absent where it gave none.
    pub status: Option<u16>,
    /// `""`, or why it did not end well: a reason code; `caller-gone` when the caller went away before the end;
    /// `caller-stalled` when it stayed and took nothing of the response for the service's `limits.idle`; `stopped` when
    /// the gateway stopped and the drain time was over before the end. The list is [`types::Failure`].
    pub reason: String,
    /// Microseconds from the decision to the end of the response.
    pub duration_micros: u64,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// Where the exchange was cut because it was no longer allowed: the revision that says so, 64 hexadecimal digits.
    pub revision: Option<String>,
    /// Where the exchange was cut because it was no longer allowed: the epoch of the signals then.
    pub epoch: Option<u64>,
}

/// Refusals before identity, counted together.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusals {
    /// When they were recorded.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// When the first happened.
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    /// The listener.
    pub listener: String,
    /// The reason code.
    pub reason: String,
    /// The source of the first of them.
    pub source: Option<IpAddr>,
    /// How many.
    pub count: u64,
}

/// The story of one decision: `GET /v1/decisions/{id}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The record.
    pub decision: Decision,
    /// The steps of the request's life, in order, each with what came of it.
    pub steps: Vec<Step>,
    /// The policies that determined the answer, and those of noted refusals, as the deciding revision has them.
    pub policies: Vec<PolicyNote>,
    /// Whether the deciding revision is the one in force now.
    pub revision_in_force: bool,
    /// What is not known, such as a revision that is no longer there; empty where nothing is missing.
    pub unknown: Vec<String>,
    /// Whether anything reached an upstream.
    pub forwarded: bool,
    /// What would have to change for another answer; for an allow, what would before the checks that spared it enforce,
    /// `""` for nothing.
    pub to_change: String,
    /// Where no permit matches the call, forbids and consent left aside, those that come nearest, the nearest first.
    pub nearest: Vec<NearPermit>,
    /// What the caller was told; `""` where it got no answer of ours.
    pub told: String,
    /// When the deciding revision became current; absent where that is not known.
    #[serde(with = "option_rfc3339")]
    pub revision_since: Option<Timestamp>,
    /// What the called domain's checks did by default when this was decided; absent before routing.
    pub mode: Option<Mode>,
}

/// What came of one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepResult {
    /// Done, nothing against it.
    Passed,
    /// The request was refused here.
    Refused,
    /// It did not end well, after it was allowed.
    Failed,
    /// The request did not get here.
    NotReached,
    /// Nobody knows yet: the request lasts, or the process ended before it did.
    Pending,
    /// Something that policies saw; nothing is judged here.
    Noted,
    /// It would have refused, but its check observes or shadows.
    WouldRefuse,
}

/// One step of a request's life.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// `accept` (only where it refused), `identity`, `parse`, `route`, `signals`, `limits`, `risk`, `consent`, `requires`,
    /// `policy`, `record` or `upstream`.
    pub name: String,
    /// What came of it.
    pub result: StepResult,
    /// A few words, such as `verified` or `not reached`.
    pub summary: String,
    /// What it rests on, one fact a line.
    pub facts: Vec<String>,
}

/// A determining policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PolicyNote {
    /// Its id, such as `finance/payments-posts-entries`.
    pub id: String,
    /// `permit` or `forbid`.
    pub effect: String,
    /// Its `@reason`.
    pub reason: String,
    /// The file it stands in, or for a generated policy the file that it comes from, relative to the trust directory.
    pub path: Option<String>,
    /// The line at which it begins, counted from 1.
    pub line: Option<usize>,
    /// Whether it was made from `requires`, `accepts_from` or `calls` rather than written.
    pub generated: bool,
    /// Its source text.
    pub source: String,
    /// How its clauses stood for this call: of a forbid that matched, those that made it match. Empty where that is not
    /// known, and for a generated policy, whose reason says it.
    pub clauses: Vec<Clause>,
}
