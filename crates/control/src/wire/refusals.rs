//! Refusals of those that come over the wire: some of each second are recorded one by one, the others are counted, so that
//! whoever asks in a loop does not fill the log.

use std::sync::{Mutex, PoisonError};

use types::facts::{Administration, Outcome};
use types::{Timestamp, limits};

use crate::acts::bounded;
use crate::ledger::Ledger;

/// Refusals of the present second: those recorded, and those only counted since. Strangers have a share of their own, so
/// that nobody without an identity hides what one with an identity tries.
#[derive(Default)]
pub(crate) struct Refusals {
    strangers: Mutex<Counted>,
    named: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    second: u64,
    recorded: u64,
    skipped: u64,
}

impl Refusals {
    /// Records a refusal and logs it. It stands whether or not it could be recorded. `subject` is empty for a stranger.
    pub fn record(&self, ledger: &Ledger, now: Timestamp, act: &str, subject: &str, why: &str) {
        let Some(skipped) = self.admit(now, subject) else { return };
        let more =
            if skipped == 0 { String::new() } else { format!("; {skipped} refusals before it were only counted") };
        let note = bounded(&format!("{why}{more}"), &limits::NOTE_BYTES);
        tracing::warn!(act, subject, why = note, "somebody was refused on the wire");
        let facts = Administration {
            act,
            outcome: Outcome::Deny,
            operator: subject,
            subject,
            why: "",
            note: &note,
            revision: None,
            until: None,
        };
        if let Err(error) = ledger.administration(&facts) {
            tracing::error!(%error, act, subject, why, "a refusal on the wire is not on record");
        }
    }

    /// Whether this one gets a record of its own, with the number of those that did not.
    fn admit(&self, now: Timestamp, subject: &str) -> Option<u64> {
        let share = if subject.is_empty() { &self.strangers } else { &self.named };
        let mut counted = share.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.second != now.seconds() {
            counted.second = now.seconds();
            counted.recorded = 0;
        }
        if counted.recorded >= limits::ISSUANCE_REFUSALS.default {
            counted.skipped = counted.skipped.saturating_add(1);
            return None;
        }
        counted.recorded = counted.recorded.saturating_add(1);
        Some(std::mem::take(&mut counted.skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_do_not_hide_what_a_peer_tries() {
        let (refusals, now) = (Refusals::default(), Timestamp::from_seconds(100));
        let admitted = (0..100).filter(|_| refusals.admit(now, "").is_some()).count();
        assert_eq!(admitted, limits::ISSUANCE_REFUSALS.default_usize());
        assert_eq!(refusals.admit(now, "proxy/edge"), Some(0));
        let later = Timestamp::from_seconds(101);
        assert_eq!(refusals.admit(later, ""), Some(100 - limits::ISSUANCE_REFUSALS.default), "the others were counted");
    }
}
