//! What would have to change for another answer: for every reason a sentence that a person can act on.

use api::admin::{Clause, Identity, Noted};
use types::facts::Outcome;
use types::{Failure, Reason};

use super::Story;

impl Story<'_> {
    /// `""` for a call that nothing refuses.
    pub(super) fn to_change(&self) -> String {
        match self.refused {
            Some(reason) if self.is_for_policies(reason) => {
                let ids = self.decision.determining.iter().map(String::as_str).collect::<Vec<_>>();
                self.conditions("To allow this call", &self.demands(&[reason], &ids))
            }
            Some(reason) => self.sentence(reason),
            None if self.decision.outcome == Outcome::Deny => String::new(),
            None if !self.decision.noted.is_empty() => self.once_enforced(),
            None => self.ended_badly(),
        }
    }

    /// Whether the trust directory could say otherwise about this call.
    fn is_for_policies(&self, reason: Reason) -> bool {
        use Reason::{ConsentConsumer, ConsentProvider, PolicyForbidden, PolicyNoPermit};
        matches!(reason, ConsentProvider | ConsentConsumer | PolicyForbidden | PolicyNoPermit) && self.has_caller()
    }

    fn has_caller(&self) -> bool {
        matches!(self.decision.identity, Identity::Verified(_))
    }

    /// One or two demands in a sentence, more as a list.
    fn conditions(&self, so_that: &str, demands: &[String]) -> String {
        match demands {
            [] | [_] | [_, _] => format!("{so_that}, {}.", demands.join(", and ")),
            many => many.iter().fold(format!("{so_that},"), |text, demand| format!("{text}\n– {demand}")),
        }
    }

    /// For an allowed call that relaxed checks would have refused.
    fn once_enforced(&self) -> String {
        let noted = &self.decision.noted;
        let reasons: Vec<Reason> = noted.iter().filter_map(|noted| Reason::from_code(&noted.reason)).collect();
        let policies: Vec<&str> = noted.iter().map(|noted| noted.policy.as_str()).filter(|id| !id.is_empty()).collect();
        let checks = list(noted.iter().map(|noted: &Noted| format!("`{}`", noted.check)));
        let enforce = if noted.len() == 1 { "enforces" } else { "enforce" };
        self.conditions(
            &format!("For this call to be allowed once {checks} {enforce}"),
            &self.demands(&reasons, &policies),
        )
    }

    /// For an allowed call that did not end well for a reason of ours or the upstream's.
    fn ended_badly(&self) -> String {
        let Some(end) = &self.decision.completion else { return String::new() };
        let reason = match Failure::from_code(&end.reason) {
            Some(Failure::Reason(reason)) => reason,
            _ => return String::new(),
        };
        let cut = end.revision.is_some() || end.epoch.is_some();
        if cut && reason != Reason::SignalsRevoked {
            return "What was permitted when it began was refused when it was judged again: explain a new call of the same \
                    kind to see by what."
                .to_owned();
        }
        self.sentence(reason)
    }

    /// What each reason and policy demands, in the order of the request's life, and a permit where there is none.
    fn demands(&self, reasons: &[Reason], policies: &[&str]) -> Vec<String> {
        let decision = self.decision;
        let (own, theirs) = (domain(&decision.caller), domain(&decision.service));
        let named = |part: &str| policies.iter().any(|id| id.contains(part));
        let mut demands = Vec::new();
        if reasons.contains(&Reason::RequiresIdentity) {
            demands.push("the caller would have to present an SVID of its own from the workload socket".to_owned());
        }
        if reasons.contains(&Reason::RouteUnlisted) {
            demands.push(format!(
                "{} would have to list the route (`routes` or `api` in {})",
                decision.service,
                file(theirs)
            ));
        }
        if reasons.contains(&Reason::ConsentProvider) || named("/consent.accepts_from.") {
            let service = decision.service.split_once('/').map_or(decision.service.as_str(), |(_, name)| name);
            demands.push(format!(
                "{theirs} would have to accept {own} for {service} (`accepts_from` in {})",
                file(theirs)
            ));
        }
        if reasons.contains(&Reason::ConsentConsumer) || named("/consent.calls.") {
            let name = decision.caller.split_once('/').map_or(decision.caller.as_str(), |(_, name)| name);
            demands.push(format!(
                "{own} would have to list {} for {name} (`calls` in {})",
                decision.service,
                file(own)
            ));
        }
        let generated = |id: &&&str| id.contains("/consent.") || id.contains("/requires.");
        let written: Vec<&str> = policies.iter().filter(|id| !generated(id)).copied().collect();
        demands.extend(written.iter().filter_map(|id| self.forbid(id)));
        if reasons.contains(&Reason::PolicyForbidden) && written.is_empty() {
            demands.push("the policies that forbid it would have to forbid it no longer".to_owned());
        }
        if reasons.contains(&Reason::PolicyNoPermit) || self.lacks_permit() {
            demands.push(self.permit(theirs));
        }
        demands
    }

    /// What would have to change about a forbid that matched: the moment, or the policy. `None` for a permit.
    fn forbid(&self, id: &str) -> Option<String> {
        let Some(policy) = self.evidence.policies.iter().find(|policy| policy.id == id) else {
            return Some(format!("{id} would have to forbid it no longer"));
        };
        if policy.effect != "forbid" {
            return None;
        }
        let place = place(policy.path.as_deref(), policy.line);
        // no moment comes back
        let can_change =
            |clause: &&Clause| clause.text.contains("context.") && !clause.text.starts_with("context.now >");
        let momentary = policy.clauses.iter().filter(can_change);
        let otherwise = momentary.map(|clause| match clause.text.strip_prefix("unless ") {
            Some(text) => format!("`{text}` must hold{}", was(clause)),
            None => format!("`{}` must not hold{}", clause.text, was(clause)),
        });
        let policy = format!("{id} would have to forbid it no longer{place}");
        Some(otherwise.chain([policy]).collect::<Vec<_>>().join(", or "))
    }

    /// What the nearest permit lacks, or that one would have to be written.
    fn permit(&self, theirs: &str) -> String {
        let decision = self.decision;
        let caller = if self.has_caller() { decision.caller.as_str() } else { "that caller" };
        let write =
            format!("a policy of {theirs} would have to permit {caller} {} {}", decision.method, decision.template);
        let Some(nearest) = self.evidence.nearest.first() else {
            return format!("{write} (domains/{theirs}/policies)");
        };
        let missing: Vec<&Clause> = nearest.clauses.iter().filter(|clause| clause.holds != Some(true)).collect();
        let momentary = missing.iter().all(|clause| clause.text.contains("context."));
        if !momentary {
            return format!("{write}; {} comes nearest", nearest.id);
        }
        let unmet = list(missing.iter().map(|clause| match clause.text.strip_prefix("unless ") {
            Some(text) => format!("`{text}` must not hold{}", was(clause)),
            None => format!("`{}` must hold{}", clause.text, was(clause)),
        }));
        format!("{unmet}: then {} permits it", nearest.id)
    }
}

/// The domain of `domain/name`, `""` where it is none of ours.
pub(super) fn domain(id: &str) -> &str {
    match id.split_once('/') {
        Some((domain, _)) if !domain.contains(':') => domain,
        _ => "",
    }
}

pub(super) fn file(domain: &str) -> String {
    if domain.is_empty() { "its domain.yaml".to_owned() } else { format!("domains/{domain}/domain.yaml") }
}

fn place(path: Option<&str>, line: Option<usize>) -> String {
    match (path, line) {
        (Some(path), Some(line)) => format!(" ({path}:{line})"),
        (Some(path), None) => format!(" ({path})"),
        (None, _) => String::new(),
    }
}

/// ` (it was 70)`.
fn was(clause: &Clause) -> String {
    if clause.was.is_empty() { String::new() } else { format!(" (it was {})", clause.was) }
}

/// `a, b and c`, cut after four.
pub(super) fn list(items: impl IntoIterator<Item = impl ToString>) -> String {
    let mut texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if texts.len() > 4 {
        let rest = texts.len().saturating_sub(4);
        texts.truncate(4);
        texts.push(format!("{rest} more"));
    }
    match texts.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
