//! Node groups: where workloads may run.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use types::Label;

use crate::{
    decode::{Fields, Spanned, duration, items, one_of},
    domain::{label, named},
    organisation::Organisation,
    problem::{File, quote},
    suggest,
    yaml::{Entry, Node},
};

/// A group of nodes that workloads are placed on. A node joins with a token that names its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeGroup {
    /// For how long after its certificate expired a node may prove its key again and be back. After that it needs a new
    /// token.
    pub rejoin_within: Duration,
}

/// A week: a long holiday, or a machine that was broken and repaired.
impl Default for NodeGroup {
    fn default() -> Self {
        Self { rejoin_within: Duration::from_hours(7 * 24) }
    }
}

/// Reads `nodes`, and whether all of them could be read.
pub(crate) fn read(node: Option<&Node>, file: &File<'_>) -> (BTreeMap<Label, NodeGroup>, bool) {
    let read = |entry: &Entry| read_group(&entry.node, file);
    let ((groups, names_are_whole), whole) = file.watch(|| named(node, file, "`nodes`", read));
    (groups.iter().map(|(name, group)| (name.value.clone(), *group)).collect(), names_are_whole && whole)
}

fn read_group(node: &Node, file: &File<'_>) -> NodeGroup {
    let standard = NodeGroup::default();
    let Some(mut fields) = Fields::open(node, file, "a node group") else { return standard };
    fields.required("join", "join: token").and_then(|node| one_of(node, file, "`token`", &[("token", ())]));
    let rejoin_within = fields.take("rejoin_within", duration).unwrap_or(standard.rejoin_within);
    fields.finish();
    NodeGroup { rejoin_within }
}

/// Reads `runs_on`.
pub(crate) fn runs_on(node: &Node, file: &File<'_>) -> Option<Vec<Spanned<Label>>> {
    Some(items(node, file, "a list of node groups", label))
}

/// Reports groups that there are none of.
pub(crate) fn check_known(groups: &[Spanned<Label>], organisation: &Organisation, file: &File<'_>) {
    for Spanned { value, span } in groups.iter().filter(|_| organisation.nodes_are_known) {
        if organisation.nodes.contains_key(value) {
            continue;
        }
        let hint = suggest::hint(value.as_str(), organisation.nodes.keys().map(Label::as_str), "groups");
        let hint = hint.unwrap_or_else(|| format!("add `{value}: {{ join: token }}` to `nodes` in countersign.yaml"));
        file.error("name.unknown-group", span, format!("there is no node group {}", quote(value.as_str())), Some(hint));
    }
}

/// The groups as a set; `None` where nothing is said.
pub(crate) fn placed(groups: Option<&Vec<Spanned<Label>>>) -> Option<BTreeSet<Label>> {
    groups.map(|groups| groups.iter().map(|group| group.value.clone()).collect())
}
