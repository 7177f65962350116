//! The keys of every domain, and how far the rotation of one has come.

use api::admin::{Keys, Rotation, RotationPhase};
use types::{Timestamp, limits};

use crate::rows::Mark;
use crate::show::{When, link, span};

/// Digits of a key that are shown: enough to tell two apart.
const DIGITS: usize = 16;

/// One key of a domain.
pub(crate) struct KeyLine {
    pub domain: String,
    pub keys: &'static str,
    pub mark: Mark,
    pub current: String,
    /// The whole of it.
    pub whole: String,
    pub kind: String,
    pub ends: Option<When>,
    /// How long until then.
    pub left: String,
    /// The form, filled in.
    pub rotate: String,
}

/// A rotation that is under way.
pub(crate) struct Progress {
    pub title: String,
    pub mark: Mark,
    pub since: Option<When>,
    /// From which key to which.
    pub from: String,
    pub to: String,
    pub steps: Vec<Step>,
    pub waiting_for: Vec<String>,
    pub given_up: Vec<String>,
    pub held: bool,
    pub retires: Option<When>,
    /// How long until then.
    pub left: String,
}

/// One step of a rotation.
pub(crate) struct Step {
    pub shape: &'static str,
    pub word: &'static str,
    /// `allow` for done, `here`, `unknown` for later.
    pub class: &'static str,
    /// For those who see no shapes.
    pub said: &'static str,
}

/// The steps in their order, and what has happened once one is reached.
const STEPS: &[(RotationPhase, &str)] = &[
    (RotationPhase::Prepared, "prepared"),
    (RotationPhase::Published, "published"),
    (RotationPhase::Acknowledged, "acknowledged"),
    (RotationPhase::Signing, "signing"),
    (RotationPhase::Idle, "retired"),
];

/// `the root of finance`.
fn name(rotation: &Rotation) -> String {
    format!("the {} of {}", keys(rotation.keys), rotation.domain)
}

const fn keys(keys: Keys) -> &'static str {
    match keys {
        Keys::X509 => "root",
        Keys::Jwt => "JWT key",
    }
}

const fn address(keys: Keys) -> &'static str {
    match keys {
        Keys::X509 => "x509",
        Keys::Jwt => "jwt",
    }
}

/// `; the root of finance rotates`.
pub(crate) fn clause(moving: &[&Rotation]) -> String {
    match moving {
        [] => String::new(),
        [one] if one.held => format!("; the rotation of {} was taken back and waits for you", name(one)),
        [one] => format!("; {} rotates", name(one)),
        many => format!("; {} keys rotate", many.len()),
    }
}

/// The line of a key.
pub(crate) fn key_line(rotation: &Rotation, now: Timestamp) -> KeyLine {
    let left = rotation.not_after.map(|end| span(end.micros_since(now) / 1_000_000)).unwrap_or_default();
    KeyLine {
        domain: rotation.domain.clone(),
        keys: keys(rotation.keys),
        mark: mark(rotation),
        current: digits(&rotation.current),
        whole: rotation.current.clone(),
        kind: rotation.key.to_string(),
        ends: rotation.not_after.map(When::full),
        left,
        rotate: link("/identity", &[("domain", &rotation.domain), ("keys", address(rotation.keys))]) + "#rotate-title",
    }
}

fn mark(rotation: &Rotation) -> Mark {
    let (shape, word, class) = match rotation.phase {
        RotationPhase::Idle => ("●", "at rest", "allow"),
        _ if rotation.held => ("○", "taken back", "unknown"),
        RotationPhase::Prepared => ("◐", "prepared", "would"),
        RotationPhase::Published => ("◐", "published", "would"),
        RotationPhase::Acknowledged => ("◐", "acknowledged", "would"),
        RotationPhase::Signing => ("◐", "signing", "would"),
    };
    Mark { shape, word, class }
}

fn digits(text: &str) -> String {
    text.chars().take(DIGITS).collect()
}

/// How far it has come. While the new key signs, the old one is the other.
pub(crate) fn progress(rotation: &Rotation, now: Timestamp) -> Progress {
    let most = limits::CHANGES.default_usize();
    let (from, to) = match rotation.phase {
        RotationPhase::Signing => (&rotation.other, &rotation.current),
        _ => (&rotation.current, &rotation.other),
    };
    let title = name(rotation);
    Progress {
        title: title.strip_prefix("the ").map(|rest| format!("The {rest}")).unwrap_or_default(),
        mark: mark(rotation),
        since: rotation.since.map(When::full),
        from: digits(from),
        to: digits(to),
        steps: steps(rotation.phase),
        waiting_for: rotation.waiting_for.iter().take(most).cloned().collect(),
        given_up: rotation.given_up.iter().take(most).cloned().collect(),
        held: rotation.held,
        retires: rotation.retires_at.map(When::full),
        left: rotation.retires_at.map(|at| span(at.micros_since(now) / 1_000_000)).unwrap_or_default(),
    }
}

fn steps(phase: RotationPhase) -> Vec<Step> {
    let here = STEPS.iter().position(|(step, _)| *step == phase).unwrap_or_default();
    let step = |(place, (_, word)): (usize, &(RotationPhase, &'static str))| {
        let (shape, class, said) = match place.cmp(&here) {
            std::cmp::Ordering::Less => ("✓", "allow", "done"),
            std::cmp::Ordering::Equal => ("●", "here", "now"),
            std::cmp::Ordering::Greater => ("○", "unknown", "to come"),
        };
        Step { shape, word, class, said }
    };
    STEPS.iter().enumerate().map(step).collect()
}
