//! Step 5, situate: what is held against the caller, how old all that is, and what is known about the moment, the announced
//! size included.

use policy::call::{Refused, Routed, Situated};
use runtime::freshness::Freshness;
use signal::{Cleared, Revocation, State};
use trustdir::{Revision, Service};
use types::Reason;

use crate::stale;

/// What a call is held against.
pub struct Facts<'a> {
    /// The rules of the moment.
    pub revision: &'a Revision,
    /// What is held against whom.
    pub signals: &'a State,
    /// How old both are.
    pub freshness: &'a Freshness,
}

/// A revoked caller is refused whatever any mode says, and everybody where rules or signals are older than the domain lets
/// them be. A body that announces more than the service takes is refused before it is read. The risk of every caller is the
/// organisation's `risk_unknown`.
///
/// # Errors
/// `signals.revoked`, `route.stale-revision`, `signals.stale`, `limits.body`.
pub fn situate(routed: Routed, service: &Service, facts: &Facts<'_>, length: Option<u64>) -> Result<Situated, Refused> {
    let &Facts { revision, signals, freshness } = facts;
    let cleared = match clear(&routed, signals) {
        Ok(cleared) => cleared,
        Err(revocation) => {
            let refused = Refused::new(routed, Reason::SignalsRevoked, words(revocation));
            return Err(refused.with_epoch(signals.epoch()));
        }
    };
    let domain = revision.domains().get(service.model.id.domain());
    if let Err((reason, note)) = stale::check(domain, freshness, routed.accepted().at) {
        return Err(Refused::new(routed, reason, note).with_epoch(signals.epoch()));
    }
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
