//! Identities: who may have which, who holds one now, how long everything goes on without an issuer, and the rotation of the
//! keys that all of it rests on.

use serde::{Deserialize, Serialize};
use types::{KeyKind, Timestamp};

use super::{Reach, option_rfc3339, rfc3339};

/// A workload that may have identities, and those that are held.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Registered {
    /// The SPIFFE ID.
    pub spiffe_id: String,
    /// `finance/payments`.
    pub workload: String,
    /// The kind of its key.
    pub key: KeyKind,
    /// Life of a certificate in seconds.
    pub ttl_seconds: u64,
    /// The rules that recognise it, as one line each; empty for one whose identities are issued elsewhere.
    pub rules: Vec<String>,
    /// The node groups that it may run on; absent for only the node that shares control's process.
    pub runs_on: Option<Vec<String>>,
    /// Whether an operator took its trust away.
    pub revoked: bool,
    /// What is held of it, by node.
    pub held: Vec<Held>,
}

/// An identity in somebody's hands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// The agent that handed it out; `in this process` for the one that shares control's.
    pub node: String,
    /// Its serial number.
    pub serial: String,
    /// Last moment of validity.
    #[serde(with = "rfc3339")]
    pub not_after: Timestamp,
    /// Attempts to renew it that failed since the last that did not.
    pub failures: u32,
    /// Whether the agent is connected: otherwise this is what it said last.
    pub connected: bool,
}

/// If issuance stopped now: what fails when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Budget {
    /// The moment of the answer.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// When the first identity runs out; absent where none is held.
    #[serde(with = "option_rfc3339")]
    pub first_failure: Option<Timestamp>,
    /// Seconds until then; absent where none is held.
    pub seconds: Option<u64>,
    /// The first twelve, soonest first.
    pub first: Vec<BudgetLine>,
    /// How many identities are counted.
    pub counted: u64,
    /// What the figure cannot know, one sentence each: agents that have not said what they hold, lists that were too long.
    pub unknown: Vec<String>,
}

/// One identity of the outage budget.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BudgetLine {
    /// The SPIFFE ID.
    pub spiffe_id: String,
    /// Where it is held: an agent or a proxy, or `in this process`.
    pub node: String,
    /// Last moment of validity.
    #[serde(with = "rfc3339")]
    pub not_after: Timestamp,
    /// Seconds until then; 0 for what has run out.
    pub seconds: u64,
}

/// Which keys of a domain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keys {
    /// The root and its key, which sign X.509-SVIDs.
    X509,
    /// The key that signs JWT-SVIDs.
    Jwt,
}

/// How far a rotation has come. Until the end each phase can be taken back to the one before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RotationPhase {
    /// No rotation is under way.
    Idle,
    /// The next key is made, and nobody knows it.
    Prepared,
    /// The next key is in the bundle; not everybody has it.
    Published,
    /// Everybody has the next key.
    Acknowledged,
    /// The next key signs; what the old one signed is still good.
    Signing,
}

/// The rotation of one domain's keys.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rotation {
    /// The domain.
    pub domain: String,
    /// Which keys.
    pub keys: Keys,
    /// How far it has come.
    pub phase: RotationPhase,
    /// Since when; absent where no rotation was ever made.
    #[serde(with = "option_rfc3339")]
    pub since: Option<Timestamp>,
    /// Whether it waits for an operator: it was taken back a step, and goes on when it is started again.
    pub held: bool,
    /// SHA-256 of the root, or the key id, that signs now.
    pub current: String,
    /// The same of the one that follows, or, while the new one signs, of the one that goes; `""` for none.
    pub other: String,
    /// The kind of the key that follows, or signs where none does.
    pub key: KeyKind,
    /// Whom it waits for, one sentence each.
    pub waiting_for: Vec<String>,
    /// Who was not waited for because they were not heard for too long, one sentence each.
    pub given_up: Vec<String>,
    /// When the old key is taken out of the bundle, where that is known.
    #[serde(with = "option_rfc3339")]
    pub retires_at: Option<Timestamp>,
    /// When the certificate of the present root, or nothing for a JWT key, ends.
    #[serde(with = "option_rfc3339")]
    pub not_after: Option<Timestamp>,
    /// How far the last change of the bundles has come; absent in listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
}

/// What to do with a rotation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RotationAct {
    /// Begin one, or let one that was taken back go on.
    Start,
    /// One step back, and stay there.
    Back,
    /// The present key is in somebody else's hands: a new one signs at once, and what the old one signed is good no more.
    Emergency,
}

/// `POST /v1/rotations`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// The domain.
    pub domain: String,
    /// Which keys.
    pub keys: Keys,
    /// What to do.
    pub act: RotationAct,
    /// Why, in the operator's words; not empty for an emergency.
    pub reason: String,
}

/// A trust domain of somebody else, and how fetching its bundle goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Federated {
    /// The trust domain.
    pub trust_domain: String,
    /// Where its bundle is fetched.
    pub url: String,
    /// `https_web` or `https_spiffe`.
    pub profile: String,
    /// How many roots are in force; 0 revokes everything of the domain.
    pub roots: u64,
    /// The sequence number in force; absent where the document had none.
    pub sequence: Option<u64>,
    /// When it was last fetched; absent while the first bundle from the trust directory is in force.
    #[serde(with = "option_rfc3339")]
    pub fetched: Option<Timestamp>,
    /// When it is fetched next.
    #[serde(with = "option_rfc3339")]
    pub next: Option<Timestamp>,
    /// Why the last attempt failed; `""` where it did not.
    pub problem: String,
}
