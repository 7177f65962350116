//! Why a token or a key set is refused.

use thiserror::Error;

/// The rule that is broken, and how, in words for the operator.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{detail} ({rule})")]
pub struct Refusal {
    /// The requirement, such as `JW-8` (see the table of standards in the documentation).
    pub rule: &'static str,
    /// What exactly is wrong. May quote what was presented, shortened; never a whole token.
    pub detail: String,
}

impl Refusal {
    pub(crate) fn new(rule: &'static str, detail: impl Into<String>) -> Self {
        Self { rule, detail: detail.into() }
    }
}

/// As much of a text from outside as a message may quote, without control characters.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
