//! The story of one decision, told from its record: what each step found, in the order in which it happened, what it
//! rested on, and what would have to change for another answer.
//!
//! Policies are asked again, by the revision that decided, about the call as the record describes it. Where they answer
//! otherwise than the record says, the story says so.

mod change;
mod evidence;
mod sentences;
mod steps;

use api::admin::{Decision, Explanation};
use trustdir::Revision;
use types::facts::{Outcome, Protocol};
use types::{Failure, Reason, ServiceId, Timestamp};

use evidence::Evidence;

/// What is known beside the record.
pub struct Known<'a> {
    /// The revision that decided; `None` where there was none or it is no longer there.
    pub revision: Option<&'a Revision>,
    /// Whether that revision is in force.
    pub in_force: bool,
    /// Since when it was current at the decision.
    pub since: Option<Timestamp>,
    /// The text of a file of that revision, by its path.
    pub file: &'a dyn Fn(&str) -> Option<String>,
    /// What could not be found out.
    pub unknown: Vec<String>,
}

/// Tells the story.
pub fn explain(decision: Decision, known: Known<'_>) -> Explanation {
    let evidence = Evidence::of(&decision, &known);
    let refused = Reason::from_code(&decision.reason);
    let story = Story { decision: &decision, refused, evidence: &evidence };
    let (steps, to_change, told) = (story.steps(), story.to_change(), told(&decision, refused));
    let mode = known.revision.and_then(|revision| {
        let service: ServiceId = decision.service.parse().ok()?;
        Some(revision.model().modes(service.domain())?.default)
    });
    let Evidence { policies, nearest, doubts, .. } = evidence;
    Explanation {
        steps,
        forwarded: decision.outcome == Outcome::Allow && !never_reached(&decision),
        to_change,
        policies,
        revision_in_force: known.in_force,
        unknown: known.unknown.into_iter().chain(doubts).collect(),
        nearest,
        told,
        revision_since: known.since,
        mode,
        decision,
    }
}

/// A decision with what explains it.
struct Story<'a> {
    decision: &'a Decision,
    /// Absent for an allow, and for a reason that this version does not know.
    refused: Option<Reason>,
    evidence: &'a Evidence,
}

/// Whether it is known that no upstream was reached.
fn never_reached(decision: &Decision) -> bool {
    let unreachable = Reason::UpstreamUnreachable.code();
    decision.completion.as_ref().is_some_and(|end| end.status.is_none() && end.reason == unreachable)
}

/// What the caller got of ours: nothing where the handshake failed, where the answer is the upstream's, and where an
/// exchange was cut after its response had begun.
fn told(decision: &Decision, refused: Option<Reason>) -> String {
    let ended = decision.completion.as_ref().filter(|end| end.status.is_none());
    let failed = ended.and_then(|end| match Failure::from_code(&end.reason) {
        Some(Failure::Reason(reason)) => Some(reason),
        _ => None,
    });
    let could_be_told = decision.protocol != Protocol::Tls;
    let answered = refused.or(failed).filter(|reason| could_be_told && reason.status() != 0);
    answered.map_or_else(String::new, |reason| format!("{} {}", reason.status(), reason.title()))
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
