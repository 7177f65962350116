//! Who asks: from what stands at the other end of a connection to a peer that joined, is not revoked and is still the same.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ::wire::server::{PeerInfo, Who};
use ::wire::system;
use identity::VerifiedPeer;
use tonic::{Extensions, Status};
use types::{Label, Timestamp};

use crate::peers::{Ending, Name, Seen, title};
use crate::service::Control;
use crate::store::Place;

/// A peer that may ask.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub place: Place,
    /// Its certificate; `None` for a role of this process.
    pub peer: Option<VerifiedPeer>,
    pub address: Option<SocketAddr>,
}

impl Caller {
    pub fn name(&self) -> Name {
        (self.place.role, self.place.name.clone())
    }

    pub fn title(&self) -> String {
        title(self.place.role, &self.place.name)
    }

    /// The domains that a proxy may serve; `None` for all.
    pub fn served(&self) -> Option<BTreeSet<Label>> {
        self.place.domains.as_ref().map(|domains| domains.iter().cloned().collect())
    }

    /// The groups that an agent belongs to; `None` for all.
    pub fn groups(&self) -> Option<BTreeSet<Label>> {
        self.peer.as_ref().map(|_| self.place.group.iter().cloned().collect())
    }

    /// Where it stands, for the issuer.
    pub fn stands(&self) -> api::keys::Place {
        let name = self.place.name.clone();
        self.groups().map_or(api::keys::Place::Everywhere, |groups| api::keys::Place::Node { name, groups })
    }
}

/// Why somebody may not ask.
pub(crate) struct Refusal {
    /// What it is called in the record.
    pub subject: String,
    pub why: String,
}

impl Control {
    /// The peer that asks.
    ///
    /// # Errors
    /// What it is told. A refusal is on record before that; that of somebody without a certificate is not, since it says
    /// nothing about anybody.
    pub(crate) fn caller(&self, extensions: &Extensions, act: &str) -> Result<Caller, Status> {
        let Some(info) = extensions.get::<PeerInfo>() else {
            return Err(Status::internal("the connection does not say who is at its other end"));
        };
        match &info.who {
            Who::Nobody => Err(Status::unauthenticated("only who has joined may ask this")),
            Who::InProcess { role, name } => {
                let place = Place { role: *role, name: name.clone(), group: None, domains: None };
                Ok(Caller { place, peer: None, address: info.address })
            }
            Who::System(peer) => self.known(peer, info.address).map_err(|Refusal { subject, why }| {
                self.refuse(act, &subject, &why);
                Status::permission_denied(why)
            }),
        }
    }

    /// Records and logs a refusal on the wire.
    pub(crate) fn refuse(&self, act: &str, subject: &str, why: &str) {
        self.hub.refusals.record(&self.parts.ledger, self.parts.clock.now(), act, subject, why);
    }

    fn known(&self, peer: &VerifiedPeer, address: Option<SocketAddr>) -> Result<Caller, Refusal> {
        let id = peer.spiffe_id();
        let refused = |subject: String, why: &str| Err(Refusal { subject, why: why.to_owned() });
        let ours = system::domain(&self.organisation()).is_some_and(|domain| domain == *id.trust_domain());
        let Some(name) = system::peer_of(id).filter(|_| ours) else {
            return refused(id.to_string(), "it is neither a proxy nor an agent of this organisation");
        };
        let subject = title(name.0, &name.1);
        let Some(seen) = self.hub.peers.get(&name).filter(|seen| !seen.in_process()) else {
            return refused(subject, "it was retired, or it joined another control: it needs a new join token");
        };
        match self.untrusted(&seen, Some(peer), self.parts.clock.now()) {
            None => Ok(Caller { place: seen.place, peer: Some(peer.clone()), address }),
            Some(why) => refused(subject, &why),
        }
    }

    /// Why a peer that joined may not ask at a moment, or not any more; `None` where it may.
    pub(crate) fn untrusted(&self, seen: &Seen, peer: Option<&VerifiedPeer>, now: Timestamp) -> Option<String> {
        self.distrusted(seen, peer, now).or_else(|| {
            let ended = peer.filter(|peer| now > peer.not_after())?;
            Some(format!("its certificate ended on {}", ended.not_after()))
        })
    }

    /// As [`Self::untrusted`], where the end of its certificate does not count.
    pub(crate) fn distrusted(&self, seen: &Seen, peer: Option<&VerifiedPeer>, now: Timestamp) -> Option<String> {
        let signals = self.parts.signals.load();
        let id = system::peer(&self.organisation(), seen.place.role, &seen.place.name)?;
        if let Some(revocation) = signals.revoked_id(&id, now) {
            return Some(format!("it is revoked: {}", revocation.reason));
        }
        if let Some(revocation) = seen.key.as_ref().and_then(|key| signals.revoked_key(key, now)) {
            return Some(format!("it is revoked: {}", revocation.reason));
        }
        let peer = peer?;
        if seen.key.as_ref() != Some(peer.key_sha256()) {
            return Some("its key is not that of the peer that joined under this name".to_owned());
        }
        signals.clear(peer, now).err().map(|revocation| format!("it is revoked: {}", revocation.reason))
    }

    /// Ends the connections of those that were revoked. What is said of single certificates each connection sees itself.
    pub(crate) fn end_untrusted(&self) {
        let now = self.parts.clock.now();
        self.hub.peers.end_where(|seen| self.untrusted(seen, None, now).map(|why| Ending { why, retry: false }));
    }
}
