//! The steps of a request's life, each with what came of it.

use api::admin::{Completion, Identity, Noted, PolicyNote, Step, StepResult};
use types::facts::Outcome;
use types::{Failure, Reason, Stage};

use super::Story;

impl Story<'_> {
    pub(super) fn steps(&self) -> Vec<Step> {
        let accept = self.refused_at(Stage::Accept).then(|| self.step(Stage::Accept, true, "", Vec::new()));
        let risk = self.decision.risk.map(|risk| Step {
            name: "risk".to_owned(),
            result: StepResult::Noted,
            summary: risk.to_string(),
            facts: Vec::new(),
        });
        let mut steps: Vec<Step> = accept.into_iter().collect();
        steps.extend([self.identity(), self.parse(), self.route(), self.signals(), self.limits()]);
        steps.extend(risk);
        steps.extend([self.consent(), self.requires(), self.policy(), self.record(), self.upstream()]);
        steps
    }

    /// One step: refused here, or would have been, or passed with these words, or not reached.
    fn step(&self, stage: Stage, passed: bool, summary: &str, facts: Vec<String>) -> Step {
        let noted: Vec<&Noted> = self.noted_at(stage).collect();
        let (result, summary, facts) = if self.refused_at(stage) {
            let beside = noted.iter().map(|noted| format!("noted beside it: {}", self.spared(noted)));
            let facts = self.refusal().into_iter().chain(beside).collect();
            (StepResult::Refused, self.refused.map_or("refused", Reason::title).to_owned(), facts)
        } else if let Some(first) = noted.first() {
            let known = Reason::from_code(&first.reason);
            let title = known.map_or_else(|| first.reason.clone(), |reason| reason.title().to_owned());
            let words = noted.iter().map(|noted| self.spared(noted));
            (StepResult::WouldRefuse, title, facts.into_iter().chain(words).collect())
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

    /// The refusals that a step would have made.
    fn noted_at(&self, stage: Stage) -> impl Iterator<Item = &Noted> {
        let reason = |noted: &Noted| Reason::from_code(&noted.reason);
        self.decision.noted.iter().filter(move |noted| reason(noted).is_some_and(|reason| reason.stage() == stage))
    }

    /// Why a refusal did not refuse, and where the policy behind it stands.
    fn spared(&self, noted: &Noted) -> String {
        let does = format!("`{}` is in {}", noted.check, noted.mode);
        let policy = self.evidence.policies.iter().find(|policy| policy.id == noted.policy);
        match policy {
            Some(policy) if policy.generated => match (&policy.path, policy.line) {
                (Some(path), Some(line)) => format!("{}; {does}; {path}:{line}", policy.reason),
                (Some(path), None) => format!("{}; {does}; {path}", policy.reason),
                (None, _) => format!("{}; {does}", policy.reason),
            },
            Some(policy) => format!("{}; {does}", policy.id),
            None if noted.policy.is_empty() => does,
            None => format!("{}; {does}", noted.policy),
        }
    }

    /// Whether the judge was asked and did not stop before this stage. The stages of the judge are in order.
    fn judged_past(&self, stage: Stage) -> bool {
        self.decision.risk.is_some() && self.refused.is_none_or(|reason| reason.stage() > stage)
    }

    /// What is known about the refusal: the note, or the policies where they are told with their clauses; and where what
    /// was generated comes from.
    fn refusal(&self) -> Vec<String> {
        let policies = &self.evidence.policies;
        let written: Vec<_> = policies.iter().filter(|policy| self.is_determining(&policy.id)).collect();
        let near = self.refused == Some(Reason::PolicyNoPermit) && !self.evidence.nearest.is_empty();
        // what is told at length with a policy or a near permit is not told twice
        let note = if near { String::new() } else { self.note_beside(&written) };
        let also = match self.refused {
            Some(Reason::PolicyForbidden) => Some(""),
            Some(Reason::ConsentProvider | Reason::ConsentConsumer | Reason::RequiresIdentity) => {
                Some("also forbidden by ")
            }
            _ => None,
        };
        let names = written.iter().filter(|policy| !policy.generated && policy.effect == "forbid");
        let names = names.filter_map(|policy| also.map(|also| format!("{also}{}", policy.id)));
        let places = written.iter().filter(|policy| policy.generated).filter_map(|policy| {
            let line = policy.line.map_or_else(String::new, |line| format!(":{line}"));
            policy.path.as_ref().map(|path| format!("{path}{line}"))
        });
        let forbidden = self.refused == Some(Reason::PolicyForbidden);
        let either = (forbidden && self.lacks_permit()).then(|| "no policy would permit it either".to_owned());
        sentences(&note).into_iter().chain(names).chain(places).chain(either).collect()
    }

    /// The note without what it says of written policies.
    fn note_beside(&self, written: &[&PolicyNote]) -> String {
        let mut note = self.decision.note.clone();
        for policy in written.iter().filter(|policy| !policy.generated) {
            note = note.replace(&format!("{}: {}", policy.id, policy.reason.trim_end_matches('.')), "");
        }
        note
    }

    /// Whether no permit matches, and that would refuse.
    pub(super) fn lacks_permit(&self) -> bool {
        let code = Reason::PolicyNoPermit.code();
        self.evidence.unpermitted == Some(true) && self.decision.noted.iter().all(|noted| noted.reason != code)
    }

    fn is_determining(&self, id: &str) -> bool {
        self.decision.determining.iter().any(|known| known == id)
    }

    fn identity(&self) -> Step {
        let mut facts = match &self.decision.identity {
            Identity::Verified(certificate) => vec![certificate.spiffe_id.clone()],
            Identity::Unidentified { claimed } if claimed.is_empty() => Vec::new(),
            Identity::Unidentified { claimed } => vec![format!("claimed {claimed}, not proven")],
        };
        let verified = match &self.decision.identity {
            Identity::Verified(certificate) => {
                let via = (!certificate.via.is_empty()).then_some(&certificate.via);
                facts.extend(via.map(|operator| format!("impersonated by operator {operator}")));
                true
            }
            Identity::Unidentified { .. } => false,
        };
        let mut step = self.step(Stage::Identity, verified, "verified", Vec::new());
        // a call without identity that went on was let on by what the called domain says
        if step.result == StepResult::NotReached && !self.decision.method.is_empty() {
            (step.result, step.summary) = (StepResult::Noted, "none".to_owned());
            facts.push("nobody is identified; no certificate was presented".to_owned());
        }
        let names = |fact: &String| facts.iter().any(|known| fact.ends_with(known.as_str()));
        step.facts.retain(|fact| !names(fact));
        facts.append(&mut step.facts);
        Step { facts, ..step }
    }

    fn parse(&self) -> Step {
        self.step(Stage::Parse, !self.decision.method.is_empty(), "one canonical form", Vec::new())
    }

    fn route(&self) -> Step {
        let decision = self.decision;
        let route = format!("{} {} {}", decision.service, decision.method, decision.template);
        let judged = decision.template == "*" && self.noted_at(Stage::Route).next().is_none();
        let unlisted = judged.then(|| "the service judges what it does not list as `*`".to_owned());
        let routed = !decision.service.is_empty() && !decision.template.is_empty();
        self.step(Stage::Route, routed, &route, unlisted.into_iter().collect())
    }

    fn signals(&self) -> Step {
        let epoch = self.decision.epoch.map(|epoch| format!("epoch {epoch}"));
        let summary = format!("nothing against this caller, {}", epoch.as_deref().unwrap_or_default());
        let mut step = self.step(Stage::Signals, epoch.is_some(), &summary, Vec::new());
        step.facts.extend(epoch.filter(|_| step.result == StepResult::Refused));
        step
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
            _ => "none asked: nobody is identified".to_owned(),
        };
        self.step(Stage::Consent, self.judged_past(Stage::Consent), &summary, Vec::new())
    }

    fn requires(&self) -> Step {
        self.step(Stage::Requires, self.judged_past(Stage::Requires), "met", Vec::new())
    }

    fn policy(&self) -> Step {
        let allowed = self.decision.outcome == Outcome::Allow || self.judged_past(Stage::Policy);
        let permits = if allowed { self.decision.determining.clone() } else { Vec::new() };
        let mut step = self.step(Stage::Policy, self.judged_past(Stage::Policy), "permitted", permits);
        if step.result == StepResult::NotReached && self.lacks_permit() {
            step.summary = "not reached; no policy would permit it either".to_owned();
        }
        step
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
        ended(completion)
    }
}

/// How an allowed request ended.
fn ended(completion: &Completion) -> Step {
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
    let cut = completion.revision.is_some() || completion.epoch.is_some();
    let title = known.map_or_else(|| completion.reason.clone(), |failure| failure.title().to_owned());
    let summary = if cut { format!("cut while it was open: {title}") } else { title };
    let judged = cut.then(|| judged_again(completion)).filter(|words| !words.is_empty());
    let status = completion.status.map(|_| status);
    facts.splice(0..0, status.into_iter().chain([completion.reason.clone()]).chain(judged));
    Step { name, result: StepResult::Failed, summary, facts }
}

/// Under what an open exchange was judged again.
fn judged_again(completion: &Completion) -> String {
    let revision =
        completion.revision.as_ref().map(|id| format!("revision {}", id.chars().take(7).collect::<String>()));
    let epoch = completion.epoch.map(|epoch| format!("epoch {epoch} of the signals"));
    let under: Vec<String> = revision.into_iter().chain(epoch).collect();
    if under.is_empty() { String::new() } else { format!("judged again under {}", under.join(" and ")) }
}

/// The sentences of a note. One that says who is not among those named before belongs to the one before.
fn sentences(note: &str) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    for part in note.split("; ").filter(|part| !part.trim_matches(|c| c == ';' || c == ' ').is_empty()) {
        match sentences.last_mut() {
            Some(before) if part.ends_with("is not among them") => *before = format!("{before}; {part}"),
            _ => sentences.push(part.to_owned()),
        }
    }
    sentences
}
