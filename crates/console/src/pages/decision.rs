//! The story of one decision: what was asked, what each step found, and what would have to change.

use api::admin::{
    Certificate, Clause, Decision, Explanation, Failure, FailureCode, Identity, NearPermit, PolicyNote, Step,
    StepResult,
};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use types::Mode;
use types::facts::Protocol;

use crate::Console;
use crate::answer::Ask;
use crate::rows::{Mark, caller};
use crate::session::{Frame, Visitor};
use crate::show::{Segment, When, duration, link, short_decision, short_revision, span};

#[derive(Template)]
#[template(path = "decision.html")]
struct DecisionPage {
    frame: Frame,
    mark: Mark,
    id: String,
    short: String,
    at: When,
    asked: Asked,
    revision: String,
    /// The enforcer that decided it and its page; empty where it shares control's process.
    enforcer: String,
    enforcer_link: String,
    mode: &'static str,
    steps: Vec<Line>,
    policies: Vec<Policy>,
    nearest: Vec<Policy>,
    to_change: String,
    forwarded: &'static str,
    told: String,
    unknown: Vec<String>,
    raw: String,
    /// What a revocation would be about, `""` where nobody was identified.
    subject: String,
    others: String,
}

/// Who asked what.
struct Asked {
    caller: String,
    verb: &'static str,
    service: String,
    route: String,
}

struct Line {
    shape: &'static str,
    class: &'static str,
    word: &'static str,
    name: String,
    summary: String,
    facts: Vec<String>,
}

/// A policy held against the call.
struct Policy {
    /// What kind, `""` for a permit that only comes near.
    kind: String,
    id: String,
    reason: String,
    place: String,
    parts: Vec<Part>,
    clauses: Vec<Held>,
}

/// A piece of a policy's source.
#[derive(PartialEq, Eq, Debug)]
struct Part {
    text: String,
    class: &'static str,
}

struct Held {
    shape: &'static str,
    class: &'static str,
    word: &'static str,
    text: String,
    was: String,
}

pub(crate) async fn show(visitor: Visitor, State(console): State<Console>, Path(id): Path<String>) -> Response {
    console.show(visitor.at("decisions"), move |ask, frame| page(ask, frame, &id)).await
}

fn page(ask: &Ask<'_>, frame: Frame, id: &str) -> Result<DecisionPage, Failure> {
    let story = ask.admin.explain(id)?;
    let raw = serde_json::to_string_pretty(&story.decision)
        .map_err(|error| Failure::new(FailureCode::Unavailable, error.to_string(), ""))?;
    let decision = &story.decision;
    let subject = match &decision.identity {
        Identity::Verified(certificate) => certificate.spiffe_id.clone(),
        Identity::Unidentified { .. } => String::new(),
    };
    let is_here = decision.enforcer == ask.admin.status().node;
    let enforcer = if is_here { String::new() } else { decision.enforcer.clone() };
    Ok(DecisionPage {
        frame,
        enforcer_link: format!("/fleet/proxy/{}", Segment(&enforcer)),
        enforcer,
        mark: Mark::of(decision.answer()),
        id: decision.id.to_string(),
        short: short_decision(&decision.id),
        at: When::full(decision.at),
        asked: asked(decision),
        revision: revision(&story),
        mode: story.mode.map(Mode::as_str).unwrap_or_default(),
        steps: story.steps.iter().map(|step| line(step, decision)).collect(),
        policies: story.policies.iter().map(policy).collect(),
        nearest: story.nearest.iter().map(near).collect(),
        to_change: story.to_change.clone(),
        forwarded: if story.forwarded { "The call was forwarded." } else { "Nothing was forwarded." },
        // a handshake that fails tells nothing, whatever its reason is answered with later
        told: if story.decision.protocol == Protocol::Tls { String::new() } else { story.told.clone() },
        unknown: story.unknown.clone(),
        raw,
        subject,
        others: link("/decisions", &[("caller", &decision.caller), ("service", &decision.service)]),
    })
}

fn asked(decision: &Decision) -> Asked {
    let route = format!("{} {}", decision.method, decision.template).trim().to_owned();
    let service = if decision.service.is_empty() { decision.host.clone() } else { decision.service.clone() };
    let (verb, service) = match (decision.method.as_str(), &decision.identity) {
        ("", Identity::Verified(_)) => ("sent a request that could not be read to", service),
        ("", _) if service.is_empty() => ("opened a connection to", format!("listener {}", decision.listener)),
        ("", _) => ("opened a connection to", service),
        _ => ("asked", service),
    };
    Asked { caller: caller(decision), verb, service, route }
}

fn revision(story: &Explanation) -> String {
    let Some(id) = &story.decision.revision else { return "no revision".to_owned() };
    let age = story.revision_since.map(|since| story.decision.at.micros_since(since) / 1_000_000);
    let age = age.map(|seconds| format!(", {} old then", span(seconds))).unwrap_or_default();
    let now = if story.revision_in_force { "in force" } else { "replaced since" };
    format!("revision {}{age}, {now}", short_revision(id))
}

fn line(step: &Step, decision: &Decision) -> Line {
    let (shape, class, word) = match step.result {
        StepResult::Passed => ("✓", "allow", "passed"),
        StepResult::Refused => ("✗", "deny", "refused"),
        StepResult::Failed => ("✗", "deny", "failed"),
        StepResult::NotReached => ("–", "quiet", "not reached"),
        StepResult::Pending => ("○", "unknown", "not known yet"),
        StepResult::Noted => ("·", "quiet", "noted"),
        StepResult::WouldRefuse => ("◐", "would", "would refuse"),
    };
    let mut facts: Vec<String> = step.facts.clone();
    match (step.name.as_str(), &decision.identity, &decision.completion) {
        ("identity", Identity::Verified(certificate), _) => facts.push(self::certificate(certificate)),
        ("upstream", _, Some(end)) => facts.push(format!("{} from decision to end", duration(end.duration_micros))),
        _ => {}
    }
    Line { shape, class, word, name: step.name.clone(), summary: step.summary.clone(), facts }
}

/// `certificate 5c1e…, valid 2026-11-23 08:41 to 09:41 UTC`.
fn certificate(certificate: &Certificate) -> String {
    let (from, until) = (When::full(certificate.not_before).text, When::full(certificate.not_after).text);
    let day = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
    let to = if day(&from) == day(&until) { When::minute(certificate.not_after).text } else { until };
    let from = format!("{} {}", day(&from), When::minute(certificate.not_before).text);
    format!("certificate {}, valid {from} to {to} UTC", certificate.serial)
}

fn place(path: Option<&str>, line: Option<usize>) -> String {
    match (path, line) {
        (Some(path), Some(line)) => format!("{path}:{line}"),
        (Some(path), None) => path.to_owned(),
        (None, _) => String::new(),
    }
}

fn policy(note: &PolicyNote) -> Policy {
    Policy {
        kind: if note.generated { format!("generated {}", note.effect) } else { note.effect.clone() },
        id: note.id.clone(),
        reason: note.reason.clone(),
        place: place(note.path.as_deref(), note.line),
        parts: parts(note.source.trim_end(), &note.clauses, note.effect == "forbid"),
        clauses: note.clauses.iter().map(|clause| held(clause, note.effect == "forbid")).collect(),
    }
}

fn near(permit: &NearPermit) -> Policy {
    Policy {
        kind: String::new(),
        id: permit.id.clone(),
        reason: permit.reason.clone(),
        place: place(permit.path.as_deref(), permit.line),
        parts: parts(permit.source.trim_end(), &permit.clauses, false),
        clauses: permit.clauses.iter().map(|clause| held(clause, false)).collect(),
    }
}

/// What a clause did. One that holds speaks for the call in a permit, and against it in a forbid.
fn held(clause: &Clause, forbids: bool) -> Held {
    let (shape, class, word) = match (clause.holds, forbids) {
        (Some(true), false) => ("✓", "allow", "holds"),
        (Some(true), true) => ("✓", "deny", "holds"),
        (Some(false), false) => ("✗", "deny", "does not hold"),
        (Some(false), true) => ("✗", "allow", "does not hold"),
        (None, _) => ("○", "unknown", "not known"),
    };
    Held { shape, class, word, text: clause.text.clone(), was: clause.was.clone() }
}

/// The source in pieces, so that the clauses can be underlined. Spans that overlap an earlier one, or do not fit the
/// text, are left plain.
fn parts(source: &str, clauses: &[Clause], forbids: bool) -> Vec<Part> {
    let mut spans: Vec<&Clause> = clauses.iter().filter(|clause| clause.span.0 < clause.span.1).collect();
    spans.sort_by_key(|clause| clause.span);
    let mut parts = Vec::new();
    let mut at = 0;
    for clause in spans {
        let (from, to) = clause.span;
        let (Some(before), Some(text)) = (source.get(at..from), source.get(from..to)) else { continue };
        parts.push(Part { text: before.to_owned(), class: "" });
        parts.push(Part { text: text.to_owned(), class: held(clause, forbids).class });
        at = to;
    }
    parts.push(Part { text: source.get(at..).unwrap_or_default().to_owned(), class: "" });
    parts.retain(|part| !part.text.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clause(holds: Option<bool>, span: (usize, usize)) -> Clause {
        Clause { text: "x".into(), holds, was: String::new(), span }
    }

    #[test]
    fn clauses_are_cut_out_of_the_source() {
        let source = "permit (a, b) when { c };";
        let told =
            parts(source, &[clause(Some(false), (21, 22)), clause(Some(true), (8, 9)), clause(None, (0, 0))], false);
        let told: Vec<(&str, &str)> = told.iter().map(|part| (part.text.as_str(), part.class)).collect();
        assert_eq!(told, [("permit (", ""), ("a", "allow"), (", b) when { ", ""), ("c", "deny"), (" };", "")]);
    }

    #[test]
    fn spans_that_do_not_fit_leave_the_source_whole() {
        for span in [(0, 99), (50, 60), (1, 2)] {
            let told: String = parts("é;", &[clause(Some(false), span), clause(Some(false), (0, 2))], false)
                .iter()
                .map(|p| p.text.as_str())
                .collect();
            assert_eq!(told, "é;", "{span:?}");
        }
    }
}
