//! Refusals of those that come over the wire: some of each second are recorded one by one, the others are counted, so that
//! whoever asks in a loop does not fill the log.

use std::sync::{Mutex, PoisonError};

use types::facts::{Administration, Outcome};
use types::{Timestamp, limits};

use crate::acts::bounded;
use crate::ledger::Ledger;

/// Refusals of the present second: those recorded, and those only counted since.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    second: u64,
    recorded: u64,
    skipped: u64,
}

impl Refusals {
    /// Records a refusal. It stands whether or not it could be recorded.
    pub fn record(&self, ledger: &Ledger, now: Timestamp, act: &str, subject: &str, why: &str) {
        let Some(skipped) = self.admit(now) else { return };
        let more =
            if skipped == 0 { String::new() } else { format!("; {skipped} refusals before it were only counted") };
        let note = bounded(&format!("{why}{more}"), &limits::NOTE_BYTES);
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
    fn admit(&self, now: Timestamp) -> Option<u64> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
