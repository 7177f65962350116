//! Compiled policies: one set per domain, and what is known about each policy for explaining.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy::{Authorizer, Effect, Entities, EntityTypeName, PolicySet};
use types::{Label, PolicyId};

use crate::entities::Uids;
use crate::model::Model;
use crate::modes::Relaxation;
use crate::scope::Scope;

/// The compiled policies of one revision. Made only by [`crate::compile()`].
pub struct Policies {
    pub(crate) model: Arc<Model>,
    pub(crate) authorizer: Authorizer,
    pub(crate) entities: Entities,
    pub(crate) uids: Uids,
    pub(crate) domains: BTreeMap<Label, Set>,
    /// By domain what relaxes its consent to the calls of its own workloads; absent where it enforces.
    pub(crate) consumers: BTreeMap<Label, Relaxation>,
    pub(crate) admin: Set,
    pub(crate) operator: EntityTypeName,
    pub(crate) infos: BTreeMap<PolicyId, PolicyInfo>,
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.infos.keys().map(PolicyId::as_str);
        f.debug_struct("Policies").field("policies", &names.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

/// Policies that are evaluated together.
#[derive(Default)]
pub(crate) struct Set {
    pub(crate) policies: PolicySet,
    /// The permits alone: asked where forbids that match are relaxed, since Cedar names no permit beside a forbid.
    pub(crate) only_permits: PolicySet,
    /// What relaxes the check that a permit is there.
    pub(crate) permit: Option<Relaxation>,
    pub(crate) known: HashMap<cedar_policy::PolicyId, Known>,
    /// The written permits in order of their names, for finding those nearest to a refused call.
    pub(crate) permits: Vec<(PolicyId, Scope)>,
}

/// What evaluation needs to know about a policy of a set.
pub(crate) struct Known {
    pub(crate) id: PolicyId,
    pub(crate) tier: Tier,
    /// What relaxes it, but for the consumer's consent, which the caller's domain relaxes.
    pub(crate) relaxed: Option<Relaxed>,
}

/// How a policy is relaxed.
pub(crate) struct Relaxed {
    pub(crate) relaxation: Relaxation,
    /// The percentage of callers for whom it is not.
    pub(crate) enforce_for: u8,
}

impl From<Relaxation> for Relaxed {
    fn from(relaxation: Relaxation) -> Self {
        Self { relaxation, enforce_for: 0 }
    }
}

/// What a policy speaks for. When several `forbid`s apply, the first of this order gives the reason.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Tier {
    /// The consent of the called domain.
    Provider,
    /// The consent of the caller's domain.
    Consumer,
    /// A requirement.
    Requires,
    /// A written policy that forbids.
    Written,
    /// A permit, or that there is none.
    Permit,
}

/// Whether a policy permits or forbids.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PolicyEffect {
    /// Its match allows, where nothing forbids.
    Permit,
    /// Its match denies.
    Forbid,
}

impl PolicyEffect {
    /// Cedar's keyword.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Forbid => "forbid",
        }
    }
}

impl From<Effect> for PolicyEffect {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Permit => Self::Permit,
            Effect::Forbid => Self::Forbid,
        }
    }
}

/// A policy for the reader of a decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyInfo {
    /// The id as decisions name it.
    pub id: PolicyId,
    /// Its `@reason`, or for a generated policy what it stands for.
    pub reason: String,
    /// Permit or forbid.
    pub effect: PolicyEffect,
    /// The file, relative to the trust directory; `None` for a generated policy.
    pub path: Option<String>,
    /// The line of that file, from 1; `None` for a generated policy.
    pub line: Option<usize>,
    /// The Cedar text, annotations included.
    pub text: String,
    /// Whether it was made from `requires`, `accepts_from` or `calls` rather than written.
    pub generated: bool,
}

impl Policies {
    /// What is known about a policy that a decision names; `None` for one that this revision does not have.
    pub fn describe(&self, id: &PolicyId) -> Option<&PolicyInfo> {
        self.infos.get(id)
    }

    /// Every policy, generated ones included, in order of their ids.
    pub fn all(&self) -> impl Iterator<Item = &PolicyInfo> {
        self.infos.values()
    }

    /// The names of all policies.
    pub fn names(&self) -> PolicyNames {
        let known = self.infos.values().map(|info| (info.id.clone(), info.effect)).collect();
        PolicyNames { known, ..PolicyNames::default() }
    }

    /// The model that the policies were compiled for.
    pub const fn model(&self) -> &Arc<Model> {
        &self.model
    }
}

/// The names of an organisation's policies, generated ones included, as far as they could be read.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PolicyNames {
    pub(crate) known: BTreeMap<PolicyId, PolicyEffect>,
    /// Domains, or `org`, and whether they may have more policies whose names hold a dot (`true`) or none (`false`):
    /// generated names and those of `admin.cedar` hold one, other written ones do not.
    pub(crate) lost: BTreeSet<(String, bool)>,
    /// Any name may be a lost one.
    pub(crate) any_lost: bool,
}

impl PolicyNames {
    /// The names that are known, in order.
    pub fn known(&self) -> impl Iterator<Item = &PolicyId> {
        self.known.keys()
    }

    /// Whether a known policy permits or forbids.
    pub fn effect(&self, id: &PolicyId) -> Option<PolicyEffect> {
        self.known.get(id).copied()
    }

    /// Whether a policy of this name is known, or may be one of those whose names could not be read.
    pub fn may_hold(&self, id: &PolicyId) -> bool {
        let (scope, name) = id.as_str().split_once('/').unwrap_or_default();
        self.any_lost || self.known.contains_key(id) || self.lost.contains(&(scope.to_owned(), name.contains('.')))
    }
}
