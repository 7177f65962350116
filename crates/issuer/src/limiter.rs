//! How much one node and one workload may ask for, so that nobody's flood is anybody else's.
//!
//! Each node has an account of its own, and in it one for each of its workloads; accounts fill up by the minute. A node
//! that asks for too much is refused and nobody else. One that is full again says nothing, and is let go of.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    accounts: Mutex<Accounts>,
}

#[derive(Default)]
struct Accounts {
    nodes: HashMap<String, Node>,
    /// When those that were full again were let go of.
    tidied: Timestamp,
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

    /// Lets go of what is full again; true where nothing is left.
    fn tidy(&mut self, now: Timestamp) -> bool {
        self.workloads.retain(|_, account| !account.is_idle(now));
        if self.workloads.capacity() / 4 > self.workloads.len() {
            self.workloads.shrink_to_fit();
        }
        self.workloads.is_empty() && self.x509.is_idle(now) && self.jwt.is_idle(now)
    }
}

impl Accounts {
    fn tidy(&mut self, now: Timestamp) {
        self.nodes.retain(|_, node| !node.tidy(now));
        self.tidied = now;
    }
}

impl Limiter {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, accounts: Mutex::default() }
    }

    /// The accounts at this moment: once a minute without those that are full again.
    fn accounts(&self, now: Timestamp) -> MutexGuard<'_, Accounts> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if now.micros_since(accounts.tidied) >= MINUTE_MICROS {
            accounts.tidy(now);
        }
        accounts
    }

    /// Counts a question of a node; `""` is the node of this process.
    ///
    /// # Errors
    /// [`IssueError::Limited`].
    pub fn ask(&self, node: &str, kind: Kind) -> Result<(), IssueError> {
        let now = self.clock.now();
        let most = kind.of_node();
        let mut accounts = self.accounts(now);
        if !accounts.nodes.contains_key(node) && accounts.nodes.len() >= limits::ISSUANCE_NODES.default_usize() {
            accounts.tidy(now);
            if accounts.nodes.len() >= limits::ISSUANCE_NODES.default_usize() {
                return Err(IssueError::Limited("too many nodes ask at once; ask again in a minute".to_owned()));
            }
        }
        if accounts.nodes.entry(node.to_owned()).or_default().account(kind).take(most.default, now) {
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
        let mut accounts = self.accounts(now);
        let node = accounts.nodes.entry(node.to_owned()).or_default();
        let key = (id.clone(), kind);
        if !node.workloads.contains_key(&key) && node.workloads.len() >= limits::ISSUANCE_NODE_WORKLOADS.default_usize()
        {
            node.tidy(now);
            if node.workloads.len() >= limits::ISSUANCE_NODE_WORKLOADS.default_usize() {
                return Err(IssueError::Limited(
                    "this node asks for too many workloads; ask again in a minute".to_owned(),
                ));
            }
        }
        if node.workloads.entry(key).or_default().take(most.default, now) {
            return Ok(());
        }
        Err(IssueError::Limited(format!(
            "more than {} for this workload on this node in a minute (`{}`); ask again later",
            most.default, most.name
        )))
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.accounts.lock().unwrap().nodes.values().map(|node| 2 + node.workloads.len()).sum()
    }
}
