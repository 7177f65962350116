//! The story of one decision, told from its record: what each step found, in the order in which it happened, and what
//! would have to change for another answer.

use api::admin::{Decision, Explanation, Identity, PolicyNote, Step, StepResult};
use types::facts::Outcome;
use types::{Failure, Reason, Stage};

/// What explains a decision beside its record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// The determining policies as the deciding revision has them.
    pub policies: Vec<PolicyNote>,
    /// Whether that revision is in force.
    pub revision_in_force: bool,
    /// What could not be found out.
    pub unknown: Vec<String>,
}

/// Tells the story.
pub fn explain(decision: Decision, context: Context) -> Explanation {
    let policies_known = !context.policies.is_empty();
    let story = Story { decision: &decision, refused: Reason::from_code(&decision.reason), policies_known };
    Explanation {
        steps: story.steps(),
        forwarded: decision.outcome == Outcome::Allow,
        to_change: story.to_change(),
        policies: context.policies,
        revision_in_force: context.revision_in_force,
        unknown: context.unknown,
        decision,
    }
}

struct Story<'a> {
    decision: &'a Decision,
    /// Absent for an allow, and for a reason that this version does not know.
    refused: Option<Reason>,
    /// Whether the policies are told beside the steps.
    policies_known: bool,
}

impl Story<'_> {
    fn steps(&self) -> Vec<Step> {
        let accept = self.refused_at(Stage::Accept).then(|| self.step(Stage::Accept, true, "", Vec::new()));
        let risk = self.decision.risk.map(|risk| Step {
            name: "risk".to_owned(),
            result: StepResult::Noted,
            summary: risk.to_string(),
            facts: Vec::new(),
        });
        let mut steps: Vec<Step> = accept.into_iter().collect();
        steps.extend([self.identity(), self.parse(), self.route(), self.limits()]);
        steps.extend(risk);
        steps.extend([self.consent(), self.requires(), self.policy(), self.record(), self.upstream()]);
        steps
    }

    /// One step: refused here, or passed with these words, or not reached.
    fn step(&self, stage: Stage, passed: bool, summary: &str, facts: Vec<String>) -> Step {
        let (result, summary, facts) = if self.refused_at(stage) {
            (StepResult::Refused, self.refused.map_or("refused", Reason::title).to_owned(), self.refusal())
        } else if passed {
            (StepResult::Passed, summary.to_owned(), facts)
        } else {
            (StepResult::NotReached, "not reached".to_owned(), Vec::new())
        };
        Step { name: stage.as_str().to_owned(), result, summary, facts }
    }

    fn refused_at(&self, stage: Stage) -> bool {
        self.refused.is_some_and(|reason| reason.stage() == stage)
    }

    /// Whether the judge was asked and did not stop before this stage. The stages of the judge are in order.
    fn judged_past(&self, stage: Stage) -> bool {
        self.decision.risk.is_some() && self.refused.is_none_or(|reason| reason.stage() > stage)
    }

    /// What the record says about the refusal: the code, and the note where there is one.
    fn refusal(&self) -> Vec<String> {
        // of written policies the note repeats the reasons, which are told with the policies themselves
        let told = self.refused == Some(Reason::PolicyForbidden) && self.policies_known;
        let note = if told { "" } else { self.decision.note.as_str() };
        let notes = note.split("; ").filter(|note| !note.is_empty()).map(str::to_owned);
        let named = self.decision.determining.iter().filter(|_| told).cloned();
        notes.chain(named).chain([self.decision.reason.clone()]).collect()
    }

    fn identity(&self) -> Step {
        let (verified, mut facts) = match &self.decision.identity {
            Identity::Verified(certificate) => (true, vec![certificate.spiffe_id.clone()]),
            Identity::Unidentified { claimed } if claimed.is_empty() => (false, Vec::new()),
            Identity::Unidentified { claimed } => (false, vec![format!("claimed {claimed}, not proven")]),
        };
        if let Identity::Verified(certificate) = &self.decision.identity
            && !certificate.via.is_empty()
        {
            facts.push(format!("impersonated by operator {}", certificate.via));
        }
        let mut step = self.step(Stage::Identity, verified, "verified", Vec::new());
        facts.append(&mut step.facts);
        Step { facts, ..step }
    }

    fn parse(&self) -> Step {
        self.step(Stage::Parse, !self.decision.method.is_empty(), "one canonical form", Vec::new())
    }

    fn route(&self) -> Step {
        let decision = self.decision;
        let route = format!("{} {} {}", decision.service, decision.method, decision.template);
        let unlisted = (decision.template == "*").then(|| "the service judges what it does not list as `*`".to_owned());
        let routed = !decision.service.is_empty() && !decision.template.is_empty();
        self.step(Stage::Route, routed, &route, unlisted.into_iter().collect())
    }

    fn limits(&self) -> Step {
        self.step(Stage::Limits, self.decision.risk.is_some(), "within", Vec::new())
    }

    fn consent(&self) -> Step {
        let domain = |id: &str| id.split_once('/').map(|(domain, _)| domain.to_owned());
        let (caller, called) = (domain(&self.decision.caller), domain(&self.decision.service));
        let summary = match (caller, called) {
            (Some(caller), Some(called)) if caller == called => format!("within {called}"),
            (Some(caller), Some(called)) => format!("{called} accepts {caller}, and {caller} lists this call"),
            _ => "given".to_owned(),
        };
        self.step(Stage::Consent, self.judged_past(Stage::Consent), &summary, Vec::new())
    }

    fn requires(&self) -> Step {
        self.step(Stage::Requires, self.judged_past(Stage::Requires), "met", Vec::new())
    }

    fn policy(&self) -> Step {
        self.step(Stage::Policy, self.judged_past(Stage::Policy), "permitted", self.decision.determining.clone())
    }

    /// What can be explained was recorded.
    fn record(&self) -> Step {
        let place = format!("lane {}, record {}", self.decision.lane, self.decision.sequence);
        self.step(Stage::Record, true, &place, Vec::new())
    }

    fn upstream(&self) -> Step {
        let allowed = self.decision.outcome == Outcome::Allow;
        let Some(completion) = self.decision.completion.as_ref().filter(|_| allowed) else {
            let mut step = self.step(Stage::Upstream, allowed, "no end recorded yet", Vec::new());
            if step.result == StepResult::Passed {
                step.result = StepResult::Pending;
            }
            return step;
        };
        let status = completion.status.map_or_else(|| "no status".to_owned(), |status| format!("status {status}"));
        let (request, response) = (completion.request_bytes, completion.response_bytes);
        let mut facts = Vec::new();
        if request > 0 || response > 0 {
            facts.push(format!("{request} bytes of request body, {response} bytes of response body"));
        }
        let name = Stage::Upstream.as_str().to_owned();
        if completion.reason.is_empty() {
            return Step { name, result: StepResult::Passed, summary: status, facts };
        }
        let known = Failure::from_code(&completion.reason);
        let summary = known.map_or_else(|| completion.reason.clone(), |failure| failure.title().to_owned());
        facts.splice(0..0, completion.status.map(|_| status).into_iter().chain([completion.reason.clone()]));
        Step { name, result: StepResult::Failed, summary, facts }
    }

    fn to_change(&self) -> String {
        let Some(reason) = self.refused else { return String::new() };
        let Decision { caller, service, method, template, .. } = self.decision;
        let of = |id: &str| id.split_once('/').map_or_else(|| id.to_owned(), |(domain, _)| domain.to_owned());
        match reason {
            Reason::ConsentProvider => {
                let (theirs, own) = (of(service), of(caller));
                format!(
                    "To allow this call, {theirs} would have to accept {own} for {service}: `accepts_from` in domains/{theirs}/domain.yaml."
                )
            }
            Reason::ConsentConsumer => format!(
                "To allow this call, {own} would have to list {service} for {caller}: `calls` in domains/{own}/domain.yaml.",
                own = of(caller)
            ),
            Reason::PolicyNoPermit => {
                let domain = of(service);
                format!(
                    "To allow this call, a policy of {domain} would have to permit {caller} {method} {template} of {service}."
                )
            }
            Reason::PolicyForbidden => {
                let ids = self.decision.determining.join(", ");
                format!(
                    "To allow this call, {ids} would have to forbid it no longer, and a policy would have to permit it."
                )
            }
            other => sentence(other.hint()),
        }
    }
}

/// A hint as a sentence.
fn sentence(hint: &str) -> String {
    let mut chars = hint.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
