//! The states of a request: one type per step that it has passed, each made from the one before (DESIGN section 5).
//!
//! A step takes the state by value. What it needs and cannot derive from the state before is passed in; what it
//! establishes is private, so that no later code holds a workload that the verified peer is not.

use std::net::IpAddr;
use std::sync::Arc;

use identity::VerifiedPeer;
use types::facts::{Caller, Decision, Facts, Outcome, Peer, Protocol};
use types::{
    CanonicalRequest, DecisionId, Host, PolicyId, Reason, Recordable, RevisionId, SpiffeId, Timestamp, WorkloadId,
    limits,
};

use crate::model::{Model, Route, Service};

/// A request, or a connection on which none came to be, that a listener took. It proves nothing yet.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The id that the answer will carry.
    pub id: DecisionId,
    /// When the request was taken: the moment for which it is judged.
    pub at: Timestamp,
    /// The listener's name.
    pub listener: Arc<str>,
    /// The peer's network address.
    pub source: IpAddr,
    /// The host that the TLS handshake asked for; absent where it asked for none.
    pub server_name: Option<Host>,
    /// How it came in; [`Protocol::Tls`] where no request was read.
    pub protocol: Protocol,
}

/// A request whose caller is proven.
#[derive(Clone, Debug)]
pub struct Identified {
    accepted: Accepted,
    peer: VerifiedPeer,
}

/// A request that means one thing.
#[derive(Clone, Debug)]
pub struct Parsed {
    identified: Identified,
    request: CanonicalRequest,
}

/// A request with its caller, service and route found in one revision.
#[derive(Clone, Debug)]
pub struct Routed {
    parsed: Parsed,
    revision: RevisionId,
    workload: WorkloadId,
    service: Arc<Service>,
    route: Arc<Route>,
}

/// A request with everything known that policies may ask for.
#[derive(Clone, Debug)]
pub struct Situated {
    routed: Routed,
    risk: u8,
}

impl Accepted {
    /// Joins the peer that was verified when the connection was made. A connection may outlive its certificate, so the
    /// validity is looked at again for the moment of this request.
    ///
    /// # Errors
    /// `identity.expired` outside the certificate's validity.
    pub fn identified(self, peer: VerifiedPeer) -> Result<Identified, Refused> {
        let valid = (peer.not_before().seconds()..=peer.not_after().seconds()).contains(&self.at.seconds());
        if valid {
            return Ok(Identified { accepted: self, peer });
        }
        let note = format!("the certificate is valid from {} to {}", peer.not_before(), peer.not_after());
        let claimed = peer.spiffe_id().clone();
        Err(Refused::new(self, Reason::IdentityExpired, note).with_claimed(claimed))
    }
}

impl Identified {
    /// Joins the canonical request.
    pub const fn parsed(self, request: CanonicalRequest) -> Parsed {
        Parsed { identified: self, request }
    }

    /// The state before.
    pub const fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    /// The verified peer.
    pub const fn peer(&self) -> &VerifiedPeer {
        &self.peer
    }
}

impl Parsed {
    /// Joins the service and route that the revision gives for this request, and finds the caller among the revision's
    /// workloads.
    ///
    /// # Errors
    /// `identity.unknown-workload` and `identity.not-a-caller`, see [`Model::workload_of`]; `policy.error` when the
    /// route is not one of the service and the request's method, which no router may hand in.
    pub fn routed(
        self,
        revision: RevisionId,
        model: &Model,
        service: Arc<Service>,
        route: Arc<Route>,
    ) -> Result<Routed, Refused> {
        let workload = match model.workload_of(self.identified.peer.spiffe_id()) {
            Ok(workload) => workload,
            Err(reason) => {
                let note = format!("the certificate names {}", self.identified.peer.spiffe_id());
                return Err(Refused::new(self, reason, note).with_revision(revision));
            }
        };
        let agrees = route.id.call().is_none_or(|(method, _)| *method == self.request.method());
        if !agrees || route.id.service() != &service.id {
            let note = format!("route {} does not belong to this request of {}", route.id, service.id);
            return Err(Refused::new(self, Reason::PolicyError, note).with_revision(revision));
        }
        Ok(Routed { parsed: self, revision, workload, service, route })
    }

    /// The state before.
    pub const fn identified(&self) -> &Identified {
        &self.identified
    }

    /// The state at the door.
    pub const fn accepted(&self) -> &Accepted {
        &self.identified.accepted
    }

    /// The canonical request.
    pub const fn request(&self) -> &CanonicalRequest {
        &self.request
    }
}

impl Routed {
    /// Joins the risk, 0 to 100; more counts as 100.
    pub fn situated(self, risk: u8) -> Situated {
        Situated { routed: self, risk: risk.min(100) }
    }

    /// The state before.
    pub const fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    /// The state at the door.
    pub const fn accepted(&self) -> &Accepted {
        self.parsed.accepted()
    }

    /// The revision that the names below come from.
    pub const fn revision(&self) -> RevisionId {
        self.revision
    }

    /// The caller.
    pub const fn workload(&self) -> &WorkloadId {
        &self.workload
    }

    /// The called service.
    pub const fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// The called route.
    pub const fn route(&self) -> &Arc<Route> {
        &self.route
    }
}

impl Situated {
    /// The state before.
    pub const fn routed(&self) -> &Routed {
        &self.routed
    }

    /// The state at the door.
    pub const fn accepted(&self) -> &Accepted {
        self.routed.accepted()
    }

    /// The verified peer.
    pub const fn peer(&self) -> &VerifiedPeer {
        &self.routed.parsed.identified.peer
    }

    /// The canonical request.
    pub const fn request(&self) -> &CanonicalRequest {
        &self.routed.parsed.request
    }

    /// The risk that policies see, 0 to 100.
    pub const fn risk(&self) -> u8 {
        self.risk
    }
}

/// How far a refused call got.
#[derive(Clone, Debug)]
pub enum Reached {
    /// To the door.
    Accepted(Accepted),
    /// To a proven caller.
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
    claimed: Option<SpiffeId>,
    revision: Option<RevisionId>,
}

impl Refused {
    /// A refusal. The note is for the operator, without secrets or personal data, and is cut at `note_bytes`.
    pub fn new(reached: impl Into<Reached>, reason: Reason, note: impl Into<String>) -> Self {
        let mut note = note.into();
        note.truncate(note.floor_char_boundary(limits::NOTE_BYTES.default_usize()));
        let reached = reached.into();
        Self(Box::new(Refusal { reached, reason, note, determining: Vec::new(), claimed: None, revision: None }))
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

    pub(crate) fn with_determining(mut self, determining: Vec<PolicyId>) -> Self {
        self.0.determining = determining;
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
        if let (Caller::Unidentified { claimed }, Some(id)) = (&mut decision.caller, &refusal.claimed) {
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
        caller: Caller::Unidentified { claimed: "" },
        host: accepted.server_name.as_ref().map_or("", Host::as_str),
        service: "",
        method: "",
        template: "",
        risk: None,
        determining: Vec::new(),
    }
}

fn facts_of_identified(identified: &Identified, outcome: Outcome) -> Decision<'_> {
    let peer = &identified.peer;
    let caller = Caller::Verified(Peer {
        spiffe_id: peer.spiffe_id().as_str(),
        serial: peer.serial(),
        sha256: *peer.sha256(),
        not_before: peer.not_before(),
        not_after: peer.not_after(),
        via: peer.via().unwrap_or_default(),
    });
    Decision { caller, ..facts_of_accepted(&identified.accepted, outcome) }
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
    Decision { risk: Some(situated.risk), ..facts_of_routed(&situated.routed, outcome) }
}
