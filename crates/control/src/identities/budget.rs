//! The outage budget: if issuance stopped now, when the first identity runs out, and which.

use std::time::Duration;

use api::admin::{Budget, BudgetLine};
use types::{Timestamp, limits};

use super::{moment, node_name, renewed_for};
use crate::acts::count;
use crate::service::Control;

/// What the budget counts, and what it cannot.
pub(crate) struct Counted {
    pub at: Timestamp,
    /// Every identity that issuance keeps alive, the first to end first.
    pub identities: Vec<Kept>,
    /// What is not known, one sentence each.
    pub unknown: Vec<String>,
}

/// An identity in somebody's hands that would be renewed.
#[derive(Debug)]
pub(crate) struct Kept {
    pub spiffe_id: String,
    pub node: String,
    pub not_after: Timestamp,
    /// Attempts to renew it that failed since the last that did not.
    pub failures: u32,
    /// How long one lives.
    pub ttl: Duration,
}

impl Counted {
    /// Seconds until the first runs out; `None` where nothing is held.
    pub fn seconds(&self) -> Option<u64> {
        self.identities.first().map(|first| first.not_after.micros_since(self.at) / 1_000_000)
    }
}

impl Control {
    /// See [`api::admin::Admin::budget`].
    pub(crate) fn outage_budget(&self) -> Budget {
        let counted = self.count_budget();
        let seconds = counted.seconds();
        let Counted { at, identities, unknown } = counted;
        let line = |kept: &Kept| BudgetLine {
            spiffe_id: kept.spiffe_id.clone(),
            node: kept.node.clone(),
            not_after: kept.not_after,
            seconds: kept.not_after.micros_since(at) / 1_000_000,
        };
        Budget {
            at,
            first_failure: identities.first().map(|first| first.not_after),
            seconds,
            first: identities.iter().take(limits::BUDGET_LINES.default_usize()).map(line).collect(),
            counted: u64::try_from(identities.len()).unwrap_or(u64::MAX),
            unknown,
        }
    }

    /// Everything that issuance keeps alive. What nobody would renew, because its workload is gone, or its trust or that of
    /// its node was taken away, ends anyway and is not counted.
    pub(crate) fn count_budget(&self) -> Counted {
        let at = self.parts.clock.now();
        let (revision, signals) = (self.parts.revision.load_full(), self.parts.signals.load_full());
        let (mut identities, mut unknown) = (Vec::new(), Vec::new());
        for node in self.holdings().into_iter().filter(|node| self.is_trusted(node, at)) {
            let name = node_name(&node);
            unknown.extend(what_is_unknown(&name, &node, at));
            for held in &node.held {
                let Some(ttl) = renewed_for(&revision, &node, &held.spiffe_id) else { continue };
                let over = !node.connected && held.not_after <= at;
                if over || signals.revoked_id(&held.spiffe_id, at).is_some() {
                    continue;
                }
                identities.push(Kept {
                    spiffe_id: held.spiffe_id.to_string(),
                    node: name.clone(),
                    not_after: held.not_after,
                    failures: held.failures,
                    ttl,
                });
            }
        }
        identities.sort_by(|a, b| (a.not_after, &a.spiffe_id, &a.node).cmp(&(b.not_after, &b.spiffe_id, &b.node)));
        bound(&mut unknown);
        Counted { at, identities, unknown }
    }
}

/// What a peer's word leaves open.
fn what_is_unknown(name: &str, node: &crate::wire::NodeHoldings, at: Timestamp) -> Option<String> {
    if !node.told {
        let heard = match (node.connected, node.heard) {
            (true, _) => "it is connected".to_owned(),
            (false, Some(heard)) => format!("it was last heard at {}", moment(heard, at)),
            (false, None) => "it was never heard".to_owned(),
        };
        return Some(format!("{name} has not said what it holds since control began; {heard}"));
    }
    if node.more > 0 {
        return Some(format!("{name} holds {} more than it listed", node.more));
    }
    let over = node.held.iter().filter(|held| held.not_after <= at).count();
    (!node.connected && over > 0).then(|| {
        let over = count(over, "identity that it held has run out", "identities that it held have run out");
        format!("{name} is not connected, and {over}")
    })
}

fn bound(unknown: &mut Vec<String>) {
    let (all, most) = (unknown.len(), limits::REACH_NAMED.default_usize());
    if all > most {
        unknown.truncate(most);
        unknown.push(format!("{} more", all.saturating_sub(most)));
    }
}
