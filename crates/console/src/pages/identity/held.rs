//! Who may have which identity, and in whose hands it is.

use api::admin::{Held, Registered};
use types::{Timestamp, limits};

use crate::rows::Mark;
use crate::show::{When, count, link, number, span};

/// Holders of one workload that are named.
const NAMED: usize = 4; // tidy: more is no line

/// One workload.
pub(crate) struct Line {
    /// The place on the page.
    pub id: String,
    pub mark: Mark,
    pub workload: String,
    pub spiffe_id: String,
    /// The listing of its decisions.
    pub calls: String,
    /// Kind of key, and life.
    pub key: String,
    pub life: String,
    pub rules: Vec<String>,
    pub runs_on: String,
    pub held: Vec<Holder>,
    /// How many holders are not named.
    pub more: String,
}

/// One identity in somebody's hands.
pub(crate) struct Holder {
    pub node: String,
    /// How long it is still good.
    pub left: String,
    pub until: When,
    /// What is not as it should be.
    pub note: String,
}

/// What all of them come to.
pub(crate) struct Sums {
    pub registered: u64,
    pub holding: u64,
    pub failing: u64,
}

/// How a workload's identity is. The order is that of the listing: whoever needs a look comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum State {
    /// Its trust is taken away.
    Revoked,
    /// Somebody holds one and cannot renew it.
    Failing,
    /// Held.
    Held,
    /// Registered, and in nobody's hands.
    Free,
    /// Issued by somebody else.
    Foreign,
}

impl State {
    fn of(registered: &Registered) -> Self {
        match registered {
            one if one.revoked => Self::Revoked,
            one if one.held.iter().any(|held| held.failures > 0) => Self::Failing,
            one if !one.held.is_empty() => Self::Held,
            one if one.rules.is_empty() => Self::Foreign,
            _ => Self::Free,
        }
    }

    const fn mark(self) -> Mark {
        let (shape, word, class) = match self {
            Self::Revoked => ("■", "revoked", "deny"),
            Self::Failing => ("◐", "not renewed", "would"),
            Self::Held => ("●", "held", "allow"),
            Self::Free => ("○", "not held", "unknown"),
            Self::Foreign => ("○", "elsewhere", "unknown"),
        };
        Mark { shape, word, class }
    }
}

/// Where it stands in the listing.
pub(crate) fn order(registered: &Registered) -> (State, Option<Timestamp>, String) {
    let first = registered.held.iter().map(|held| held.not_after).min();
    let state = State::of(registered);
    // of those that need a look, the soonest; of the others, the name
    let first = if state == State::Failing { first } else { None };
    (state, first, registered.workload.clone())
}

/// What all of them come to. A workload whose identity is issued elsewhere is not ours to count.
pub(crate) fn sums(registered: &[Registered]) -> Sums {
    let own = || registered.iter().filter(|one| State::of(one) != State::Foreign);
    let failing = own().flat_map(|one| &one.held).filter(|held| held.failures > 0);
    Sums {
        registered: number(own().count()),
        holding: number(own().filter(|one| !one.held.is_empty()).count()),
        failing: number(failing.count()),
    }
}

/// The line of a workload.
pub(crate) fn line(one: &Registered, now: Timestamp) -> Line {
    let mut held: Vec<&Held> = one.held.iter().collect();
    held.sort_by_key(|held| held.not_after);
    let rest = number(held.len().saturating_sub(NAMED));
    Line {
        id: format!("w-{}", one.workload.replace('/', "-")),
        mark: State::of(one).mark(),
        workload: one.workload.clone(),
        spiffe_id: one.spiffe_id.clone(),
        calls: link("/decisions", &[("caller", &one.workload)]),
        key: if one.rules.is_empty() { String::new() } else { one.key.to_string() },
        life: if one.rules.is_empty() { String::new() } else { span(one.ttl_seconds) },
        rules: rules(one),
        runs_on: runs_on(one),
        held: held.into_iter().take(NAMED).map(|held| holder(held, now)).collect(),
        more: if rest == 0 { String::new() } else { format!("and {}", count(rest, "more", "more")) },
    }
}

fn runs_on(one: &Registered) -> String {
    match (&one.runs_on, one.rules.is_empty()) {
        (_, true) => "–".to_owned(),
        (Some(groups), false) => groups.join(", "),
        (None, false) => "control's own node".to_owned(),
    }
}

fn rules(one: &Registered) -> Vec<String> {
    if one.rules.is_empty() {
        return vec!["issued elsewhere".to_owned()];
    }
    one.rules.iter().take(limits::CHANGES.default_usize()).cloned().collect()
}

fn holder(held: &Held, now: Timestamp) -> Holder {
    let left = held.not_after.micros_since(now) / 1_000_000;
    let failing = (held.failures > 0).then(|| {
        let times = count(u64::from(held.failures), "time", "times");
        format!("not renewed: tried {times}")
    });
    let away = (!held.connected).then(|| "as it said last: it is away".to_owned());
    Holder {
        node: held.node.clone(),
        left: if left == 0 { "has run out".to_owned() } else { span(left) },
        until: When::full(held.not_after),
        note: failing.into_iter().chain(away).collect::<Vec<_>>().join("; "),
    }
}
