//! Trust domains of somebody else, and how fetching their bundles goes.

use api::admin::Federated;
use types::Timestamp;

use crate::rows::Mark;
use crate::show::{When, count, grouped, span};

/// One trust domain.
pub(crate) struct Foreign {
    pub mark: Mark,
    pub trust_domain: String,
    pub url: String,
    pub profile: String,
    pub roots: String,
    pub sequence: String,
    pub fetched: Option<When>,
    /// How long ago.
    pub ago: String,
    pub next: Option<When>,
    pub problem: String,
}

/// The line of one.
pub(crate) fn line(one: &Federated, now: Timestamp) -> Foreign {
    Foreign {
        mark: mark(one),
        trust_domain: one.trust_domain.clone(),
        url: one.url.clone(),
        profile: one.profile.clone(),
        roots: if one.roots == 0 { "none: all is revoked".to_owned() } else { count(one.roots, "root", "roots") },
        sequence: one.sequence.map(|number| format!("sequence {}", grouped(number))).unwrap_or_default(),
        fetched: one.fetched.map(When::full),
        ago: one.fetched.map(|at| format!("{} ago", span(now.micros_since(at) / 1_000_000))).unwrap_or_default(),
        next: one.next.map(When::minute),
        problem: one.problem.clone(),
    }
}

const fn mark(one: &Federated) -> Mark {
    let (shape, word, class) = match (one.roots, one.problem.is_empty(), one.fetched.is_some()) {
        (0, _, _) => ("■", "revoked", "deny"),
        (_, false, _) => ("◐", "not fetched", "would"),
        (_, true, false) => ("○", "first bundle", "unknown"),
        (_, true, true) => ("●", "trusted", "allow"),
    };
    Mark { shape, word, class }
}
