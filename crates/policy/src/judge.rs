//! The judge: one call, one domain's policies, one answer with its reason.

use std::net::IpAddr;

use cedar_policy::{AuthorizationError, Context, Decision, EntityUid, Request, Response};
use types::facts::Outcome;
use types::{Method, PolicyId, Reason, Timestamp, WorkloadId, limits};

use crate::call::{Refused, Situated};
use crate::model::Route;
use crate::permit::Permit;
use crate::policies::{Policies, Set, Tier};
use crate::{context, note};

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Principal<'a> {
    /// A workload.
    Workload(&'a WorkloadId),
    /// Nobody known.
    Unidentified,
}

/// A call that may never have happened, for `test` and `explain`. No permit comes of it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who asks.
    pub principal: Principal<'a>,
    /// The method: the route's own, or the request's where the route is the pseudo-route.
    pub method: Method,
    /// The route that is called.
    pub route: &'a Route,
    /// The address that the call comes from, where it comes from one.
    pub source: Option<IpAddr>,
    /// The risk, 0 to 100.
    pub risk: u8,
    /// The moment for which to judge.
    pub at: Timestamp,
}

/// The answer to a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Allow or deny.
    pub outcome: Outcome,
    /// Why not; `None` for an allow.
    pub reason: Option<Reason>,
    /// The policies that decided: the permits of an allow, the forbids of a denial (the one that gives the reason
    /// first), the policies that could not be evaluated of `policy.error`. Empty where nothing permits.
    pub determining: Vec<PolicyId>,
    /// What the operator should know beyond the reason.
    pub note: String,
}

impl Verdict {
    pub(crate) const fn deny(reason: Reason, determining: Vec<PolicyId>, note: String) -> Self {
        Self { outcome: Outcome::Deny, reason: Some(reason), determining, note }
    }

    /// INVARIANT: an allow names at least one permit; Cedar never allows without one, and we do not rely on that.
    pub(crate) fn allow(permits: Vec<PolicyId>) -> Self {
        if permits.is_empty() {
            return Self::broken("the policies allowed without naming a permit".to_owned());
        }
        Self { outcome: Outcome::Allow, reason: None, determining: permits, note: String::new() }
    }

    /// Policies that could not be evaluated: denied, and an alarm.
    pub(crate) fn failed(failures: Vec<(PolicyId, String)>) -> Self {
        let words: Vec<_> = failures.iter().take(3).map(|(id, words)| format!("{id}: {words}")).collect();
        let note = format!("could not be evaluated: {}", words.join("; "));
        Self::deny(Reason::PolicyError, failures.into_iter().map(|(id, _)| id).collect(), note)
    }

    /// A request that no policy could be asked about: denied, and an alarm.
    pub(crate) const fn broken(note: String) -> Self {
        Self::deny(Reason::PolicyError, Vec::new(), note)
    }
}

/// What Cedar answered, in our terms.
pub(crate) enum Answer {
    /// These permits matched and nothing forbids.
    Allowed(Vec<PolicyId>),
    /// These forbids matched, in the order of their tiers and then names; or none did and nothing permits.
    Denied(Vec<(Tier, PolicyId)>),
    /// Evaluation of these policies failed, with Cedar's words.
    Broken(Vec<(PolicyId, String)>),
}

impl Policies {
    /// Judges a call. This is the only place where a [`Permit`] is made.
    ///
    /// # Errors
    /// The refusal with its reason, determining policies and note: `consent.*`, `requires.identity`,
    /// `policy.forbidden`, `policy.no-permit`, or `policy.error` where any policy could not be evaluated.
    pub fn judge(&self, situated: Situated) -> Result<Permit, Refused> {
        let accepted = situated.accepted();
        let mut verdict = self.evaluate(&Question {
            principal: Principal::Workload(situated.routed().workload()),
            method: situated.request().method(),
            route: situated.routed().route(),
            source: Some(accepted.source),
            risk: situated.risk(),
            at: accepted.at,
        });
        let unnamed = verdict.determining.len().saturating_sub(limits::DETERMINING_POLICIES.default_usize());
        verdict.determining.truncate(limits::DETERMINING_POLICIES.default_usize());
        match (verdict.outcome, verdict.reason) {
            (Outcome::Allow, None) => Ok(Permit::new(situated, verdict.determining)),
            (_, reason) => {
                let more = if unnamed > 0 { format!("; {unnamed} more policies decided") } else { String::new() };
                let note = format!("{}{more}", verdict.note);
                let refused = Refused::new(situated, reason.unwrap_or(Reason::PolicyError), note);
                Err(refused.with_determining(verdict.determining))
            }
        }
    }

    /// Answers a question.
    pub fn evaluate(&self, question: &Question<'_>) -> Verdict {
        let Some(set) = self.domains.get(question.route.id.service().domain()) else {
            return Verdict::broken(format!("route {} is of a domain without policies", question.route.id));
        };
        let request = match self.request(question) {
            Ok(request) => request,
            Err(note) => return Verdict::broken(note),
        };
        match self.ask(set, &request) {
            Answer::Allowed(permits) => Verdict::allow(permits),
            Answer::Broken(failures) => Verdict::failed(failures),
            Answer::Denied(forbids) => self.denied(question, set, &request, forbids),
        }
    }

    fn denied(&self, question: &Question<'_>, set: &Set, request: &Request, forbids: Vec<(Tier, PolicyId)>) -> Verdict {
        let reason = match forbids.first() {
            None => Reason::PolicyNoPermit,
            Some((Tier::Provider, _)) => Reason::ConsentProvider,
            Some((Tier::Consumer, _)) => Reason::ConsentConsumer,
            Some((Tier::Requires, _)) => Reason::RequiresIdentity,
            Some((Tier::Written, _)) => Reason::PolicyForbidden,
        };
        let note = match forbids.first() {
            None => note::no_permit(self, question, set, request),
            Some(_) => note::forbidden(self, question, &forbids),
        };
        Verdict::deny(reason, forbids.into_iter().map(|(_, id)| id).collect(), note)
    }

    /// The Cedar request. Its shape is that of the schema by construction, which a test holds against the schema.
    pub(crate) fn request(&self, question: &Question<'_>) -> Result<Request, String> {
        let principal = match question.principal {
            Principal::Unidentified => Some(&self.uids.nobody),
            Principal::Workload(id) => self.uids.workloads.get(id),
        };
        let principal = principal.ok_or("the caller is not a workload of this revision")?;
        let resource = self.uids.routes.get(&question.route.id);
        let resource = resource.ok_or_else(|| format!("route {} is not of this revision", question.route.id))?;
        if question.route.id.call().is_some_and(|(method, _)| *method != question.method) {
            return Err(format!("route {} is not called by {}", question.route.id, question.method));
        }
        let action = self.uids.action(question.method).ok_or("the method has no action")?;
        let context = context::build(question, &self.model.timezone)?;
        request(principal, action, resource, context)
    }

    /// Evaluates a set. Cedar passes over a policy that fails to evaluate; here any such failure is a denial, since a
    /// `forbid` that fails would not forbid (DESIGN section 4).
    pub(crate) fn ask(&self, set: &Set, request: &Request) -> Answer {
        let response = self.authorizer.is_authorized(request, &set.policies, &self.entities);
        let failures = failures(set, &response);
        if !failures.is_empty() {
            return Answer::Broken(failures);
        }
        let reasons = response.diagnostics().reason();
        let mut decided: Vec<_> = reasons.filter_map(|id| set.known.get(id)).map(|k| (k.tier, k.id.clone())).collect();
        decided.sort_unstable();
        match response.decision() {
            Decision::Deny => Answer::Denied(decided),
            Decision::Allow => Answer::Allowed(decided.into_iter().map(|(_, id)| id).collect()),
        }
    }
}

/// The policies that could not be evaluated, in order of their names, with Cedar's words.
fn failures(set: &Set, response: &Response) -> Vec<(PolicyId, String)> {
    let errors = response.diagnostics().errors().map(|AuthorizationError::PolicyEvaluationError(error)| {
        let name = AsRef::<str>::as_ref(error.policy_id());
        let id = set.known.get(error.policy_id()).map_or_else(|| PolicyId::new("org", name), |known| known.id.clone());
        (id, error.inner().to_string())
    });
    let mut failures: Vec<_> = errors.collect();
    failures.sort_unstable();
    failures
}

/// A Cedar request without a second validation.
pub(crate) fn request(
    principal: &EntityUid,
    action: &EntityUid,
    resource: &EntityUid,
    context: Context,
) -> Result<Request, String> {
    Request::new(principal.clone(), action.clone(), resource.clone(), context, None)
        .map_err(|error| format!("the request: {error}"))
}
