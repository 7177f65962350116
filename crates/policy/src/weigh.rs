//! Weighing: everything that would refuse a call, sorted into what refuses and what is only noted.

use cedar_policy::{AuthorizationError, Decision, PolicySet, Request};
use types::{PolicyId, Reason};

use crate::judge::{Principal, Question, Verdict, not_evaluated};
use crate::modes::{self, Noted, Relaxation};
use crate::note;
use crate::policies::{Known, Policies, Set, Tier};

/// What Cedar answered.
pub(crate) struct Asked<'s> {
    /// Whether a permit matched and no forbid.
    pub(crate) allowed: bool,
    /// The permits that matched where it is allowed, and otherwise the forbids; in the order of their tiers and names.
    pub(crate) matched: Vec<&'s Known>,
    /// The policies that could not be evaluated, in the order of their names, with Cedar's words. Cedar passes over them;
    /// here each is a refusal, since a `forbid` that fails would not forbid (DESIGN section 4).
    pub(crate) failures: Vec<(&'s Known, String)>,
}

/// One thing that speaks against a call.
struct Against<'s> {
    tier: Tier,
    reason: Reason,
    policy: Option<&'s PolicyId>,
    /// Why the policy could not be evaluated, where that is what it is.
    failure: Option<&'s str>,
    relaxation: Option<&'s Relaxation>,
}

impl Policies {
    /// Asks a set, or a part of it, about a request.
    ///
    /// # Errors
    /// Words, where Cedar names a policy that the set does not know: a `forbid` that nobody heard would not forbid.
    pub(crate) fn ask<'s>(&self, set: &'s Set, policies: &PolicySet, request: &Request) -> Result<Asked<'s>, String> {
        let known =
            |id: &cedar_policy::PolicyId| set.known.get(id).ok_or_else(|| format!("{id} is not a known policy"));
        let response = self.authorizer.is_authorized(request, policies, &self.entities);
        let diagnostics = response.diagnostics();
        let mut matched = diagnostics.reason().map(known).collect::<Result<Vec<_>, _>>()?;
        matched.sort_unstable_by_key(|known| (known.tier, &known.id));
        let failures = diagnostics.errors().map(|AuthorizationError::PolicyEvaluationError(error)| {
            known(error.policy_id()).map(|known| (known, error.inner().to_string()))
        });
        let mut failures = failures.collect::<Result<Vec<_>, _>>()?;
        failures.sort_unstable_by_key(|(known, _)| &known.id);
        Ok(Asked { allowed: response.decision() == Decision::Allow, matched, failures })
    }

    /// Answers a question about which `noted` was found on the way to it. Where nothing is relaxed, or nothing refuses, one
    /// evaluation is all; a second one asks the permits alone where a forbid matched and it is of interest all the same
    /// whether there is a permit.
    pub(crate) fn weigh(&self, question: &Question<'_>, mut noted: Vec<Noted>) -> Verdict {
        let Some(set) = self.domains.get(question.route.id.service().domain()) else {
            return Verdict::broken(format!("route {} is of a domain without policies", question.route.id));
        };
        let request = self.request(question);
        let verdict = request.and_then(|request| self.weigh_request(question, set, &request, &mut noted));
        Verdict { noted, ..verdict.unwrap_or_else(Verdict::broken) }
    }

    fn weigh_request(
        &self,
        question: &Question<'_>,
        set: &Set,
        request: &Request,
        noted: &mut Vec<Noted>,
    ) -> Result<Verdict, String> {
        let asked = self.ask(set, &set.policies, request)?;
        if asked.allowed && asked.failures.is_empty() {
            return Ok(Verdict::allow(names(&asked.matched)));
        }
        let mut against = self.against(question, &asked);
        let relaxed = set.permit.is_some() || against.iter().any(|one| one.relaxation.is_some());
        let permits = match (asked.allowed, asked.matched.is_empty()) {
            (true, _) => Some(names(&asked.matched)),
            (false, true) => Some(Vec::new()),
            (false, false) if relaxed => Some(names(&self.ask(set, &set.only_permits, request)?.matched)),
            (false, false) => None,
        };
        if permits.as_ref().is_some_and(Vec::is_empty) {
            let (reason, relaxation) = (Reason::PolicyNoPermit, set.permit.as_ref());
            against.push(Against { tier: Tier::Permit, reason, policy: None, failure: None, relaxation });
        }
        let (tolerated, enforced): (Vec<_>, Vec<_>) = against.iter().partition(|one| one.relaxation.is_some());
        noted.extend(tolerated.iter().filter_map(|one| one.noted()));
        if enforced.is_empty() {
            let permits = permits.unwrap_or_default();
            let verdict = if permits.is_empty() { Verdict::tolerate(noted) } else { Verdict::allow(permits) };
            let failures = failures(&tolerated);
            let words = if failures.is_empty() { verdict.note } else { not_evaluated(&failures) };
            return Ok(Verdict { note: words, ..verdict });
        }
        Ok(self.denied(question, set, request, &enforced))
    }

    /// The policies that speak against the call, in the order of the request's life.
    fn against<'s>(&'s self, question: &Question<'_>, asked: &'s Asked<'s>) -> Vec<Against<'s>> {
        let failed = asked.failures.iter().map(|(known, words)| (*known, Reason::PolicyError, Some(words.as_str())));
        let forbids = if asked.allowed { &[][..] } else { &asked.matched };
        let forbids = forbids.iter().map(|known| (*known, forbidden(known.tier), None));
        let against = failed.chain(forbids).map(|(known, reason, failure)| {
            let relaxation = self.relaxation(question, known);
            Against { tier: known.tier, reason, policy: Some(&known.id), failure, relaxation }
        });
        let mut against: Vec<_> = against.collect();
        against.sort_by_key(|one| (one.tier, one.policy));
        against
    }

    /// What relaxes a policy for the caller of this question.
    fn relaxation<'s>(&'s self, question: &Question<'_>, known: &'s Known) -> Option<&'s Relaxation> {
        match (known.tier, question.principal) {
            // Each side relaxes its own consent: here it is the caller's domain that has to agree.
            (Tier::Consumer, Principal::Workload(caller)) => self.consumers.get(caller.domain()),
            (Tier::Consumer, Principal::Unidentified) => None,
            (Tier::Provider | Tier::Requires | Tier::Written | Tier::Permit, _) => {
                let relaxed = known.relaxed.as_ref()?;
                let enforced = relaxed.enforce_for > 0
                    && modes::is_enforced_for(&known.id, &caller_of(question), relaxed.enforce_for);
                (!enforced).then_some(&relaxed.relaxation)
            }
        }
    }

    fn denied(&self, question: &Question<'_>, set: &Set, request: &Request, enforced: &[&Against<'_>]) -> Verdict {
        let failures = failures(enforced);
        if !failures.is_empty() {
            return Verdict::failed(&failures);
        }
        let forbids: Vec<_> = enforced.iter().filter_map(|one| Some((one.tier, one.policy?.clone()))).collect();
        match enforced.first() {
            Some(first) if !forbids.is_empty() => {
                let note = note::forbidden(self, question, &forbids);
                Verdict::deny(first.reason, forbids.into_iter().map(|(_, id)| id).collect(), note)
            }
            _ => {
                let note = note::no_permit(self, question, set, request);
                Verdict::deny(Reason::PolicyNoPermit, Vec::new(), note)
            }
        }
    }
}

impl Against<'_> {
    fn noted(&self) -> Option<Noted> {
        Some(Noted::new(self.relaxation?.clone(), self.reason, self.policy.cloned()))
    }
}

/// Those of them that could not be evaluated.
fn failures<'s>(against: &[&Against<'s>]) -> Vec<(&'s PolicyId, &'s str)> {
    against.iter().filter_map(|one| Some((one.policy?, one.failure?))).collect()
}

fn names(matched: &[&Known]) -> Vec<PolicyId> {
    matched.iter().map(|known| known.id.clone()).collect()
}

/// The reason of a forbid that matched.
const fn forbidden(tier: Tier) -> Reason {
    match tier {
        Tier::Provider => Reason::ConsentProvider,
        Tier::Consumer => Reason::ConsentConsumer,
        Tier::Requires => Reason::RequiresIdentity,
        Tier::Written | Tier::Permit => Reason::PolicyForbidden,
    }
}

/// The caller as percentages know it: the workload, or for nobody the address that the call comes from.
fn caller_of(question: &Question<'_>) -> String {
    match (question.principal, question.source) {
        (Principal::Workload(id), _) => id.to_string(),
        (Principal::Unidentified, Some(source)) => source.to_canonical().to_string(),
        (Principal::Unidentified, None) => String::new(),
    }
}
