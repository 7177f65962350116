//! What peers said that is kept in memory only: which bundles they hold, and what agents have handed out. It is said again
//! with every connection.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::wire::content::{self, Holdings};
use api::admin::Role;
use api::issuance::HeldSvid;
use types::{Label, SpiffeId, Timestamp};

use crate::peers::{Name, Peers, Seen};
use crate::service::Control;

/// What was heard, by peer.
#[derive(Default)]
pub(crate) struct Heard(Mutex<BTreeMap<Name, Said>>);

/// What one of them said.
#[derive(Clone, Default)]
struct Said {
    /// Whose key it was: who joins under the name of somebody who retired has said nothing.
    key: Option<[u8; 32]>,
    /// The number of the bundles that it has in force, whole.
    bundles: u64,
    /// Why it did not take the last ones, or not all of them; `""` where it did.
    problem: String,
    held: Option<Holdings>,
}

/// What a peer says that is held there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NodeHoldings {
    /// An agent, where workloads of its node hold it, or a proxy, whose gateways do.
    pub role: Role,
    /// The peer's name.
    pub node: Label,
    /// Whether it shares control's process.
    pub in_process: bool,
    /// Whether it is connected.
    pub connected: bool,
    /// When it was last heard.
    pub heard: Option<Timestamp>,
    /// What is in use there and still good; what ends first is first.
    pub held: Vec<HeldSvid>,
    /// How many more there are than are listed.
    pub more: u64,
    /// Whether it said anything since this control was started.
    pub told: bool,
}

/// Whether this is the identity of a proxy's gateway in a domain: `/_gateway/NAME`.
pub(crate) fn is_gateway(id: &SpiffeId, name: &Label) -> bool {
    id.segments().eq(["_gateway", name.as_str()])
}

/// A peer that does not have bundles yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Behind {
    /// What it does.
    pub role: Role,
    /// Its name.
    pub name: Label,
    /// Whether it is connected.
    pub connected: bool,
    /// When it was last heard.
    pub heard: Option<Timestamp>,
    /// The number of those that it has in force, whole; 0 where that is not known or not so.
    pub bundles: u64,
    /// Why, where it said so; otherwise `""`.
    pub problem: String,
}

impl Heard {
    /// A peer has these bundles in force. Who has retired is forgotten.
    pub fn bundles(&self, peers: &Peers, name: &Name, number: u64) {
        self.edit(peers, name, |said| said.bundles = number);
    }

    /// What became of bundles that a peer was sent; `""` where they are in force.
    pub fn answered(&self, peers: &Peers, name: &Name, problem: &str) {
        self.edit(peers, name, |said| problem.clone_into(&mut said.problem));
    }

    /// A node's workloads hold this.
    pub fn holdings(&self, peers: &Peers, name: &Name, held: Holdings) {
        self.edit(peers, name, |said| said.held = Some(held));
    }

    fn edit(&self, peers: &Peers, name: &Name, edit: impl FnOnce(&mut Said)) {
        let Some(seen) = peers.get(name) else { return };
        let mut all = self.lock();
        if !all.contains_key(name) {
            all.retain(|known, _| peers.get(known).is_some());
        }
        let said = all.entry(name.clone()).or_default();
        if said.key != seen.key {
            *said = Said { key: seen.key, ..Said::default() };
        }
        edit(said);
    }

    fn of(&self, seen: &Seen) -> Said {
        let name = (seen.place.role, seen.place.name.clone());
        self.lock().get(&name).filter(|said| said.key == seen.key).cloned().unwrap_or_default()
    }

    /// How many peers are remembered.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Said>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// What workloads and gateways hold, by peer: everybody who joined or shares this process, connected or not.
    pub(crate) fn holdings(&self) -> Vec<NodeHoldings> {
        let node = |seen: Seen| {
            let said = self.hub.heard.of(&seen);
            let told = said.held.is_some();
            let Holdings { held, more } = said.held.unwrap_or_default();
            let (connected, in_process, heard) = (seen.is_connected(), seen.in_process(), seen.last.heard);
            NodeHoldings {
                role: seen.place.role,
                node: seen.place.name,
                in_process,
                connected,
                heard,
                held,
                more,
                told,
            }
        };
        self.hub.peers.all().into_iter().map(node).collect()
    }

    /// The number under which bundles were last signed for peers; 0 where none ever were.
    pub(crate) fn bundles_number(&self) -> u64 {
        self.hub.snapshot().bundles_are.0
    }

    /// Tells peers at once, and gives the number under which what the issuer holds now was signed.
    ///
    /// # Errors
    /// Why it could not be told: what was signed last is not what the issuer holds.
    pub(crate) fn bundles_told(&self) -> Result<u64, String> {
        let now = self.bundles_now();
        let digest = content::digest(now.iter().map(Vec::as_slice));
        self.tell_peers();
        let snapshot = self.hub.snapshot();
        let (number, told) = snapshot.bundles_are;
        if told == digest && snapshot.bundles.is_some() {
            return Ok(number);
        }
        let trouble = self.hub.trouble();
        Err(trouble.unwrap_or_else(|| "the bundles changed while they were told; look again".to_owned()))
    }

    /// The peers that do not have bundles of this number or later in force, whole.
    pub(crate) fn behind_on_bundles(&self, number: u64) -> Vec<Behind> {
        let behind = |seen: Seen| {
            let Said { bundles, problem, .. } = self.hub.heard.of(&seen);
            (bundles < number).then(|| Behind {
                role: seen.place.role,
                name: seen.place.name.clone(),
                connected: seen.is_connected(),
                heard: seen.last.heard,
                bundles,
                problem: if problem.is_empty() { seen.sent_away.clone() } else { problem },
            })
        };
        self.hub.peers.all().into_iter().filter_map(behind).collect()
    }
}
