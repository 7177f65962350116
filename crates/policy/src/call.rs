//! The states of a request: one type per step that it has passed, each made from the one before (DESIGN section 5).
//!
//! A step takes the state by value. What it needs and cannot derive from the state before is passed in; what it
//! establishes is private, so that no later code holds a workload that the verified peer is not.

use std::net::IpAddr;
use std::sync::Arc;

use identity::VerifiedPeer;
use signal::Cleared;
use types::facts::Protocol;
use types::{CanonicalRequest, DecisionId, Host, Reason, RevisionId, Timestamp, WorkloadId};

use crate::model::{Model, Route, Service};
use crate::modes::Noted;

mod refused;

pub(crate) use refused::facts_of_situated;
pub use refused::{Reached, Refused};

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

/// Who calls. A caller that presents something which does not verify is neither: it is refused.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Proven by a certificate.
    Verified(VerifiedPeer),
    /// Nobody: no certificate was presented, where one may be left out.
    Unidentified,
}

impl Caller {
    /// The verified peer; `None` for nobody.
    pub const fn peer(&self) -> Option<&VerifiedPeer> {
        match self {
            Self::Verified(peer) => Some(peer),
            Self::Unidentified => None,
        }
    }
}

/// A request whose caller is proven, or known to be nobody.
#[derive(Clone, Debug)]
pub struct Identified {
    accepted: Accepted,
    caller: Caller,
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
    workload: Option<WorkloadId>,
    service: Arc<Service>,
    route: Arc<Route>,
    unlisted: Option<Noted>,
}

/// A request with everything known that policies may ask for.
#[derive(Clone, Debug)]
pub struct Situated {
    routed: Routed,
    epoch: u64,
    cleared: bool,
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
            return Ok(Identified { accepted: self, caller: Caller::Verified(peer) });
        }
        let note = format!("the certificate is valid from {} to {}", peer.not_before(), peer.not_after());
        let claimed = peer.spiffe_id().clone();
        Err(Refused::new(self, Reason::IdentityExpired, note).with_claimed(claimed))
    }

    /// Goes on with a caller that presented no certificate, not with one whose certificate was refused. Whether nobody may
    /// call is for `requires.identity` to say, when the call is judged.
    pub const fn unidentified(self) -> Identified {
        Identified { accepted: self, caller: Caller::Unidentified }
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

    /// Who calls.
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The verified peer; `None` for nobody.
    pub const fn peer(&self) -> Option<&VerifiedPeer> {
        self.caller.peer()
    }
}

impl Parsed {
    /// Joins the service and route that the revision gives for this request, and finds a verified caller among the
    /// revision's workloads. The pseudo-route of a service that does not list the request is noted where the domain
    /// relaxes `routes.unlisted`.
    ///
    /// # Errors
    /// `identity.unknown-workload` and `identity.not-a-caller`, see [`Model::workload_of`]; `route.unlisted` where that is
    /// enforced; `policy.error` when the route is not one of the service and the request's method, which no router may
    /// hand in.
    pub fn routed(
        self,
        revision: RevisionId,
        model: &Model,
        service: Arc<Service>,
        route: Arc<Route>,
    ) -> Result<Routed, Refused> {
        let workload = match self.identified.peer().map(|peer| (peer, model.workload_of(peer.spiffe_id()))) {
            None => None,
            Some((_, Ok(workload))) => Some(workload),
            Some((peer, Err(reason))) => {
                let note = format!("the certificate names {}", peer.spiffe_id());
                return Err(Refused::new(self, reason, note).with_revision(revision));
            }
        };
        let agrees = route.id.call().is_none_or(|(method, _)| *method == self.request.method());
        if !agrees || route.id.service() != &service.id {
            let note = format!("route {} does not belong to this request of {}", route.id, service.id);
            return Err(Refused::new(self, Reason::PolicyError, note).with_revision(revision));
        }
        match model.unlisted(&route.id) {
            Ok(unlisted) => Ok(Routed { parsed: self, revision, workload, service, route, unlisted }),
            Err(reason) => Err(Refused::new(self, reason, "").with_revision(revision)),
        }
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
    /// Joins the proof that nothing is held against this very caller, and the risk, 0 to 100; more counts as 100. A proof
    /// about somebody else is none: the call is refused when it is judged.
    pub fn situated(self, cleared: Cleared, risk: u8) -> Situated {
        let about_it = cleared.is_about(self.parsed.identified.peer());
        Situated { epoch: cleared.epoch(), cleared: about_it, risk: risk.min(100), routed: self }
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

    /// The caller; `None` for nobody.
    pub const fn workload(&self) -> Option<&WorkloadId> {
        self.workload.as_ref()
    }

    /// The refusal that a relaxed `routes.unlisted` leaves at a note.
    pub(crate) const fn unlisted(&self) -> Option<&Noted> {
        self.unlisted.as_ref()
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

    /// Who calls.
    pub const fn caller(&self) -> &Caller {
        &self.routed.parsed.identified.caller
    }

    /// The verified peer; `None` for nobody.
    pub const fn peer(&self) -> Option<&VerifiedPeer> {
        self.caller().peer()
    }

    /// The canonical request.
    pub const fn request(&self) -> &CanonicalRequest {
        &self.routed.parsed.request
    }

    /// The risk that policies see, 0 to 100.
    pub const fn risk(&self) -> u8 {
        self.risk
    }

    /// The epoch of the signals that were held against the caller.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the signals were asked about this caller.
    pub(crate) const fn is_cleared(&self) -> bool {
        self.cleared
    }
}
