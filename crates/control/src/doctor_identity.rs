//! What an operator should look at in identities: the outage budget, renewals that fail, rotations that stand, bundles of
//! others that grow old.

use api::admin::{Federated, Finding, Keys, Rotation, RotationPhase, Severity};
use types::Timestamp;

use crate::acts::count;
use crate::identities::{Counted, Kept, moment, spoken};
use crate::rotation::Standing;
use crate::service::Control;

/// An outage shorter than this is one that nobody notices in time.
const LITTLE_SECONDS: u64 = 900; // tidy: the time in which somebody who is called looks at a screen
/// Attempts at a renewal that fail one after the other before it is told.
const FAILURES: u32 = 2; // tidy: one is a moment's bad luck
/// A rotation that waits for so long waits for somebody.
const WAITS_MICROS: u64 = 3_600_000_000;

fn finding(severity: Severity, subject: &str, message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding { severity, subject: subject.to_owned(), message: message.into(), hint: hint.into() }
}

impl Control {
    /// The identities' part of `doctor`.
    pub(crate) fn examine_identities(&self, now: Timestamp, findings: &mut Vec<Finding>) {
        let counted = self.count_budget();
        findings.push(budget(&counted));
        findings.extend(unknown(&counted));
        findings.extend(renewals(&counted));
        let standing = self.rotations_standing();
        let told: Vec<Finding> = standing.iter().flat_map(|standing| rotation(standing, now)).collect();
        if told.is_empty() && !standing.is_empty() {
            findings.push(finding(Severity::Good, "rotation", "no rotation of keys waits for anybody", ""));
        }
        findings.extend(told);
        match self.federated_domains() {
            Ok(federated) => findings.extend(federated.iter().filter_map(|one| federation(one, now))),
            Err(failure) => findings.push(finding(Severity::Problem, "federation", failure.message, failure.hint)),
        }
    }
}

/// How long everything goes on. A half of the life of what ends first is what a healthy fleet always has, so much less says
/// that renewals do not come.
fn budget(counted: &Counted) -> Finding {
    const SUBJECT: &str = "outage budget";
    let (Some(seconds), Some(first)) = (counted.seconds(), counted.identities.first()) else {
        return finding(Severity::Good, SUBJECT, "no identity is held", "");
    };
    let left = spoken(seconds);
    let message =
        format!("if issuance stopped now, {} ({}) would be the first to fail, in {left}", first.spiffe_id, first.node);
    let half = first.ttl.as_secs() / 2;
    // renewals begin at the half with some jitter
    let late = seconds < half / 10 * 8;
    let severity = match (late, seconds < LITTLE_SECONDS) {
        (true, true) if seconds < half / 2 => Severity::Problem,
        (true, _) | (_, true) => Severity::Warning,
        (false, false) => Severity::Good,
    };
    let hint = match (late, seconds < LITTLE_SECONDS) {
        (true, _) => "it should have been renewed: see the log of its agent; `countersign identity budget` names more",
        (false, true) => "an outage of a quarter of an hour stops calls: give it a longer `svid.ttl`",
        (false, false) => "",
    };
    finding(severity, SUBJECT, message, hint)
}

fn unknown(counted: &Counted) -> Option<Finding> {
    let first = counted.unknown.first()?;
    let more = counted.unknown.len().saturating_sub(1);
    let more = if more == 0 { String::new() } else { format!("; and {}", count(more, "other node", "other nodes")) };
    let message = format!("the budget does not know everything: {first}{more}");
    Some(finding(Severity::Warning, "outage budget", message, "countersign identity budget"))
}

fn renewals(counted: &Counted) -> Option<Finding> {
    let failing: Vec<&Kept> = counted.identities.iter().filter(|kept| kept.failures >= FAILURES).collect();
    let first = failing.first()?;
    let all = count(failing.len(), "identity is", "identities are");
    let left = spoken(first.not_after.micros_since(counted.at) / 1_000_000);
    let message = format!(
        "{all} not renewed; first to end is {} ({}), in {left}, after {} failed attempts",
        first.spiffe_id, first.node, first.failures
    );
    Some(finding(
        Severity::Problem,
        "renewals",
        message,
        "what is held goes on until it ends; see the log of the agent",
    ))
}

/// What is to be said of one rotation: nothing of one that goes on by itself.
fn rotation(standing: &Standing, now: Timestamp) -> Vec<Finding> {
    let Standing { rotation, trouble } = standing;
    let Rotation { domain, held, waiting_for, given_up, .. } = rotation;
    let what =
        format!("rotation of {} of {domain}", if rotation.keys == Keys::X509 { "the root" } else { "the JWT key" });
    let flag = if rotation.keys == Keys::X509 { "" } else { " --jwt" };
    let command = format!("countersign identity rotate-root {domain}{flag}");
    let mut told = Vec::new();
    if let Some(trouble) = trouble {
        let hint = "what signed before goes on signing; it is tried again each second";
        told.push(finding(Severity::Problem, &what, format!("the next step fails: {trouble}"), hint));
    }
    let age = rotation.since.map_or(0, |since| now.micros_since(since));
    let is_waiting = matches!(rotation.phase, RotationPhase::Published | RotationPhase::Acknowledged);
    if *held {
        let message = format!("it is held since {}", rotation.since.map(|at| moment(at, now)).unwrap_or_default());
        told.push(finding(Severity::Warning, &what, message, format!("let it go on: {command}")));
    } else if is_waiting && age > WAITS_MICROS && !waiting_for.is_empty() {
        let message = format!("it waits since {} for {}", spoken(age / 1_000_000), waiting_for.join("; "));
        let hint = format!("bring them back, or forget them: countersign retire; to take it back: {command} --back");
        told.push(finding(Severity::Warning, &what, message, hint));
    }
    if is_waiting && !given_up.is_empty() {
        let message = format!("not waited for: {}", given_up.join("; "));
        let hint = "who comes back learns the new keys by the old one's signature; retire who does not";
        told.push(finding(Severity::Warning, &what, message, hint));
    }
    told
}

/// A bundle of others that is old, empty or refused.
fn federation(federated: &Federated, now: Timestamp) -> Option<Finding> {
    let subject = format!("federation with {}", federated.trust_domain);
    let told = |severity, message: String, hint: &str| Some(finding(severity, &subject, message, hint));
    if federated.roots == 0 {
        let message = "its bundle is empty: everything of it is revoked".to_owned();
        return told(Severity::Problem, message, "ask its operators; it is fetched again by itself");
    }
    if !federated.problem.is_empty() {
        let age = federated.fetched.map(|at| format!(", last fetched at {}", moment(at, now))).unwrap_or_default();
        let message = format!("its bundle cannot be fetched{age}: {}", federated.problem);
        return told(
            Severity::Warning,
            message,
            "the last good bundle stays in force; `countersign fleet` and its log say more",
        );
    }
    let overdue = federated.next.is_some_and(|next| now.micros_since(next) > WAITS_MICROS);
    if overdue {
        return told(
            Severity::Warning,
            "it was not fetched when it should have been".to_owned(),
            "see the log of control",
        );
    }
    None
}
