//! Compiled policies: one set per domain, and what is known about each policy for explaining.

use core::fmt;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cedar_policy::{Authorizer, Effect, Entities, EntityTypeName, PolicySet};
use types::{Label, PolicyId};

use crate::entities::Uids;
use crate::model::Model;
use crate::scope::Scope;

/// The compiled policies of one revision. Made only by [`crate::compile()`].
pub struct Policies {
    pub(crate) model: Arc<Model>,
    pub(crate) authorizer: Authorizer,
    pub(crate) entities: Entities,
    pub(crate) uids: Uids,
    pub(crate) domains: BTreeMap<Label, Set>,
    pub(crate) admin: Option<Set>,
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
    pub(crate) known: HashMap<cedar_policy::PolicyId, Known>,
    /// The permits in order of their names, for finding those nearest to a refused call.
    pub(crate) permits: Vec<(PolicyId, Scope)>,
}

/// What evaluation needs to know about a policy of a set.
pub(crate) struct Known {
    pub(crate) id: PolicyId,
    pub(crate) tier: Tier,
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
    /// A written policy.
    Written,
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

    /// The model that the policies were compiled for.
    pub const fn model(&self) -> &Arc<Model> {
        &self.model
    }
}
