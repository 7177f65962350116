//! Administrative acts, judged by `admin.cedar`. Without that file nothing is allowed.

use cedar_policy::{Context, EntityId, EntityUid};
use types::{Reason, WorkloadId};

use crate::entities::uid_of;
use crate::judge::{Answer, Verdict, request};
use crate::policies::Policies;

impl Policies {
    /// Whether an operator may be issued a certificate of a workload. `operator` is the name in `Operator::"NAME"`;
    /// `local` is the user who owns the data directory.
    pub fn may_impersonate(&self, operator: &str, workload: &WorkloadId) -> Verdict {
        let Some(set) = &self.admin else {
            let note = "there is no admin.cedar, so nobody may impersonate".to_owned();
            return Verdict::deny(Reason::PolicyNoPermit, Vec::new(), note);
        };
        let Some(resource) = self.uids.workloads.get(workload) else {
            let note = format!("{workload} is not a workload of this revision");
            return Verdict::deny(Reason::IdentityUnknownWorkload, Vec::new(), note);
        };
        let principal = EntityUid::from_type_name_and_id(self.operator.clone(), EntityId::new(operator));
        let asked = uid_of("Action", "impersonate")
            .and_then(|action| request(&principal, &action, resource, Context::empty()))
            .map(|request| self.ask(set, &request));
        match asked {
            Err(note) => Verdict::broken(note),
            Ok(Answer::Broken(failures)) => Verdict::failed(failures),
            Ok(Answer::Allowed(permits)) => Verdict::allow(permits),
            Ok(Answer::Denied(forbids)) => denied(workload, forbids.into_iter().map(|(_, id)| id).collect()),
        }
    }
}

fn denied(workload: &WorkloadId, forbids: Vec<types::PolicyId>) -> Verdict {
    match forbids.first() {
        None => {
            let note = format!("admin.cedar permits this operator no impersonation of {workload}");
            Verdict::deny(Reason::PolicyNoPermit, forbids, note)
        }
        Some(first) => {
            let note = format!("{first} forbids it");
            Verdict::deny(Reason::PolicyForbidden, forbids, note)
        }
    }
}
