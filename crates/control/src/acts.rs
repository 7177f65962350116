//! Administrative acts: who may, and how they get on record.

use core::fmt;

use api::admin::{Failure, FailureCode};
use policy::Act;
use trustdir::Revision;
use types::facts::{Administration, Outcome};
use types::limits::{self, Limit};

use crate::ledger::{Ledger, NotWritten};
use crate::store::{NotDone, StoreError};

/// The operator whose process has our user id. Policies name it `Operator::"local"`.
pub const LOCAL: &str = "local";

/// Whether an operator may act; a refusal is on record before it is told.
///
/// # Errors
/// [`Failure`] when policy refuses, or the refusal cannot be recorded.
pub fn judge(
    ledger: &Ledger,
    revision: &Revision,
    operator: &str,
    act: Act,
    subject: &str,
    why: &str,
) -> Result<(), Failure> {
    let verdict = revision.policies().may(operator, act);
    if verdict.outcome == Outcome::Allow {
        return Ok(());
    }
    let act = act.as_str();
    let facts = Administration {
        act,
        outcome: Outcome::Deny,
        operator,
        subject,
        why,
        note: &verdict.note,
        revision: None,
        until: None,
    };
    ledger.administration(&facts).map_err(|error| not_recorded(&error))?;
    let message = format!("operator `{operator}` may not {act}: {}", verdict.note);
    Err(Failure::new(FailureCode::NotAllowed, message, format!("permit the action `{act}` in admin.cedar")))
}

/// An act that was recorded and then not kept: a second record says so, and the operator is told.
pub fn not_done(ledger: &Ledger, act: &Administration<'_>, failure: NotDone<NotWritten>) -> Failure {
    match failure {
        NotDone::Store(error) => unavailable(&error),
        NotDone::Record(error) => not_recorded(&error),
        NotDone::NotKept(error) => {
            taken_back(ledger, act, &error);
            unavailable(&error)
        }
    }
}

/// Says on record that an act which stands there as accepted did not take effect.
pub fn taken_back(ledger: &Ledger, act: &Administration<'_>, error: &dyn fmt::Display) {
    let note = bounded(&format!("it did not take effect: {error}"), &limits::NOTE_BYTES);
    let facts = Administration { outcome: Outcome::Deny, note: &note, ..act.clone() };
    if let Err(error) = ledger.administration(&facts) {
        tracing::error!(%error, act = act.act, "an act that did not take effect stands in the record as done");
    }
}

/// The store's words for the operator.
pub fn unavailable(error: &StoreError) -> Failure {
    Failure::new(FailureCode::Unavailable, with_causes(error), error.hint())
}

/// What could not be recorded was not done.
pub fn not_recorded(error: &NotWritten) -> Failure {
    let hint = "nothing was changed; make room: raise `max_size` in node.yaml, or move old segments to an archive";
    Failure::new(FailureCode::Unavailable, error.to_string(), hint)
}

/// The operator's own words, within what a record takes.
///
/// # Errors
/// [`Failure`] when they are too long.
pub fn words(text: &str) -> Result<&str, Failure> {
    let most = limits::REASON_BYTES.default_usize();
    if text.len() <= most {
        return Ok(text.trim());
    }
    Err(Failure::new(FailureCode::BadRequest, format!("these words are longer than {most} bytes"), "say it shorter"))
}

/// The beginning of a text, as much as a limit allows.
pub fn bounded(text: &str, limit: &Limit) -> String {
    let most = limit.default_usize();
    if text.len() <= most {
        return text.to_owned();
    }
    let ellipsis = "…";
    let room = most.saturating_sub(ellipsis.len());
    let whole = text.char_indices().take_while(|(at, char)| at.saturating_add(char.len_utf8()) <= room);
    whole.map(|(_, char)| char).chain(ellipsis.chars()).collect()
}

/// An error with what caused it, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// `1 error`, `2 errors`.
pub fn count(number: usize, one: &str, many: &str) -> impl fmt::Display {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_between_characters_and_never_beyond_the_limit() {
        let long = "ä".repeat(400);
        let cut = bounded(&long, &limits::NOTE_BYTES);
        assert!(cut.len() <= 512 && cut.len() > 500 && cut.ends_with('…'), "{}", cut.len());
        assert_eq!(bounded("short", &limits::NOTE_BYTES), "short");
        assert!(words(&long).is_err());
        assert_eq!(words(" why ").unwrap(), "why");
    }
}
