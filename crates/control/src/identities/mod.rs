//! Identities: who may have which, who holds one, and how long everything goes on without an issuer.
//!
//! What is held is what agents and proxies last said, in memory: after a start it comes in again within seconds, and until
//! then the answers name who has not said anything yet.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use api::admin::{Held, Registered, Role};
use trustdir::{Revision, Workload};
use types::{Label, SpiffeId, Timestamp};

use crate::peers::Seen;
use crate::service::Control;
use crate::wire::NodeHoldings;

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
        for node in self.holdings() {
            let name = self.node_name(&node);
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

    /// The name of an agent's node in listings.
    pub(crate) fn node_name(&self, node: &NodeHoldings) -> String {
        let name = node.node.to_string();
        let seen = Label::parse(&name).ok().and_then(|name| self.hub.peers.get(&(Role::Agent, name)));
        if seen.is_some_and(|seen| seen.in_process()) { IN_PROCESS.to_owned() } else { name }
    }

    /// Whether an agent is issued anything.
    fn agent_is_trusted(&self, name: &str, now: Timestamp) -> bool {
        let seen = Label::parse(name).ok().and_then(|name| self.hub.peers.get(&(Role::Agent, name)));
        seen.is_none_or(|seen| self.distrusted(&seen, None, now).is_none())
    }

    /// The certificates of gateways: exact for that of this process, the first to end for each proxy elsewhere.
    fn gateways(&self, revision: &Revision) -> Vec<Gateway> {
        let organisation = &revision.model().organisation;
        let mut gateways = Vec::new();
        for certificate in self.parts.roles.certificates().into_iter().filter(|certificate| !certificate.is_root) {
            let id = format!("spiffe://{}.{organisation}/_gateway/{}", certificate.domain, self.parts.node);
            let domain = Label::parse(&certificate.domain).ok().and_then(|name| revision.domains().get(&name));
            gateways.push(Gateway {
                spiffe_id: id,
                node: IN_PROCESS.to_owned(),
                not_after: certificate.not_after,
                connected: true,
                ttl: domain.map(|domain| domain.svid_ttl),
            });
        }
        let now = self.parts.clock.now();
        let is_one = |seen: &Seen| seen.place.role == Role::Proxy && !seen.in_process();
        let elsewhere = self.hub.peers.all().into_iter().filter(is_one);
        let trusted = elsewhere.filter(|seen| self.distrusted(seen, None, now).is_none());
        gateways.extend(trusted.filter_map(|seen| Gateway::of_proxy(&seen, revision)));
        gateways
    }
}

/// The server identity of a gateway.
struct Gateway {
    spiffe_id: String,
    node: String,
    not_after: Timestamp,
    connected: bool,
    /// How long one lives; `None` where that is not known.
    ttl: Option<Duration>,
}

impl Gateway {
    /// The first certificate of a proxy that ends. Which domain's it is it does not say: where it serves more than one, its
    /// own identity stands for it.
    fn of_proxy(seen: &Seen, revision: &Revision) -> Option<Self> {
        let organisation = &revision.model().organisation;
        let ends = seen.load.as_ref().map(|load| load.certificates_end).filter(|ends| *ends != 0)?;
        let name = &seen.place.name;
        let only = match seen.place.domains.as_deref() {
            Some([only]) => Some(only),
            Some(_) | None => None,
        };
        let spiffe_id = match only {
            Some(domain) => format!("spiffe://{domain}.{organisation}/_gateway/{name}"),
            None => format!("spiffe://system.{organisation}/proxy/{name}"),
        };
        let ttl = match only {
            Some(domain) => revision.domains().get(domain).map(|domain| domain.svid_ttl),
            None => revision.domains().values().map(|domain| domain.svid_ttl).min(),
        };
        let not_after = Timestamp::from_micros(ends);
        Some(Self { spiffe_id, node: name.to_string(), not_after, connected: seen.is_connected(), ttl })
    }
}

/// Whether identities of a workload are issued to anybody: here, where a rule recognises it, or by somebody else.
const fn may_have_one(workload: &Workload) -> bool {
    workload.federated || !workload.rules.is_empty()
}

/// The workloads whose identities are renewed here, by SPIFFE ID.
fn renewable(revision: &Revision) -> BTreeMap<&SpiffeId, &Workload> {
    let renewed = revision.workloads().values().filter(|workload| !workload.rules.is_empty());
    renewed.map(|workload| (&workload.spiffe_id, workload)).collect()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
