//! A call that is refused, wherever it was on its way, and what every state writes into the record.

use std::sync::Arc;

use types::facts::{self, Decision, Facts, Outcome, Peer};
use types::{Host, PolicyId, Reason, Recordable, RevisionId, SpiffeId, limits};

use super::{Accepted, Identified, Parsed, Routed, Situated};
use crate::model::Service;
use crate::modes::Noted;

/// How far a refused call got.
#[derive(Clone, Debug)]
pub enum Reached {
    /// To the door.
    Accepted(Accepted),
    /// To a proven caller, or to nobody.
    Identified(Identified),
    /// To one canonical form.
    Parsed(Parsed),
    /// To a service and route.
    Routed(Routed),
    /// To the judge.
    Situated(Situated),
}

macro_rules! reached_from {
    ($($state:ident)*) => { $(
        impl From<$state> for Reached {
            fn from(state: $state) -> Self {
                Self::$state(state)
            }
        }
    )* };
}
reached_from!(Accepted Identified Parsed Routed Situated);

impl Reached {
    /// The state at the door, which every call has.
    pub const fn accepted(&self) -> &Accepted {
        match self {
            Self::Accepted(accepted) => accepted,
            Self::Identified(identified) => &identified.accepted,
            Self::Parsed(parsed) => parsed.accepted(),
            Self::Routed(routed) => routed.accepted(),
            Self::Situated(situated) => situated.accepted(),
        }
    }

    /// What was noted on the way.
    fn noted(&self) -> Option<&Noted> {
        match self {
            Self::Accepted(_) | Self::Identified(_) | Self::Parsed(_) => None,
            Self::Routed(routed) => routed.unlisted(),
            Self::Situated(situated) => situated.routed.unlisted(),
        }
    }
}

/// A refused call with its reason: what is recorded and answered. One pointer in size.
#[derive(Clone, Debug)]
pub struct Refused(Box<Refusal>);

#[derive(Clone, Debug)]
struct Refusal {
    reached: Reached,
    reason: Reason,
    note: String,
    determining: Vec<PolicyId>,
    noted: Vec<Noted>,
    claimed: Option<SpiffeId>,
    revision: Option<RevisionId>,
    service: Option<Arc<Service>>,
    epoch: Option<u64>,
}

impl Refused {
    /// A refusal. The note is for the operator, without secrets or personal data, and is cut at `note_bytes`.
    pub fn new(reached: impl Into<Reached>, reason: Reason, note: impl Into<String>) -> Self {
        let mut note = note.into();
        note.truncate(note.floor_char_boundary(limits::NOTE_BYTES.default_usize()));
        let reached = reached.into();
        let noted = reached.noted().cloned().into_iter().collect();
        let determining = Vec::new();
        Self(Box::new(Refusal {
            reached,
            reason,
            note,
            determining,
            noted,
            claimed: None,
            revision: None,
            service: None,
            epoch: None,
        }))
    }

    /// Adds the SPIFFE ID that a refused certificate claimed.
    #[must_use]
    pub fn with_claimed(mut self, claimed: SpiffeId) -> Self {
        self.0.claimed = Some(claimed);
        self
    }

    /// Adds the revision in which nothing was found for a call that was not routed.
    #[must_use]
    pub fn with_revision(mut self, revision: RevisionId) -> Self {
        self.0.revision = Some(revision);
        self
    }

    /// Adds the service that the host and path lead to, for a call that none of its routes takes.
    #[must_use]
    pub fn with_service(mut self, service: Arc<Service>) -> Self {
        self.0.service = Some(service);
        self
    }

    /// Adds the epoch of the signals that hold something against the caller.
    #[must_use]
    pub fn with_epoch(mut self, epoch: u64) -> Self {
        self.0.epoch = Some(epoch);
        self
    }

    pub(crate) fn judged(mut self, determining: Vec<PolicyId>, noted: Vec<Noted>) -> Self {
        self.0.determining = determining;
        self.0.noted = noted;
        self
    }

    /// How far the call got.
    pub const fn reached(&self) -> &Reached {
        &self.0.reached
    }

    /// Why it was refused.
    pub const fn reason(&self) -> Reason {
        self.0.reason
    }

    /// What the operator should know beyond the reason.
    pub fn note(&self) -> &str {
        &self.0.note
    }

    /// The policies that decided; empty where no policy was asked or none permits.
    pub fn determining(&self) -> &[PolicyId] {
        &self.0.determining
    }

    /// The refusals of relaxed checks beside the one that counts, in the order of the request's life.
    pub fn noted(&self) -> &[Noted] {
        &self.0.noted
    }
}

impl Recordable for Refused {
    fn facts(&self) -> Facts<'_> {
        let refusal = &*self.0;
        let mut decision = match &refusal.reached {
            Reached::Accepted(accepted) => facts_of_accepted(accepted, Outcome::Deny),
            Reached::Identified(identified) => facts_of_identified(identified, Outcome::Deny),
            Reached::Parsed(parsed) => facts_of_parsed(parsed, Outcome::Deny),
            Reached::Routed(routed) => facts_of_routed(routed, Outcome::Deny),
            Reached::Situated(situated) => facts_of_situated(situated, Outcome::Deny),
        };
        decision.reason = refusal.reason.code();
        decision.note = &refusal.note;
        decision.revision = decision.revision.or(refusal.revision);
        decision.determining = refusal.determining.iter().map(PolicyId::as_str).collect();
        decision.noted = refusal.noted.iter().map(Noted::fact).collect();
        if let Some(service) = &refusal.service {
            decision.service = service.name();
        }
        decision.epoch = decision.epoch.or(refusal.epoch);
        if let (facts::Caller::Unidentified { claimed }, Some(id)) = (&mut decision.caller, &refusal.claimed) {
            *claimed = id.as_str();
        }
        Facts::Decision(decision)
    }
}

fn facts_of_accepted(accepted: &Accepted, outcome: Outcome) -> Decision<'_> {
    Decision {
        id: accepted.id,
        outcome,
        reason: "",
        note: "",
        listener: &accepted.listener,
        revision: None,
        source: Some(accepted.source),
        protocol: accepted.protocol,
        caller: facts::Caller::Unidentified { claimed: "" },
        host: accepted.server_name.as_ref().map_or("", Host::as_str),
        service: "",
        method: "",
        template: "",
        risk: None,
        determining: Vec::new(),
        noted: Vec::new(),
        epoch: None,
    }
}

fn facts_of_identified(identified: &Identified, outcome: Outcome) -> Decision<'_> {
    let accepted = facts_of_accepted(&identified.accepted, outcome);
    let Some(peer) = identified.peer() else { return accepted };
    let caller = facts::Caller::Verified(Peer {
        spiffe_id: peer.spiffe_id().as_str(),
        serial: peer.serial(),
        sha256: *peer.sha256(),
        not_before: peer.not_before(),
        not_after: peer.not_after(),
        via: peer.via().unwrap_or_default(),
    });
    Decision { caller, ..accepted }
}

fn facts_of_parsed(parsed: &Parsed, outcome: Outcome) -> Decision<'_> {
    let method = parsed.request.method().as_str();
    Decision { method, host: parsed.request.host().as_str(), ..facts_of_identified(&parsed.identified, outcome) }
}

fn facts_of_routed(routed: &Routed, outcome: Outcome) -> Decision<'_> {
    Decision {
        revision: Some(routed.revision),
        service: routed.service.name(),
        template: routed.route.id.call().map_or("*", |(_, template)| template.as_str()),
        ..facts_of_parsed(&routed.parsed, outcome)
    }
}

/// The facts of a call that came to be judged.
pub(crate) fn facts_of_situated(situated: &Situated, outcome: Outcome) -> Decision<'_> {
    Decision { risk: Some(situated.risk), epoch: Some(situated.epoch), ..facts_of_routed(&situated.routed, outcome) }
}
