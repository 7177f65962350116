//! The book of issuance: nothing is handed out that was not written down first.

use std::sync::{Arc, Mutex, PoisonError};

use api::issuance::{IssueError, Svid};
use thiserror::Error;
use types::facts::{Issuance, Outcome};
use types::{Clock, limits};

/// Takes the fact of every issuance and refusal. An issuance that it does not accept does not happen.
pub type Recorder = Arc<dyn Fn(Issuance<'_>) -> Result<(), NotRecorded> + Send + Sync>;

/// The recorder could not write.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("not recorded: {0}")]
pub struct NotRecorded(pub String);

/// What was asked for, as the record names it.
pub(crate) struct Asked<'a> {
    /// `""` where none was found.
    pub spiffe_id: &'a str,
    /// What was attested, `""` for what needs no attestation.
    pub selectors: &'a str,
    /// The operator who asked to impersonate, else `""`.
    pub via: &'a str,
}

pub(crate) struct Book {
    recorder: Recorder,
    clock: Arc<dyn Clock>,
    refusals: Mutex<Refusals>,
}

/// Refusals of the present second: those recorded, and those only counted since.
#[derive(Default)]
struct Refusals {
    second: u64,
    recorded: u64,
    skipped: u64,
}

impl Book {
    pub fn new(recorder: Recorder, clock: Arc<dyn Clock>) -> Self {
        Self { recorder, clock, refusals: Mutex::default() }
    }

    /// Hands out what was recorded.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`] when the recorder fails; then the certificate is dropped.
    pub fn issue(&self, asked: &Asked<'_>, svid: Svid) -> Result<Svid, IssueError> {
        let fact = Issuance {
            outcome: Outcome::Allow,
            note: "",
            spiffe_id: asked.spiffe_id,
            serial: &svid.serial,
            not_after: Some(svid.not_after),
            selectors: asked.selectors,
            via: asked.via,
        };
        match (self.recorder)(fact) {
            Ok(()) => Ok(svid),
            Err(error) => {
                tracing::error!(%error, spiffe_id = asked.spiffe_id, "nothing was issued");
                Err(IssueError::Unavailable("the issuance cannot be recorded".to_owned()))
            }
        }
    }

    /// Records a refusal and gives it back. A refusal stands whether or not it could be recorded.
    pub fn refuse(&self, asked: &Asked<'_>, error: IssueError) -> IssueError {
        if let Some(skipped) = self.admit() {
            let more =
                if skipped == 0 { String::new() } else { format!("; {skipped} refusals before it were only counted") };
            let note: String = format!("{error}{more}").chars().take(limits::NOTE_BYTES.default_usize() / 4).collect();
            let fact = Issuance {
                outcome: Outcome::Deny,
                note: &note,
                spiffe_id: asked.spiffe_id,
                serial: "",
                not_after: None,
                selectors: asked.selectors,
                via: asked.via,
            };
            if let Err(error) = (self.recorder)(fact) {
                tracing::error!(%error, "a refused issuance is not on record");
            }
        }
        error
    }

    /// Whether this refusal gets a record of its own, with the number of those that did not.
    fn admit(&self) -> Option<u64> {
        let second = self.clock.now().seconds();
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.second != second {
            refusals.second = second;
            refusals.recorded = 0;
        }
        if refusals.recorded >= limits::ISSUANCE_REFUSALS.default {
            refusals.skipped = refusals.skipped.saturating_add(1);
            return None;
        }
        refusals.recorded += 1;
        Some(core::mem::take(&mut refusals.skipped))
    }
}
