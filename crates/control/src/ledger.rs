//! The lane of the decision log that issuance, administration and the process's own life are written to. It is off the
//! request path, so a lock around it costs nobody anything.

use std::sync::{Mutex, PoisonError};

use record::Lane;
use thiserror::Error;
use types::Recordable;
use types::facts::{Administration, Facts, Issuance, Lifecycle};

/// Writes what is no request.
pub struct Ledger {
    lane: Mutex<Lane>,
}

/// The log did not take it.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("the decision log does not take the record: {0}")]
pub struct NotWritten(String);

struct Line<'a>(Facts<'a>);

impl Recordable for Line<'_> {
    fn facts(&self) -> Facts<'_> {
        self.0.clone()
    }
}

impl Ledger {
    /// Takes the lane over.
    pub const fn new(lane: Lane) -> Self {
        Self { lane: Mutex::new(lane) }
    }

    /// Writes an issuance or its refusal.
    ///
    /// # Errors
    /// When the log is full or failing; then nothing may be issued.
    pub fn issuance(&self, facts: &Issuance<'_>) -> Result<(), NotWritten> {
        self.write(Line(Facts::Issuance(facts.clone())))
    }

    /// Writes that the process started, stopped or loaded a revision.
    ///
    /// # Errors
    /// When the log is full or failing.
    pub fn lifecycle(&self, facts: &Lifecycle<'_>) -> Result<(), NotWritten> {
        self.write(Line(Facts::Lifecycle(facts.clone())))
    }

    /// Writes what an operator did, or was refused.
    ///
    /// # Errors
    /// When the log is full or failing; then nothing may be done.
    pub fn administration(&self, facts: &Administration<'_>) -> Result<(), NotWritten> {
        self.write(Line(Facts::Administration(facts.clone())))
    }

    /// A writer that panicked left no half record behind: a record counts only when it is whole. So a poisoned lock is
    /// as good as any.
    fn write(&self, line: Line<'_>) -> Result<(), NotWritten> {
        let mut lane = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        lane.append(line).map(drop).map_err(|not| NotWritten(not.why().to_string()))
    }
}
