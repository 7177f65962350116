//! The scope of a policy in a form that can be compared with calls outside evaluation: for checks and for naming the
//! permits that come nearest to a refused call.

use cedar_policy::{
    ActionConstraint, Entities, EntityTypeName, EntityUid, Policy, PrincipalConstraint, ResourceConstraint,
};
use types::Method;

/// What a scope says about principal or resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Slot {
    /// Nothing.
    Any,
    /// Its type.
    Is(EntityTypeName),
    /// Which one.
    Exactly(EntityUid),
    /// What it is in, itself included, and its type where one is named.
    Within(Option<EntityTypeName>, EntityUid),
}

impl Slot {
    /// The entity that is named.
    pub(crate) const fn entity(&self) -> Option<&EntityUid> {
        match self {
            Self::Any | Self::Is(_) => None,
            Self::Exactly(entity) | Self::Within(_, entity) => Some(entity),
        }
    }

    /// Whether an entity fits.
    pub(crate) fn holds(&self, uid: &EntityUid, entities: &Entities) -> bool {
        match self {
            Self::Any => true,
            Self::Is(wanted) => uid.type_name() == wanted,
            Self::Exactly(wanted) => uid == wanted,
            Self::Within(wanted, ancestor) => {
                wanted.as_ref().is_none_or(|wanted| uid.type_name() == wanted)
                    && (uid == ancestor || entities.is_ancestor_of(ancestor, uid))
            }
        }
    }
}

/// The scope of a policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Scope {
    pub(crate) principal: Slot,
    pub(crate) methods: Vec<Method>,
    pub(crate) resource: Slot,
}

impl Scope {
    /// Reads it off a policy.
    pub(crate) fn of(policy: &Policy) -> Self {
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any => Slot::Any,
            PrincipalConstraint::Is(wanted) => Slot::Is(wanted),
            PrincipalConstraint::Eq(entity) => Slot::Exactly(entity),
            PrincipalConstraint::In(entity) => Slot::Within(None, entity),
            PrincipalConstraint::IsIn(wanted, entity) => Slot::Within(Some(wanted), entity),
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any => Slot::Any,
            ResourceConstraint::Is(wanted) => Slot::Is(wanted),
            ResourceConstraint::Eq(entity) => Slot::Exactly(entity),
            ResourceConstraint::In(entity) => Slot::Within(None, entity),
            ResourceConstraint::IsIn(wanted, entity) => Slot::Within(Some(wanted), entity),
        };
        Self { principal, methods: methods(&policy.action_constraint()), resource }
    }
}

fn methods(constraint: &ActionConstraint) -> Vec<Method> {
    let covered = |action: &EntityUid, method: Method| match action.id().unescaped() {
        "read" => method.is_safe(),
        "write" => !method.is_safe(),
        name => name == method.as_str(),
    };
    let holds = |method: &Method| match constraint {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(action) => action.id().unescaped() == method.as_str(),
        ActionConstraint::In(actions) => actions.iter().any(|action| covered(action, *method)),
    };
    Method::ALL.into_iter().filter(holds).collect()
}
