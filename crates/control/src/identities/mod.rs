//! Identities: who may have which, who holds one, and how long everything goes on without an issuer.
//!
//! What is held is what agents and proxies last said, in memory: after a start it comes in again within seconds, and until
//! then the answers name who has not said anything yet.

use std::collections::HashMap;
use std::time::Duration;

use api::admin::{Held, Registered, Role};
use trustdir::{Revision, Workload};
use types::{Label, SpiffeId, Timestamp};

use crate::service::Control;
use crate::wire::{NodeHoldings, is_gateway};

mod budget;
mod spoken;

pub(crate) use budget::{Counted, Kept};
pub(crate) use spoken::{moment, spoken};

/// How a node that shares control's process is called in listings.
pub(crate) const IN_PROCESS: &str = "in this process";

impl Control {
    /// See [`api::admin::Admin::identities`].
    pub(crate) fn registered(&self) -> Vec<Registered> {
        let (revision, signals, now) =
            (self.parts.revision.load_full(), self.parts.signals.load_full(), self.parts.clock.now());
        let mut held = self.held_by_id();
        let shown = |workload: &Workload| Registered {
            spiffe_id: workload.spiffe_id.to_string(),
            workload: workload.id.to_string(),
            key: workload.key,
            ttl_seconds: workload.svid_ttl.as_secs(),
            rules: workload.rules.iter().map(ToString::to_string).collect(),
            runs_on: workload.runs_on.as_ref().map(|groups| groups.iter().map(Label::to_string).collect()),
            revoked: signals.revoked_id(&workload.spiffe_id, now).is_some(),
            held: held.remove(&workload.spiffe_id).unwrap_or_default(),
        };
        let mut registered: Vec<Registered> =
            revision.workloads().values().filter(|workload| may_have_one(workload)).map(shown).collect();
        registered.sort_by(|a, b| a.spiffe_id.cmp(&b.spiffe_id));
        registered
    }

    fn held_by_id(&self) -> HashMap<SpiffeId, Vec<Held>> {
        let mut by_id: HashMap<SpiffeId, Vec<Held>> = HashMap::new();
        for node in self.holdings().into_iter().filter(|node| node.role == Role::Agent) {
            let name = node_name(&node);
            for held in node.held {
                by_id.entry(held.spiffe_id).or_default().push(Held {
                    node: name.clone(),
                    serial: held.serial,
                    not_after: held.not_after,
                    failures: held.failures,
                    connected: node.connected,
                });
            }
        }
        by_id
    }

    /// Whether a peer is issued anything.
    fn is_trusted(&self, node: &NodeHoldings, now: Timestamp) -> bool {
        let seen = self.hub.peers.get(&(node.role, node.node.clone()));
        seen.is_none_or(|seen| self.distrusted(&seen, None, now).is_none())
    }
}

/// The name of a node in listings.
fn node_name(node: &NodeHoldings) -> String {
    if node.in_process { IN_PROCESS.to_owned() } else { node.node.to_string() }
}

/// Whether identities of a workload are issued to anybody: here, where a rule recognises it, or by somebody else.
const fn may_have_one(workload: &Workload) -> bool {
    workload.federated || !workload.rules.is_empty()
}

/// For how long an identity is issued that is renewed here, in the hands of such a peer; `None` for one that is not.
fn renewed_for(revision: &Revision, node: &NodeHoldings, id: &SpiffeId) -> Option<Duration> {
    match node.role {
        Role::Proxy => {
            let mut domains = revision.domains().values();
            let domain = domains.find(|domain| domain.trust_domain == *id.trust_domain())?;
            is_gateway(id, &node.node).then_some(domain.svid_ttl)
        }
        Role::Agent => {
            let workload = revision.workloads().get(&revision.model().workload_of(id).ok()?)?;
            (!workload.rules.is_empty()).then_some(workload.svid_ttl)
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
