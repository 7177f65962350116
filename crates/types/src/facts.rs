//! What a record says: the facts of decisions, completions, refusals before identity, issuance and the enforcer's life.
//!
//! The same borrowed structures are encoded on the request path and handed out by the log's reader, so that writer and
//! reader cannot drift apart. Nothing here can hold a token, a body, a query or a path parameter: requests are named by
//! route template (DESIGN section 7).

use core::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{DecisionId, Mode, RevisionId, Timestamp};

/// Something that can be appended to the decision log. `record::append` takes it by value and gives back proof that it
/// was written; the proof is what forwarding needs.
pub trait Recordable {
    /// The facts to write.
    fn facts(&self) -> Facts<'_>;
}

/// The body of a record.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[expect(
    clippy::large_enum_variant,
    reason = "borrowed for one record at a time; a box would be an allocation per decision"
)]
pub enum Facts<'a> {
    /// A request was decided.
    Decision(Decision<'a>),
    /// An allowed request ended.
    Completion(Completion<'a>),
    /// Refusals before identity, counted together.
    Refusals(Refusals<'a>),
    /// A credential was issued, or refused.
    Issuance(Issuance<'a>),
    /// The enforcer started, stopped or loaded a revision.
    Lifecycle(Lifecycle<'a>),
    /// An operator did something, or was refused it.
    Administration(Administration<'a>),
}

/// Allow or deny. Closed by nature.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Forwarded, or to be forwarded.
    Allow,
    /// Refused.
    Deny,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// One decision. Strings are `""` where the step that would have found them was not reached.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Decision<'a> {
    /// The id that the caller was given.
    pub id: DecisionId,
    /// The answer.
    pub outcome: Outcome,
    /// The reason code of a denial, `""` for an allow. See [`crate::Reason`].
    pub reason: &'a str,
    /// What the operator should know beyond the reason, within `note_bytes`; no secrets, no personal data.
    pub note: &'a str,
    /// The listener that took the call.
    pub listener: &'a str,
    /// The revision that decided; absent where there was none.
    pub revision: Option<RevisionId>,
    /// The peer's network address.
    pub source: Option<IpAddr>,
    /// The protocol of the request.
    pub protocol: Protocol,
    /// Who called.
    pub caller: Caller<'a>,
    /// The host that was asked for: the canonical Host once it was parsed, before that the TLS server name; `""` for
    /// neither.
    pub host: &'a str,
    /// The service, such as `finance/ledger`; `""` before routing.
    pub service: &'a str,
    /// The method, `""` before parsing.
    pub method: &'a str,
    /// The path template of the route; `*` for the pseudo-route; `""` where none matched.
    pub template: &'a str,
    /// The risk that policies saw, 0 to 100; absent before the call was situated.
    pub risk: Option<u8>,
    /// The determining policies: the permits of an allow, the forbids of a denial.
    pub determining: Vec<&'a str>,
    /// The refusals of checks that do not enforce, in the order of the request's life.
    pub noted: Vec<Noted<'a>>,
    /// The epoch of the signals that were held against the caller; absent before the call was situated.
    pub epoch: Option<u64>,
}

/// A refusal that did not refuse, because its check observes or shadows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Noted<'a> {
    /// The check, as `modes` of a domain names it: `requires.identity`, `consent`, `routes.unlisted`, `permit` or
    /// `policy.ID`.
    pub check: &'a str,
    /// Observe or shadow.
    pub mode: Mode,
    /// The reason code that the refusal would have.
    pub reason: &'a str,
    /// The policy that would refuse, `""` for none.
    pub policy: &'a str,
}

impl Decision<'_> {
    /// The first refusal that the caller is spared only because its check is in shadow: what makes an allow a would-deny.
    pub fn would_deny(&self) -> Option<&Noted<'_>> {
        self.noted.iter().find(|noted| self.outcome == Outcome::Allow && noted.mode == Mode::Shadow)
    }
}

/// How a request came in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Protocol {
    /// No request was read.
    #[serde(rename = "tls")]
    Tls,
    /// HTTP/1.0 or HTTP/1.1.
    #[serde(rename = "http/1.1")]
    Http1,
    /// HTTP/2.
    #[serde(rename = "h2")]
    Http2,
}

/// Who called, as far as it was established.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "identity", rename_all = "kebab-case")]
pub enum Caller<'a> {
    /// Proven by a certificate.
    Verified(Peer<'a>),
    /// Not established; the reason is the decision's own.
    Unidentified {
        /// The SPIFFE ID that the refused certificate claimed, for the operator only; `""` where there was none.
        claimed: &'a str,
    },
}

/// A verified peer.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Peer<'a> {
    /// The SPIFFE ID.
    pub spiffe_id: &'a str,
    /// The certificate's serial number, lower-case hexadecimal without separators.
    pub serial: &'a str,
    /// SHA-256 of the certificate.
    #[serde(serialize_with = "hex")]
    pub sha256: [u8; 32],
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last moment of validity.
    pub not_after: Timestamp,
    /// The operator for whom the certificate was issued to impersonate the workload, `""` for the workload itself.
    pub via: &'a str,
}

/// How an allowed request ended.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Completion<'a> {
    /// The decision.
    pub id: DecisionId,
    /// The upstream's status; absent where it gave none.
    pub status: Option<u16>,
    /// `""`, or why it did not end well: the code of a [`Failure`](crate::Failure).
    pub reason: &'a str,
    /// Microseconds from the decision to the end of the response.
    pub micros: u64,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// Where the exchange was cut because it was no longer allowed: the revision that says so.
    pub revision: Option<RevisionId>,
    /// Where the exchange was cut because it was no longer allowed: the epoch of the signals then.
    pub epoch: Option<u64>,
}

/// Refusals before identity that were not recorded one by one.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Refusals<'a> {
    /// The listener.
    pub listener: &'a str,
    /// The reason code.
    pub reason: &'a str,
    /// The source of the first of them.
    pub source: Option<IpAddr>,
    /// How many.
    pub count: u64,
    /// When the first happened.
    pub since: Timestamp,
}

/// A credential issued or refused.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Issuance<'a> {
    /// Issued or refused.
    pub outcome: Outcome,
    /// Why not; where issued, why: which rule of which workload recognised it, and where.
    pub note: &'a str,
    /// The SPIFFE ID; `""` where none was found for the caller.
    pub spiffe_id: &'a str,
    /// The serial number as in [`Peer::serial`], `sha256:` and the digest of a token, `""` where refused.
    pub serial: &'a str,
    /// Last moment of validity; absent where refused.
    pub not_after: Option<Timestamp>,
    /// What was attested, such as `uid:1001 path:/opt/payments/bin`.
    pub selectors: &'a str,
    /// The operator who asked to impersonate, `""` for the workload itself.
    pub via: &'a str,
}

/// The enforcer's own life.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Lifecycle<'a> {
    /// `started`, `stopped` or `revision`.
    pub event: &'a str,
    /// The version of the program.
    pub version: &'a str,
    /// The revision in force.
    pub revision: Option<RevisionId>,
}

/// An administrative act.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Administration<'a> {
    /// An act of policies, such as `publish` or `revoke`; or what happened on the wire: `join`, `rejoin`, `renew`, `connect`,
    /// `want`, `mint`, `ship`, `adopt`.
    pub act: &'a str,
    /// Done, or refused.
    pub outcome: Outcome,
    /// The operator.
    pub operator: &'a str,
    /// What it is about: a subject of signals; `""` where a revision is.
    pub subject: &'a str,
    /// The operator's own words.
    pub why: &'a str,
    /// What came of it: what changed, or why it was refused.
    pub note: &'a str,
    /// The revision that a publication makes current.
    pub revision: Option<RevisionId>,
    /// Until when it holds; absent for good.
    pub until: Option<Timestamp>,
}

/// Serializes bytes as lower-case hexadecimal.
fn hex<S: serde::Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&RevisionId::from_digest(*bytes))
}
