//! The admin service: what an operator's command line, and later the console, ask of control, and what it answers.
//!
//! These types are the JSON of `DATA/admin.sock`. Text that names policies is for operators only; what a caller of a
//! service sees is decided elsewhere.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use types::Timestamp;

mod access;
mod approval;
mod change;
mod counts;
mod decision;
mod fleet;
mod identity;
mod operation;
mod trust;

pub use access::{Access, AccessResult, Clause, MapDomain, MapService, NearPermit, Noted};
pub use approval::{Approve, Certified, Certify, Need, Proposal, Published, Withdraw};
pub use change::{Publication, PublicationKind, Publish, Rollback};
pub use counts::{Answer, Count, CountQuery, Minute};
pub use decision::{
    Certificate, Completion, Damage, Decision, DecisionQuery, Entry, Explanation, Identity, PolicyNote, Refusals, Step,
    StepResult,
};
pub use fleet::{JoinToken, MakeJoinToken, Peer, PeerLoad, PeerLog, Reach, Retire, Role};
pub use identity::{
    Budget, BudgetLine, Federated, Held, Keys, Registered, Rotate, Rotation, RotationAct, RotationPhase,
};
pub use operation::{Finding, Health, LoginLink, Session, Severity};
pub use trust::{Restore, Revocation, Revoke};

/// How many decisions a listing shows where nobody says how many.
pub const DEFAULT_LIMIT: usize = 50;

/// The service itself. Implemented by control, asked by the admin socket's handlers.
pub trait Admin: Send + Sync {
    /// What runs here.
    fn status(&self) -> Status;

    /// Issues a short-lived certificate in the name of a workload to an operator. Judged and recorded, also when refused.
    ///
    /// # Errors
    /// [`Failure`] when the workload is unknown, the request is not readable, policy refuses or nothing can be recorded.
    fn impersonate(&self, operator: &str, request: &Impersonate) -> Result<Impersonated, Failure>;

    /// The decisions asked for, oldest first, each joined with its completion. Ends when there are no more, or never
    /// when the question follows. Dropping the receiver ends the work behind it.
    ///
    /// # Errors
    /// [`Failure`] when the log cannot be read.
    fn decisions(&self, query: &DecisionQuery) -> Result<Decisions, Failure>;

    /// The story of one decision, named by its id or by the short form that listings print.
    ///
    /// # Errors
    /// [`Failure`] when no decision or more than one has that name.
    fn explain(&self, name: &str) -> Result<Explanation, Failure>;

    /// The roots and JWT keys of one domain, or of a federated trust domain.
    ///
    /// # Errors
    /// [`Failure`] when there is no such domain.
    fn bundle(&self, domain: &str) -> Result<Bundle, Failure>;

    /// Every registered workload with what is held of it, by SPIFFE ID.
    ///
    /// # Errors
    /// [`Failure`] when nothing can be read.
    fn identities(&self) -> Result<Vec<Registered>, Failure>;

    /// If issuance stopped now: what fails when.
    ///
    /// # Errors
    /// [`Failure`] when nothing can be read.
    fn budget(&self) -> Result<Budget, Failure>;

    /// The rotation of the keys of every domain: first the roots, then the JWT keys, by domain.
    ///
    /// # Errors
    /// [`Failure`] when nothing can be read.
    fn rotations(&self) -> Result<Vec<Rotation>, Failure>;

    /// Begins, takes back or forces a rotation.
    ///
    /// # Errors
    /// [`Failure`] when there is no such domain, the step cannot be taken from where it is, policy refuses, or the keys or
    /// the record do not take it. What signed before goes on signing.
    fn rotate(&self, operator: &str, request: &Rotate) -> Result<Rotation, Failure>;

    /// The federated trust domains, by name.
    ///
    /// # Errors
    /// [`Failure`] when nothing can be read.
    fn federated(&self) -> Result<Vec<Federated>, Failure>;

    /// Whether an operator may see what control knows: asked before every question that changes nothing.
    ///
    /// # Errors
    /// [`Failure`] when policy refuses, or the refusal cannot be recorded.
    fn may_view(&self, operator: &str) -> Result<(), Failure>;

    /// Checks files, runs their tests, and makes them the current revision, or proposes them where owners of what they
    /// touch have not approved yet. Publishing what is current already changes nothing and gives the publication that made
    /// it so. Waits a moment for enforcers to have it.
    ///
    /// # Errors
    /// [`Failure`] when they do not validate, a test fails, another revision is current than the operator took to be, or
    /// the store or the record does not take it. What ran goes on.
    fn publish(&self, operator: &str, request: &Publish) -> Result<Published, Failure>;

    /// Makes a revision current that was so before, or proposes to.
    ///
    /// # Errors
    /// [`Failure`] when it is unknown, its name is short for more than one, it does not validate any more, or the store or
    /// the record does not take it.
    fn rollback(&self, operator: &str, request: &Rollback) -> Result<Published, Failure>;

    /// The publications that wait for approval, the latest first.
    ///
    /// # Errors
    /// [`Failure`] when the store cannot be read.
    fn proposals(&self) -> Result<Vec<Proposal>, Failure>;

    /// Approves a proposal as an owner. The last approval that it needs makes it current.
    ///
    /// # Errors
    /// [`Failure`] when there is no such proposal, it is another one than the operator looked at, something else became
    /// current meanwhile, the operator owns nothing that it needs, or the store or the record does not take it.
    fn approve(&self, operator: &str, request: &Approve) -> Result<Published, Failure>;

    /// Takes a proposal back: whoever made it, and the owners of what it touches.
    ///
    /// # Errors
    /// [`Failure`] when there is no such proposal, the operator may not, or the store or the record does not take it.
    fn withdraw(&self, operator: &str, request: &Withdraw) -> Result<Proposal, Failure>;

    /// Everybody who joined: proxies, then agents, by name.
    ///
    /// # Errors
    /// [`Failure`] when the store cannot be read.
    fn fleet(&self) -> Result<Vec<Peer>, Failure>;

    /// A token with which one peer may join, once.
    ///
    /// # Errors
    /// [`Failure`] when the name is taken, the group or a domain is unknown, policy refuses, or the store or the record
    /// does not take it.
    fn join_token(&self, operator: &str, request: &MakeJoinToken) -> Result<JoinToken, Failure>;

    /// Forgets a peer: its identity is refused from here on, and its name is free.
    ///
    /// # Errors
    /// [`Failure`] when there is no such peer, it shares control's process, policy refuses, or the store or the record does
    /// not take it.
    fn retire(&self, operator: &str, request: &Retire) -> Result<Peer, Failure>;

    /// A certificate with which an operator asks from elsewhere.
    ///
    /// # Errors
    /// [`Failure`] when there is no such operator, the request is not readable, policy refuses, or the store or the record
    /// does not take it.
    fn certify(&self, operator: &str, request: &Certify) -> Result<Certified, Failure>;

    /// The publications, the latest first, at most so many.
    ///
    /// # Errors
    /// [`Failure`] when the store cannot be read.
    fn publications(&self, limit: usize) -> Result<Vec<Publication>, Failure>;

    /// Takes a subject's trust away: the next request is refused, what is open is cut.
    ///
    /// # Errors
    /// [`Failure`] when the subject is none, is unknown or may not be revoked, or the store or the record does not take it.
    fn revoke(&self, operator: &str, request: &Revoke) -> Result<Revocation, Failure>;

    /// Gives a subject its trust back.
    ///
    /// # Errors
    /// [`Failure`] when it is not revoked, or the store or the record does not take it.
    fn restore(&self, operator: &str, request: &Restore) -> Result<Revocation, Failure>;

    /// The revocations in force, the latest first.
    ///
    /// # Errors
    /// [`Failure`] when the store cannot be read.
    fn revocations(&self) -> Result<Vec<Revocation>, Failure>;

    /// Exact counts of a time, the most frequent first.
    ///
    /// # Errors
    /// [`Failure`] when the counts cannot be read.
    fn counts(&self, query: &CountQuery) -> Result<Vec<Count>, Failure>;

    /// The minutes of a time, one after the other without gaps.
    ///
    /// # Errors
    /// [`Failure`] when the counts cannot be read, or the time is longer than a day.
    fn minutes(&self, query: &CountQuery) -> Result<Vec<Minute>, Failure>;

    /// Who can call a route, such as `finance/ledger POST /entries` or `POST https://ledger.acme.internal/entries`.
    ///
    /// # Errors
    /// [`Failure`] when the running revision has no such route.
    fn who_can(&self, route: &str) -> Result<Vec<Access>, Failure>;

    /// What a workload can call.
    ///
    /// # Errors
    /// [`Failure`] when the running revision has no such workload.
    fn what_can(&self, caller: &str) -> Result<Vec<Access>, Failure>;

    /// The organisation as the running revision describes it.
    fn map(&self) -> Vec<MapDomain>;

    /// Whether calls are taken and decided, and why not.
    fn health(&self) -> Health;

    /// Everything that an operator should look at, and what is as it should be.
    fn doctor(&self) -> Vec<Finding>;

    /// Figures in the OpenMetrics text format.
    fn metrics(&self) -> String;

    /// A link that logs one browser in, once. Older links stay good until they end or are used.
    ///
    /// # Errors
    /// [`Failure`] when no console is served, or the store or the record does not take it.
    fn login_link(&self, operator: &str) -> Result<LoginLink, Failure>;

    /// Turns the secret of a link into a session. `None` for one that is unknown, used or over.
    ///
    /// # Errors
    /// [`Failure`] when the store or the record does not take it.
    fn log_in(&self, secret: &str) -> Result<Option<Session>, Failure>;

    /// The operator of a session; `None` for one that is unknown or over.
    fn session(&self, secret: &str) -> Option<String>;

    /// Ends a session.
    fn log_out(&self, secret: &str);
}

/// Entries as they are found. A full channel holds the reader of the log back.
pub type Decisions = tokio::sync::mpsc::Receiver<Entry>;

/// What runs here: the answer of `GET /v1/status`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// The organisation's trust domain suffix, such as `acme.internal`.
    pub organisation: String,
    /// The node's name.
    pub node: String,
    /// When this process began to serve.
    #[serde(with = "rfc3339")]
    pub started: Timestamp,
    /// The running revision, 64 hexadecimal digits.
    pub revision: String,
    /// What the running revision holds.
    pub counts: Counts,
    /// The listeners that take calls.
    pub listeners: Vec<ListenerStatus>,
    /// Each host that is served, and the domain that claims it.
    pub hosts: BTreeMap<String, String>,
    /// A listed path to try for each host that has one: answered to GET, without parameters.
    pub paths: BTreeMap<String, String>,
    /// The directory of keys, log and sockets.
    pub data: String,
    /// The Workload API's socket.
    pub workload_socket: String,
    /// Where the console is served; absent where it is not.
    pub console: Option<SocketAddr>,
    /// What was found when the decision log was opened after a crash; empty after a clean stop.
    pub log_findings: Vec<String>,
}

/// What a revision holds, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Business domains.
    pub domains: usize,
    /// Services.
    pub services: usize,
    /// Listed routes of all services.
    pub routes: usize,
    /// Callers, those implied by services included.
    pub workloads: usize,
    /// Policies people wrote, generated ones not counted.
    pub policies: usize,
}

/// One listener.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Its name in node.yaml.
    pub name: String,
    /// Where it listens in fact.
    pub address: SocketAddr,
    /// The domains it serves.
    pub domains: Vec<String>,
    /// Whether callers speak to it without TLS.
    pub plaintext: bool,
}

/// `POST /v1/impersonate`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Impersonate {
    /// The workload, such as `finance/payments`.
    pub workload: String,
    /// A PKCS #10 request in PEM, proving the key. Its subject and extensions are not read.
    pub csr: String,
}

/// A certificate in the name of a workload.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Impersonated {
    /// The SPIFFE ID of the workload.
    pub spiffe_id: String,
    /// The chain in PEM, leaf first.
    pub chain: String,
    /// The leaf's serial number, lower-case hexadecimal.
    pub serial: String,
    /// Last moment of validity.
    #[serde(with = "rfc3339")]
    pub not_after: Timestamp,
    /// The operator that the certificate names.
    pub via: String,
}

/// The roots of a trust domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bundle {
    /// The trust domain, such as `finance.acme.internal`.
    pub trust_domain: String,
    /// The roots in PEM.
    pub roots: String,
    /// The SPIFFE bundle document (a JWK Set): roots, JWT keys, sequence and refresh hint.
    pub document: String,
}

/// Why the admin service did not do what was asked. The status of the response follows from `code`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure.
    pub code: FailureCode,
    /// What happened: lower case, no period.
    pub message: String,
    /// What to do, `""` for nothing.
    pub hint: String,
}

/// The kinds of failure of the admin service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureCode {
    /// The question cannot be understood.
    BadRequest,
    /// Nobody that control knows asks: no operator's certificate, or not one of its operators' user ids.
    Unidentified,
    /// Policy refuses it, or it comes from a page of a browser.
    NotAllowed,
    /// There is no such thing.
    NotFound,
    /// There is such a question, and not by that method.
    WrongMethod,
    /// The question is longer than what is read.
    TooLarge,
    /// The question is not JSON.
    WrongType,
    /// More than one thing has that name.
    Ambiguous,
    /// Something else happened first.
    Conflict,
    /// It cannot be done now.
    Unavailable,
}

impl FailureCode {
    /// The HTTP status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unidentified => 401,
            Self::NotAllowed => 403,
            Self::NotFound => 404,
            Self::WrongMethod => 405,
            Self::TooLarge => 413,
            Self::WrongType => 415,
            Self::Ambiguous | Self::Conflict => 409,
            Self::Unavailable => 503,
        }
    }
}

impl Failure {
    /// Puts a failure together.
    pub fn new(code: FailureCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into() }
    }
}

/// Moments as RFC 3339 in UTC with microseconds.
mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use types::Timestamp;

    pub(super) fn serialize<S: Serializer>(moment: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(moment)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
        u64::try_from(parsed.as_microsecond())
            .map(Timestamp::from_micros)
            .map_err(|_| D::Error::custom("a moment before 1970"))
    }
}

/// Moments that may be absent, as [`rfc3339`].
mod option_rfc3339 {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use types::Timestamp;

    use super::rfc3339;

    #[derive(Serialize, Deserialize)]
    struct Moment(#[serde(with = "rfc3339")] Timestamp);

    pub(super) fn serialize<S: Serializer>(moment: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        moment.map(Moment).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<Moment>::deserialize(deserializer)?.map(|Moment(moment)| moment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_travel_as_rfc_3339_and_come_back() {
        let refusals = Refusals {
            at: Timestamp::from_micros(1_795_425_242_131_004),
            since: Timestamp::from_seconds(1_795_425_242),
            listener: "gateway".into(),
            reason: "identity.missing".into(),
            source: None,
            count: 3,
        };
        let text = serde_json::to_string(&Entry::Refusals(refusals.clone())).unwrap();
        assert!(text.contains(r#""kind":"refusals","at":"2026-11-23T"#), "{text}");
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), Entry::Refusals(refusals));
    }

    #[test]
    fn a_question_with_an_unknown_key_is_refused() {
        assert!(serde_json::from_str::<DecisionQuery>(r#"{"callr":"finance/payments"}"#).is_err());
    }
}
