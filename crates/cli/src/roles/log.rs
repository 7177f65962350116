//! The decision log of a process, as it is opened at a start.

use std::path::Path;
use std::sync::Arc;

use control::Ledger;
use record::{Log, LogConfig, Recovery};
use types::facts::Lifecycle;
use types::{Clock, Label, RevisionId, limits};

use crate::exit::Failed;
use crate::term::{causes, count};

/// An open log, and the lane in which this process writes what it did itself.
pub struct Opened {
    /// The log.
    pub log: Arc<Log>,
    /// Its lane for starts, stops and administrative acts.
    pub ledger: Arc<Ledger>,
    /// What was found when it was opened.
    pub findings: Vec<String>,
}

impl Opened {
    /// Opens the log below a data directory. `lane` names the lane of what is not a call, `workers` how many lanes there
    /// will be for calls.
    ///
    /// # Errors
    /// What keeps it from being written.
    pub fn new(
        data: &Path,
        node: &Label,
        lane: &str,
        max_bytes: u64,
        workers: usize,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Failed> {
        let segment_bytes = segment_bytes(max_bytes, workers);
        let config = LogConfig { max_bytes, segment_bytes, ..LogConfig::new(data.join("log"), node.clone()) };
        let log = Log::open(config, Arc::clone(clock)).map_err(|error| failed(&error))?;
        let findings = findings(log.recovery());
        let ledger = Ledger::new(log.lane(lane).map_err(|error| failed(&error))?);
        Ok(Self { log: Arc::new(log), ledger: Arc::new(ledger), findings })
    }

    /// That it starts, and with which revision: what an act that was cut short by a crash came to, the record says here.
    ///
    /// # Errors
    /// When the log is full.
    pub fn started(&self, revision: RevisionId) -> Result<(), Failed> {
        self.ledger.lifecycle(&lifecycle("started", revision)).map_err(|error| {
            Failed::new(error.to_string())
                .hint("make room: raise `max_size` in node.yaml, or move old segments to an archive")
        })
    }

    /// That it stops in order.
    pub fn stopped(&self, revision: RevisionId) {
        if let Err(error) = self.ledger.lifecycle(&lifecycle("stopped", revision)) {
            tracing::warn!(%error, "the stop is not on record");
        }
    }
}

const fn lifecycle(event: &'static str, revision: RevisionId) -> Lifecycle<'static> {
    Lifecycle { event, version: env!("CARGO_PKG_VERSION"), revision: Some(revision) }
}

/// Each worker and the process itself have a lane of their own, and each lane has one segment in use and one prepared. All
/// of them take half of the log at most, also where there are many workers and the log is small.
fn segment_bytes(log_bytes: u64, workers: usize) -> u64 {
    const UNIT: u64 = 64 * 1024;
    let lanes = u64::try_from(workers).unwrap_or(u64::MAX).saturating_add(1);
    let share = log_bytes.checked_div(lanes.saturating_mul(4)).unwrap_or(UNIT);
    (share / UNIT * UNIT).clamp(UNIT, limits::SEGMENT_BYTES.default)
}

fn failed(error: &record::OpenError) -> Failed {
    Failed::new(causes(error)).hint(error.hint())
}

/// What recovery found, in words; nothing after a clean stop.
fn findings(recovery: &Recovery) -> Vec<String> {
    let torn = recovery.torn_tails().count();
    let mut found = Vec::new();
    if torn > 0 {
        let lanes = count(torn, "record was", "records were");
        found.push(format!("{lanes} half written when an earlier process died; nothing was answered on their account"));
    }
    let other = recovery.damage.iter().filter(|damage| !matches!(damage.what, record::DamageKind::TornTail { .. }));
    found.extend(other.map(ToString::to_string));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lanes_fit_twice_into_the_log() {
        let mebi = 1024 * 1024;
        assert_eq!(segment_bytes(4096 * mebi, 2), limits::SEGMENT_BYTES.default);
        for (log, workers) in [(64 * mebi, 2), (64 * mebi, 16), (1024 * mebi, 128), (64 * mebi, 3)] {
            let lanes = u64::try_from(workers).unwrap() + 1;
            let segment = segment_bytes(log, workers);
            assert!(segment * lanes * 4 <= log && segment >= 64 * 1024, "{log} {workers}: {segment}");
        }
        assert_eq!(segment_bytes(64 * mebi, 100_000), 64 * 1024);
    }
}
