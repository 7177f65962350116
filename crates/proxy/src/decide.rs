//! The line of steps from an accepted request to a recorded permit.

use std::sync::Arc;

use policy::{Permit, call::Refused};
use record::Recorded;
use trustdir::Service;
use types::Reason;

use crate::{
    accept::Connection,
    identify::identify,
    parse::{Head, parse},
    route::route,
    situate::{Facts, situate},
    worker::Worker,
};

/// Why there is no recorded permit.
pub enum Denied {
    /// A step refused; not yet recorded.
    Refused(Refused),
    /// The record failed; there is nothing to record it with.
    Unrecorded(Reason, types::DecisionId),
}

impl From<Refused> for Denied {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Everything that happens before a byte is forwarded.
///
/// # Errors
/// The first refusal. INVARIANT: the only way to `Ok` leads through `Policies::judge` and the decision log.
pub fn decide(
    worker: &Worker,
    connection: &Connection,
    head: &Head,
) -> Result<(Recorded<Permit>, Arc<Service>), Denied> {
    let shared = worker.shared();
    let (revision, signals) = (shared.revision.load(), shared.signals.load());
    let facts = Facts { revision: &revision, signals: &signals, freshness: &shared.freshness };
    let accepted = connection.accepted(worker);
    let id = accepted.id;
    let identified = identify(accepted, connection, &shared.trusted)?;
    let parsed = parse(identified, head)?;
    let (routed, service) = route(parsed, connection, &revision)?;
    let situated = situate(routed, &service, &facts, head.length)?;
    let permit = revision.policies().judge(situated)?;
    let recorded = worker.record_permit(permit).map_err(|reason| Denied::Unrecorded(reason, id))?;
    Ok((recorded, service))
}
