//! The book of issuance: nothing is handed out that was not written down first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use api::issuance::IssueError;
use thiserror::Error;
use types::facts::{Issuance, Outcome};
use types::{Clock, Timestamp, limits};

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
    /// The node that asks, `""` for the one of this process.
    pub node: &'a str,
}

impl<'a> Asked<'a> {
    /// For something that needs no attestation and has no node.
    pub const fn plain(spiffe_id: &'a str) -> Self {
        Self { spiffe_id, selectors: "", via: "", node: "" }
    }
}

/// What is about to be handed out, as the record names it.
pub(crate) struct Issued<'a> {
    /// The serial number; of a token `sha256:` and its digest.
    pub serial: &'a str,
    pub not_after: Timestamp,
    /// Why it may be had.
    pub why: &'a str,
}

/// What the issuer did since it started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Certificates and tokens that were recorded and handed out.
    pub issued: u64,
    /// Questions that were refused, whether on record each or counted in one.
    pub refused: u64,
    /// Those among the refused that were too many in a short time.
    pub limited: u64,
    /// What was signed and dropped because it could not be recorded.
    pub unrecorded: u64,
}

pub(crate) struct Book {
    recorder: Recorder,
    clock: Arc<dyn Clock>,
    refusals: Mutex<Refusals>,
    issued: AtomicU64,
    refused: AtomicU64,
    limited: AtomicU64,
    unrecorded: AtomicU64,
}

/// Refusals of the present second: those recorded, by node and together, and those only counted since.
#[derive(Default)]
struct Refusals {
    second: u64,
    recorded: HashMap<String, u64>,
    together: u64,
    skipped: u64,
}

impl Book {
    pub fn new(recorder: Recorder, clock: Arc<dyn Clock>) -> Self {
        Self {
            recorder,
            clock,
            refusals: Mutex::default(),
            issued: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            limited: AtomicU64::new(0),
            unrecorded: AtomicU64::new(0),
        }
    }

    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            issued: read(&self.issued),
            refused: read(&self.refused),
            limited: read(&self.limited),
            unrecorded: read(&self.unrecorded),
        }
    }

    /// Writes down what is handed out next.
    ///
    /// # Errors
    /// [`IssueError::Unavailable`] when the recorder fails; then it must be dropped.
    pub fn issue(&self, asked: &Asked<'_>, issued: &Issued<'_>) -> Result<(), IssueError> {
        let fact = Issuance {
            outcome: Outcome::Allow,
            note: &note(issued.why, ""),
            spiffe_id: asked.spiffe_id,
            serial: issued.serial,
            not_after: Some(issued.not_after),
            selectors: asked.selectors,
            via: asked.via,
        };
        match (self.recorder)(fact) {
            Ok(()) => {
                self.issued.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                self.unrecorded.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, spiffe_id = asked.spiffe_id, "nothing was issued");
                Err(IssueError::Unavailable("the issuance cannot be recorded".to_owned()))
            }
        }
    }

    /// Records a refusal and gives it back. A refusal stands whether or not it could be recorded.
    pub fn refuse(&self, asked: &Asked<'_>, error: IssueError) -> IssueError {
        self.refused.fetch_add(1, Ordering::Relaxed);
        if matches!(error, IssueError::Limited(_)) {
            self.limited.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(skipped) = self.admit(asked.node) {
            let place = if asked.node.is_empty() { String::new() } else { format!(" (on node:agent/{})", asked.node) };
            let more =
                if skipped == 0 { String::new() } else { format!("; {skipped} refusals before it were only counted") };
            let fact = Issuance {
                outcome: Outcome::Deny,
                note: &note(&error.to_string(), &format!("{place}{more}")),
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
    fn admit(&self, node: &str) -> Option<u64> {
        let second = self.clock.now().seconds();
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.second != second {
            *refusals = Refusals { second, skipped: refusals.skipped, ..Refusals::default() };
        }
        let of_node = refusals.recorded.get(node).copied().unwrap_or_default();
        // INVARIANT: the map holds nodes with a record of this second, and `together` bounds those
        if of_node >= limits::ISSUANCE_REFUSALS.default
            || refusals.together >= limits::ISSUANCE_REFUSALS_TOGETHER.default
        {
            refusals.skipped = refusals.skipped.saturating_add(1);
            return None;
        }
        refusals.recorded.insert(node.to_owned(), of_node + 1);
        refusals.together += 1;
        Some(core::mem::take(&mut refusals.skipped))
    }
}

/// As much of a text as a record takes, with the whole of what comes after it.
fn note(text: &str, after: &str) -> String {
    let room = limits::NOTE_BYTES.default_usize().saturating_sub(after.len());
    let text = text.get(..text.floor_char_boundary(room)).unwrap_or_default();
    format!("{text}{after}")
}
