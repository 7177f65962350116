//! Administrative acts, judged by `admin.cedar` and the permits that are always there: what the local operator may, and
//! what each role may.

use cedar_policy::{Context, EntityId, EntityUid};
use types::{Reason, WorkloadId};

use crate::entities::uid_of;
use crate::judge::{Verdict, request};
use crate::model::Role;
use crate::policies::Policies;

/// An act of an operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act<'a> {
    /// To be issued a short-lived certificate of a workload.
    Impersonate(&'a WorkloadId),
    /// To make a trust directory the current revision.
    Publish,
    /// To make an earlier revision current again.
    Rollback,
    /// To take trust away; from a workload where the subject is its SPIFFE ID.
    Revoke(Option<&'a WorkloadId>),
    /// To give trust back, as with [`Self::Revoke`].
    Restore(Option<&'a WorkloadId>),
    /// To use the console.
    Login,
    /// To see what control knows.
    View,
    /// To approve a publication that waits for owners, or to take one back that another operator made.
    Approve,
    /// To let a proxy or an agent join.
    JoinToken,
    /// To forget a proxy or an agent for good.
    Retire,
    /// To give an operator a certificate. Whoever may do this can act as any operator.
    Certify,
    /// To begin, take back or force the rotation of a domain's keys.
    Rotate,
}

impl<'a> Act<'a> {
    /// The acts that the local operator may without a permit: all but to pass for a workload.
    pub(crate) const OF_LOCAL: [Self; 11] = [
        Self::View,
        Self::Login,
        Self::Publish,
        Self::Rollback,
        Self::Approve,
        Self::Revoke(None),
        Self::Restore(None),
        Self::JoinToken,
        Self::Retire,
        Self::Certify,
        Self::Rotate,
    ];

    /// The acts that a role may without a permit.
    pub(crate) const fn of_role(role: Role) -> &'static [Self] {
        match role {
            Role::Viewer => &[Self::View, Self::Login],
            Role::Operator => {
                &[Self::View, Self::Login, Self::Revoke(None), Self::Restore(None), Self::JoinToken, Self::Retire]
            }
            Role::Owner => &[Self::View, Self::Login, Self::Publish, Self::Rollback, Self::Approve],
            Role::Security => &[
                Self::View,
                Self::Login,
                Self::Revoke(None),
                Self::Restore(None),
                Self::Retire,
                Self::Approve,
                Self::Rotate,
            ],
        }
    }

    /// The action in `admin.cedar`, and the word in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Impersonate(_) => "impersonate",
            Self::Publish => "publish",
            Self::Rollback => "rollback",
            Self::Revoke(_) => "revoke",
            Self::Restore(_) => "restore",
            Self::Login => "login",
            Self::View => "view",
            Self::Approve => "approve",
            Self::JoinToken => "join",
            Self::Retire => "retire",
            Self::Certify => "certify",
            Self::Rotate => "rotate",
        }
    }

    /// The workload that it is about; otherwise it is about the organisation.
    const fn workload(self) -> Option<&'a WorkloadId> {
        match self {
            Self::Impersonate(workload) => Some(workload),
            Self::Revoke(workload) | Self::Restore(workload) => workload,
            Self::Publish
            | Self::Rollback
            | Self::Login
            | Self::View
            | Self::Approve
            | Self::JoinToken
            | Self::Retire
            | Self::Certify
            | Self::Rotate => None,
        }
    }
}

impl Policies {
    /// Whether an operator may do something. `operator` is the name in `Operator::"NAME"`: one of the model's, who may what
    /// the roles of that name may, or `local`, the user who owns the data directory, who may do everything but impersonate.
    /// `admin.cedar` permits more and forbids what it wants. No mode relaxes this, and a policy that cannot be evaluated
    /// denies.
    pub fn may(&self, operator: &str, act: Act<'_>) -> Verdict {
        let resource = match act.workload().map(|workload| (workload, self.uids.workloads.get(workload))) {
            None => &self.uids.organisation,
            Some((_, Some(workload))) => workload,
            Some((workload, None)) => {
                let note = format!("{workload} is not a workload of this revision");
                return Verdict::deny(Reason::IdentityUnknownWorkload, Vec::new(), note);
            }
        };
        let principal = EntityUid::from_type_name_and_id(self.operator.clone(), EntityId::new(operator));
        let asked = uid_of("Action", act.as_str())
            .and_then(|action| request(&principal, &action, resource, Context::empty()))
            .and_then(|request| self.ask(&self.admin, &self.admin.policies, &request));
        match asked {
            Err(note) => Verdict::broken(note),
            Ok(asked) if !asked.failures.is_empty() => {
                let failures = asked.failures.iter().map(|(known, words)| (&known.id, words.as_str()));
                Verdict::failed(&failures.collect::<Vec<_>>())
            }
            Ok(asked) => {
                let matched = asked.matched.into_iter().map(|known| known.id.clone()).collect();
                if asked.allowed { Verdict::allow(matched) } else { denied(operator, act, matched) }
            }
        }
    }

    /// Whether an operator may be issued a certificate of a workload: [`Self::may`] with [`Act::Impersonate`].
    pub fn may_impersonate(&self, operator: &str, workload: &WorkloadId) -> Verdict {
        self.may(operator, Act::Impersonate(workload))
    }
}

fn denied(operator: &str, act: Act<'_>, forbids: Vec<types::PolicyId>) -> Verdict {
    match (forbids.first(), act.workload()) {
        (Some(first), _) => {
            let note = format!("{first} forbids it");
            Verdict::deny(Reason::PolicyForbidden, forbids, note)
        }
        (None, workload) => {
            let about = workload.map(|workload| format!(" {workload}")).unwrap_or_default();
            let note = format!("admin.cedar permits operator `{operator}` no `{}`{about}", act.as_str());
            Verdict::deny(Reason::PolicyNoPermit, forbids, note)
        }
    }
}
