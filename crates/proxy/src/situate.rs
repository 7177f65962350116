//! Step 5, situate: what is held against the caller, and what is known about the moment, the announced size included.

use policy::call::{Refused, Routed, Situated};
use signal::{Cleared, Revocation, State};
use trustdir::{Revision, Service};
use types::Reason;

/// A revoked caller is refused whatever any mode says. A body that announces more than the service takes is refused before
/// it is read. The risk of every caller is the organisation's `risk_unknown`.
///
/// # Errors
/// `signals.revoked`, `limits.body`.
pub fn situate(
    routed: Routed,
    service: &Service,
    revision: &Revision,
    signals: &State,
    length: Option<u64>,
) -> Result<Situated, Refused> {
    let cleared = match clear(&routed, signals) {
        Ok(cleared) => cleared,
        Err(revocation) => {
            let refused = Refused::new(routed, Reason::SignalsRevoked, words(revocation));
            return Err(refused.with_epoch(signals.epoch()));
        }
    };
    match length {
        Some(length) if length > service.limits.body => {
            let note = format!("{length} bytes announced, {} allowed", service.limits.body);
            Err(Refused::new(routed, Reason::LimitsBody, note))
        }
        _ => Ok(routed.situated(cleared, revision.model().risk_unknown)),
    }
}

fn clear<'a>(routed: &Routed, signals: &'a State) -> Result<Cleared, &'a Revocation> {
    match routed.parsed().identified().peer() {
        Some(peer) => signals.clear(peer, routed.accepted().at),
        None => Ok(signals.nobody()),
    }
}

/// For the operator. The record cuts it at `note_bytes`, so the longest comes last.
fn words(revocation: &Revocation) -> String {
    let until = revocation.until.map(|until| format!(" until {until}")).unwrap_or_default();
    let (subject, operator, reason) = (&revocation.subject, &revocation.operator, &revocation.reason);
    format!("{subject} is revoked{until} by {operator}: {reason}")
}
