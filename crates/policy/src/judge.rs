//! The judge: one call, one domain's policies, one answer with its reason.

use std::net::IpAddr;

use cedar_policy::{Context, EntityUid, Request};
use signal::Cleared;
use types::facts::Outcome;
use types::{Method, Mode, PolicyId, Reason, Timestamp, WorkloadId, limits};

use crate::call::{Refused, Situated};
use crate::context;
use crate::model::Route;
use crate::modes::{self, Noted, PERMIT};
use crate::permit::Permit;
use crate::policies::Policies;

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
    /// The refusals of relaxed checks, in the order of the request's life.
    pub noted: Vec<Noted>,
}

impl Verdict {
    pub(crate) const fn deny(reason: Reason, determining: Vec<PolicyId>, note: String) -> Self {
        Self { outcome: Outcome::Deny, reason: Some(reason), determining, note, noted: Vec::new() }
    }

    /// The first refusal that the caller is spared only because its check is in shadow: what makes an allow a would-deny.
    pub fn would_deny(&self) -> Option<&Noted> {
        self.noted.iter().find(|noted| self.outcome == Outcome::Allow && noted.mode() == Mode::Shadow)
    }

    /// INVARIANT: an allow names at least one permit; Cedar never allows without one, and we do not rely on that.
    pub(crate) fn allow(permits: Vec<PolicyId>) -> Self {
        if permits.is_empty() {
            return Self::broken("the policies allowed without naming a permit".to_owned());
        }
        Self { outcome: Outcome::Allow, reason: None, determining: permits, note: String::new(), noted: Vec::new() }
    }

    /// A call that no policy permits and that passes all the same.
    ///
    /// INVARIANT: an allow without a permit has the noted refusal of a relaxed `permit`.
    pub(crate) fn tolerate(noted: &[Noted]) -> Self {
        if noted.iter().any(|noted| noted.check() == PERMIT) {
            return Self { outcome: Outcome::Allow, reason: None, ..Self::broken(String::new()) };
        }
        Self::broken("nothing permits the call and nothing relaxes that".to_owned())
    }

    /// Policies that could not be evaluated: denied, and an alarm.
    pub(crate) fn failed(failures: &[(&PolicyId, &str)]) -> Self {
        let determining = failures.iter().map(|(id, _)| (*id).clone()).collect();
        Self::deny(Reason::PolicyError, determining, not_evaluated(failures))
    }

    /// A request that no policy could be asked about: denied, and an alarm.
    pub(crate) const fn broken(note: String) -> Self {
        Self::deny(Reason::PolicyError, Vec::new(), note)
    }
}

/// That what was permitted once would be refused now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Withdrawn {
    /// Why.
    pub reason: Reason,
    /// What the operator should know beyond the reason.
    pub note: String,
    /// The policies that decided.
    pub determining: Vec<PolicyId>,
}

impl Withdrawn {
    fn new(reason: Reason, note: impl Into<String>) -> Self {
        Self { reason, note: note.into(), determining: Vec::new() }
    }
}

impl Policies {
    /// Judges a call. This is the only place where a [`Permit`] is made.
    ///
    /// # Errors
    /// The refusal with its reason, determining policies and note: `consent.*`, `requires.identity`,
    /// `policy.forbidden`, `policy.no-permit`, or `policy.error` where any policy could not be evaluated. A check that the
    /// called domain relaxes refuses nothing; what it would refuse is noted in the permit or refusal.
    pub fn judge(&self, situated: Situated) -> Result<Permit, Refused> {
        if !situated.is_cleared() {
            let note = "the signals were asked about another caller";
            return Err(Refused::new(situated, Reason::PolicyError, note));
        }
        let accepted = situated.accepted();
        let on_the_way = situated.routed().unlisted().cloned().into_iter().collect();
        let mut verdict = self.weigh(&self.question(&situated, situated.routed().route(), accepted.at), on_the_way);
        let left = modes::bounded(&mut verdict.noted);
        let unnamed = verdict.determining.len().saturating_sub(limits::DETERMINING_POLICIES.default_usize());
        verdict.determining.truncate(limits::DETERMINING_POLICIES.default_usize());
        let more = [(unnamed, "policies decided"), (left, "refusals are noted")];
        let more = more.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} more {what}"));
        let words = Some(verdict.note).filter(|note| !note.is_empty());
        let note = words.into_iter().chain(more).collect::<Vec<_>>().join("; ");
        match (verdict.outcome, verdict.reason) {
            (Outcome::Allow, None) => Ok(Permit::new(situated, verdict.determining, verdict.noted, note)),
            (_, reason) => {
                let refused = Refused::new(situated, reason.unwrap_or(Reason::PolicyError), note);
                Err(refused.judged(verdict.determining, verdict.noted))
            }
        }
    }

    /// Whether an exchange that was permitted, maybe under another revision or other signals, would be permitted now.
    /// `route` is where this revision leads the permit's request; `cleared`, `risk` and `now` are of this moment. No permit
    /// comes of it. The certificate was verified when the exchange began, and its validity is not looked at again.
    ///
    /// # Errors
    /// Why not: whatever [`Self::judge`] refuses for; `identity.*` for a caller that is no longer registered;
    /// `route.unlisted` where the route is no longer listed or of another service than the one that is talked to.
    pub fn rejudge(
        &self,
        permit: &Permit,
        route: &Route,
        cleared: &Cleared,
        risk: u8,
        now: Timestamp,
    ) -> Result<(), Withdrawn> {
        let situated = permit.situated();
        if !cleared.is_about(situated.peer()) {
            return Err(Withdrawn::new(Reason::PolicyError, "the signals were asked about another caller"));
        }
        if route.id.service() != &situated.routed().service().id {
            let note = format!("the request leads to {} now", route.id.service());
            return Err(Withdrawn::new(Reason::RouteUnlisted, note));
        }
        if let Some(Err(reason)) = situated.peer().map(|peer| self.model.workload_of(peer.spiffe_id())) {
            return Err(Withdrawn::new(reason, "the workload is not of this revision"));
        }
        let verdict = self.evaluate(&Question { risk: risk.min(100), ..self.question(situated, route, now) });
        match verdict.reason {
            None => Ok(()),
            Some(reason) => Err(Withdrawn { reason, note: verdict.note, determining: verdict.determining }),
        }
    }

    fn question<'a>(&self, situated: &'a Situated, route: &'a Route, at: Timestamp) -> Question<'a> {
        Question {
            principal: situated.routed().workload().map_or(Principal::Unidentified, Principal::Workload),
            method: situated.request().method(),
            route,
            source: Some(situated.accepted().source),
            risk: situated.risk(),
            at,
        }
    }

    /// Answers a question.
    pub fn evaluate(&self, question: &Question<'_>) -> Verdict {
        match self.model.unlisted(&question.route.id) {
            Err(reason) if self.model.service(question.route.id.service()).is_some() => {
                Verdict::deny(reason, Vec::new(), String::new())
            }
            // A service that is not of this revision is an error, which `weigh` finds.
            Err(_) => self.weigh(question, Vec::new()),
            Ok(noted) => self.weigh(question, noted.into_iter().collect()),
        }
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
}

/// Words for policies that could not be evaluated.
pub(crate) fn not_evaluated(failures: &[(&PolicyId, &str)]) -> String {
    let words: Vec<_> = failures.iter().take(3).map(|(id, words)| format!("{id}: {words}")).collect();
    format!("could not be evaluated: {}", words.join("; "))
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
