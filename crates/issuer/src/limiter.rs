//! How much one node and one workload may ask for, so that nobody's flood is anybody else's.
//!
//! Each node has an account of its own, and in it one for each of its workloads; accounts fill up by the minute. A node
//! that asks for too much is refused and nobody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::issuance::IssueError;
use types::limits::{self, Limit};
use types::{Clock, SpiffeId, Timestamp};

const MINUTE_MICROS: u64 = 60_000_000;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Kind {
    X509,
    Jwt,
}

impl Kind {
    const fn of_node(self) -> &'static Limit {
        match self {
            Self::X509 => &limits::ISSUANCE_NODE,
            Self::Jwt => &limits::JWT_NODE,
        }
    }

    const fn of_workload(self) -> &'static Limit {
        match self {
            Self::X509 => &limits::ISSUANCE_WORKLOAD,
            Self::Jwt => &limits::JWT_WORKLOAD,
        }
    }
}

pub(crate) struct Limiter {
    clock: Arc<dyn Clock>,
    nodes: Mutex<HashMap<String, Node>>,
}

#[derive(Default)]
struct Node {
    x509: Account,
    jwt: Account,
    workloads: HashMap<(SpiffeId, Kind), Account>,
}

/// What was taken and has not come back yet, in millionths of a minute's worth: idle accounts are all zero.
#[derive(Clone, Copy, Default)]
struct Account {
    /// Microseconds of the future that are used up.
    taken: u64,
    at: Timestamp,
}

impl Account {
    /// Takes one of a minute's `most`. False where they are used up.
    fn take(&mut self, most: u64, now: Timestamp) -> bool {
        let cost = MINUTE_MICROS / most.max(1);
        // a clock that went back neither gives nor takes
        let taken = self.taken.saturating_sub(now.micros_since(self.at));
        let room = taken.saturating_add(cost) <= MINUTE_MICROS;
        *self = Self { taken: if room { taken.saturating_add(cost) } else { taken }, at: now };
        room
    }

    fn is_idle(&self, now: Timestamp) -> bool {
        self.taken <= now.micros_since(self.at)
    }
}

impl Node {
    const fn account(&mut self, kind: Kind) -> &mut Account {
        match kind {
            Kind::X509 => &mut self.x509,
            Kind::Jwt => &mut self.jwt,
        }
    }

    fn is_idle(&self, now: Timestamp) -> bool {
        self.x509.is_idle(now) && self.jwt.is_idle(now) && self.workloads.values().all(|account| account.is_idle(now))
    }
}

impl Limiter {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, nodes: Mutex::default() }
    }

    /// Counts a question of a node; `""` is the node of this process.
    ///
    /// # Errors
    /// [`IssueError::Limited`].
    pub fn ask(&self, node: &str, kind: Kind) -> Result<(), IssueError> {
        let now = self.clock.now();
        let most = kind.of_node();
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if !nodes.contains_key(node) && nodes.len() >= limits::ISSUANCE_NODES.default_usize() {
            nodes.retain(|_, node| !node.is_idle(now));
            if nodes.len() >= limits::ISSUANCE_NODES.default_usize() {
                return Err(IssueError::Limited("too many nodes ask at once; ask again in a minute".to_owned()));
            }
        }
        if nodes.entry(node.to_owned()).or_default().account(kind).take(most.default, now) {
            return Ok(());
        }
        Err(IssueError::Limited(format!(
            "this node asked for more than {} in a minute (`{}`); ask again later",
            most.default, most.name
        )))
    }

    /// Counts an issuance for a workload on a node, which asked before.
    ///
    /// # Errors
    /// [`IssueError::Limited`].
    pub fn issue(&self, node: &str, id: &SpiffeId, kind: Kind) -> Result<(), IssueError> {
        let now = self.clock.now();
        let most = kind.of_workload();
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let workloads = &mut nodes.entry(node.to_owned()).or_default().workloads;
        let key = (id.clone(), kind);
        if !workloads.contains_key(&key) && workloads.len() >= limits::ISSUANCE_NODE_WORKLOADS.default_usize() {
            workloads.retain(|_, account| !account.is_idle(now));
            if workloads.len() >= limits::ISSUANCE_NODE_WORKLOADS.default_usize() {
                return Err(IssueError::Limited(
                    "this node asks for too many workloads; ask again in a minute".to_owned(),
                ));
            }
        }
        if workloads.entry(key).or_default().take(most.default, now) {
            return Ok(());
        }
        Err(IssueError::Limited(format!(
            "more than {} for this workload on this node in a minute (`{}`); ask again later",
            most.default, most.name
        )))
    }

    #[cfg(test)]
    pub fn accounts(&self) -> usize {
        self.nodes.lock().unwrap().values().map(|node| 2 + node.workloads.len()).sum()
    }
}
