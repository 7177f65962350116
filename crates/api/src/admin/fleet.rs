//! The fleet: who runs what elsewhere, and how somebody joins it.

use serde::{Deserialize, Serialize};
use types::Timestamp;

use super::{option_rfc3339, rfc3339};

/// What a peer does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Enforces.
    Proxy,
    /// Hands identities to the workloads of its node.
    Agent,
}

impl Role {
    /// The word, which is also the first part of the path of its identity.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Agent => "agent",
        }
    }
}

/// One peer, as control sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// What it does.
    pub role: Role,
    /// Its name, unique among those of its role.
    pub name: String,
    /// Where it connects from; `""` while it is not connected, `in this process` for one that shares control's.
    pub address: String,
    /// The version of its program, `""` before it was heard.
    pub version: String,
    /// When it joined.
    #[serde(with = "rfc3339")]
    pub joined: Timestamp,
    /// Whether it is connected.
    pub connected: bool,
    /// Since when it is, or is not; absent where it never was.
    #[serde(with = "option_rfc3339")]
    pub since: Option<Timestamp>,
    /// When it was last heard; absent for never.
    #[serde(with = "option_rfc3339")]
    pub heard: Option<Timestamp>,
    /// The domains that a proxy may serve; absent for all.
    pub domains: Option<Vec<String>>,
    /// The node groups of an agent; absent for all.
    pub groups: Option<Vec<String>>,
    /// The publication that it runs; absent before its first.
    pub publication: Option<u64>,
    /// The revision that it runs, 64 hexadecimal digits, `""` before its first.
    pub revision: String,
    /// Since when it runs that.
    #[serde(with = "option_rfc3339")]
    pub revision_since: Option<Timestamp>,
    /// How many publications it is behind what is current.
    pub publications_behind: u64,
    /// The epoch of its signals.
    pub epoch: Option<u64>,
    /// How many epochs it is behind.
    pub epochs_behind: u64,
    /// Why it does not run what is current, in words; `""` where it does, or is only late.
    pub problem: String,
    /// How far its clock is ahead of control's, in milliseconds; negative for behind.
    pub clock_ahead_millis: i64,
    /// Whether an operator took its trust away.
    pub revoked: bool,
    /// What it says of its work; absent for agents and before it was heard.
    pub load: Option<PeerLoad>,
    /// What control holds of its decision log; absent for agents.
    pub log: Option<PeerLog>,
}

/// Figures of an enforcer since its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PeerLoad {
    /// Allowed calls, would-denies among them.
    pub allowed: u64,
    /// Would-denies.
    pub would_deny: u64,
    /// Refused calls.
    pub refused: u64,
    /// Allowed exchanges that have not ended.
    pub open_exchanges: u64,
    /// Open connections.
    pub open_connections: u64,
}

/// The decision log of an enforcer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PeerLog {
    /// Bytes on its own disk.
    pub bytes: u64,
    /// The most that it may take there.
    pub max_bytes: u64,
    /// Bytes that control does not have yet.
    pub unshipped_bytes: u64,
    /// Bytes that control keeps of it.
    pub kept_bytes: u64,
    /// What is missing in what control keeps, one sentence each.
    pub gaps: Vec<String>,
}

/// `POST /v1/join-tokens`: let somebody join, once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MakeJoinToken {
    /// As what.
    pub role: Role,
    /// Under which name.
    pub name: String,
    /// The node group that an agent belongs to, a key of `nodes` in countersign.yaml; absent for a proxy.
    pub group: Option<String>,
    /// The domains that a proxy may serve; absent for all of them, and for an agent.
    pub domains: Option<Vec<String>>,
    /// For how many seconds the token is good.
    pub seconds: Option<u64>,
}

/// A join token. It is shown once and kept as a hash.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// The token.
    pub token: String,
    /// SHA-256 of the system root, which the joining process holds control to.
    pub root_sha256: String,
    /// Where control takes peers, as far as it knows; `""` where it takes none.
    pub address: String,
    /// Until when it is good.
    #[serde(with = "rfc3339")]
    pub until: Timestamp,
}

impl core::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("JoinToken").field("until", &self.until).finish_non_exhaustive()
    }
}

/// `POST /v1/peers/retire`: forget a peer that will not come back. Its certificate is refused from here on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retire {
    /// What it does.
    pub role: Role,
    /// Its name.
    pub name: String,
    /// Why, in the operator's words; `""` for nothing.
    pub why: String,
}

/// How far a change has come.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Reach {
    /// Enforcers in which it is in force.
    pub in_force: usize,
    /// Enforcers that joined.
    pub enforcers: usize,
    /// The others, one sentence each: `edge-2 is not connected since …`.
    pub waiting: Vec<String>,
}
