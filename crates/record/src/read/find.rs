//! One decision and its completion.

use std::path::Path;

use types::{DecisionId, Timestamp, facts::Facts};

use super::{Cursor, Item, OwnedRecord};
use crate::ReadError;

/// A decision as the log holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The decision.
    pub decision: OwnedRecord,
    /// How the request ended; absent for a denial, and where it has not ended.
    pub completion: Option<OwnedRecord>,
}

/// Enforcers' clocks may have been set back between the making of an id and its record.
const SLACK_MICROS: u64 = 60_000_000;

/// Finds a decision and its completion. Ids carry their time, so that earlier segments need not be read; where that
/// finds nothing, everything is.
///
/// # Errors
/// When the log cannot be read.
pub fn find(dir: &Path, id: DecisionId) -> Result<Option<Found>, ReadError> {
    let likely = Timestamp::from_micros(unix_micros(id).saturating_sub(SLACK_MICROS));
    match find_since(dir, id, likely)? {
        Some(found) => Ok(Some(found)),
        None => find_since(dir, id, Timestamp::default()),
    }
}

fn find_since(dir: &Path, id: DecisionId, since: Timestamp) -> Result<Option<Found>, ReadError> {
    let mut decision = None;
    for item in Cursor::open_since(dir, since)? {
        let Item::Record(record) = item? else { continue };
        match record.view().facts {
            Facts::Decision(facts) if facts.id == id => {
                let denied = facts.outcome == types::facts::Outcome::Deny;
                if denied {
                    return Ok(Some(Found { decision: record, completion: None }));
                }
                decision = Some(record);
            }
            Facts::Completion(facts) if facts.id == id => {
                if let Some(decision) = decision {
                    return Ok(Some(Found { decision, completion: Some(record) }));
                }
            }
            _ => {}
        }
    }
    Ok(decision.map(|decision| Found { decision, completion: None }))
}

/// The time of a UUIDv7, in microseconds since the epoch (RFC 9562 5.7).
fn unix_micros(id: DecisionId) -> u64 {
    let [a, b, c, d, e, f, ..] = *id.bytes();
    u64::from_be_bytes([0, 0, a, b, c, d, e, f]).saturating_mul(1000)
}
