//! What is held against whom at one moment: an immutable snapshot with the lookups of the request path.

use std::collections::BTreeMap;

use identity::VerifiedPeer;
use types::{SpiffeId, Timestamp, TrustDomain};

use crate::subject::{SYSTEM, Subject};

/// Trust that an operator took away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// Whose.
    pub subject: Subject,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who did it.
    pub operator: String,
    /// Since when.
    pub at: Timestamp,
    /// The moment from which on it no longer counts; `None` for good.
    pub until: Option<Timestamp>,
    /// The epoch from which on it holds.
    pub epoch: u64,
}

impl Revocation {
    /// Whether it counts at this moment. One that has a beginning in the future counts already: the clock that wrote it
    /// may be ahead of the one that asks.
    pub fn counts_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whether it lasts at least as long as another one.
    pub fn outlasts(&self, other: &Self) -> bool {
        match (self.until, other.until) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mine), Some(theirs)) => mine >= theirs,
        }
    }
}

/// Everything that is known against anybody, under one epoch. Swapped whole.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct State {
    epoch: u64,
    ids: BTreeMap<SpiffeId, Revocation>,
    serials: BTreeMap<String, Revocation>,
    keys: BTreeMap<[u8; 32], Revocation>,
    /// The agents among `ids`: by the name of the node, then by organisation.
    nodes: BTreeMap<String, BTreeMap<String, Revocation>>,
}

/// Proof that nothing is held against one caller, or that there is no caller it could be held against. It can be made by
/// a [`State`] only, and is used up by the call that it is about:
///
/// ```compile_fail,E0451
/// let cleared = countersign_signal::Cleared { epoch: 7, peer: None };
/// ```
///
/// ```compile_fail,E0599
/// let cleared = countersign_signal::State::default().nobody();
/// let twice = cleared.clone();
/// ```
#[derive(Debug)]
#[must_use = "a call is situated with it"]
pub struct Cleared {
    epoch: u64,
    /// SHA-256 of the peer's certificate; `None` where there is no peer.
    peer: Option<[u8; 32]>,
}

impl Cleared {
    /// The epoch of the signals that were looked at.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether it is about this caller: about the very certificate, or about nobody. That of nobody says nothing about a
    /// peer.
    pub fn is_about(&self, caller: Option<&VerifiedPeer>) -> bool {
        self.peer.as_ref() == caller.map(VerifiedPeer::sha256)
    }
}

impl State {
    /// A snapshot. The epoch is never below that of a revocation in it; of two revocations of one subject the one that
    /// lasts longer counts.
    pub fn new(epoch: u64, revocations: impl IntoIterator<Item = Revocation>) -> Self {
        let mut state = Self { epoch, ..Self::default() };
        for revocation in revocations {
            state.epoch = state.epoch.max(revocation.epoch);
            match revocation.subject.clone() {
                Subject::Spiffe(id) => {
                    if let Some((organisation, node)) = agent_of(&id) {
                        let named = state.nodes.entry(node.to_owned()).or_default();
                        keep(named, organisation.to_owned(), revocation.clone());
                    }
                    keep(&mut state.ids, id, revocation);
                }
                Subject::Serial(serial) => keep(&mut state.serials, serial, revocation),
                Subject::Key(key) => keep(&mut state.keys, key, revocation),
            }
        }
        state
    }

    /// Grows with every change. It never goes back.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether nothing is held against anybody, ended revocations included.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// All revocations, also those that have ended: by SPIFFE ID, then by serial number, then by key, each in order.
    pub fn iter(&self) -> impl Iterator<Item = &Revocation> {
        self.ids.values().chain(self.serials.values()).chain(self.keys.values())
    }

    /// Whether the peer is trusted at this moment. Allocates nothing.
    ///
    /// # Errors
    /// A revocation of its SPIFFE ID, of its certificate's serial number, of its key, or of the agent of the node for which
    /// its certificate was issued.
    pub fn clear(&self, peer: &VerifiedPeer, now: Timestamp) -> Result<Cleared, &Revocation> {
        let counting = |found: Option<&'_ Revocation>| found.is_some_and(|revocation| revocation.counts_at(now));
        let by_id = self.ids.get(peer.spiffe_id());
        let by_serial = self.serials.get(peer.serial());
        let by_key = self.keys.get(peer.key_sha256());
        let by_node = peer.node().and_then(|node| self.agent(node, peer.spiffe_id().trust_domain()));
        match [by_id, by_serial, by_key, by_node].into_iter().find(|found| counting(*found)).flatten() {
            Some(revocation) => Err(revocation),
            None => Ok(Cleared { epoch: self.epoch, peer: Some(*peer.sha256()) }),
        }
    }

    /// For a call without an identity: there is nobody against whom anything could be held.
    pub const fn nobody(&self) -> Cleared {
        Cleared { epoch: self.epoch, peer: None }
    }

    /// The revocation of the agent of a node in the organisation that a trust domain belongs to.
    fn agent(&self, node: &str, trust_domain: &TrustDomain) -> Option<&Revocation> {
        let (_, organisation) = trust_domain.as_str().split_once('.')?;
        self.nodes.get(node)?.get(organisation)
    }

    /// The revocation of a SPIFFE ID that counts at this moment.
    pub fn revoked_id(&self, id: &SpiffeId, now: Timestamp) -> Option<&Revocation> {
        self.ids.get(id).filter(|revocation| revocation.counts_at(now))
    }

    /// The revocation of a certificate by its serial number that counts at this moment: lower-case hexadecimal, without
    /// leading zeros.
    pub fn revoked_serial(&self, serial: &str, now: Timestamp) -> Option<&Revocation> {
        self.serials.get(serial).filter(|revocation| revocation.counts_at(now))
    }

    /// The revocation of a public key that counts at this moment: of the SHA-256 of its DER `SubjectPublicKeyInfo`.
    pub fn revoked_key(&self, key_sha256: &[u8; 32], now: Timestamp) -> Option<&Revocation> {
        self.keys.get(key_sha256).filter(|revocation| revocation.counts_at(now))
    }

    /// The next moment at which a revocation ends by itself.
    pub fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        self.iter().filter_map(|revocation| revocation.until).filter(|until| *until > now).min()
    }
}

/// The organisation and the node of an agent's identity, `spiffe://system.ORGANISATION/agent/NODE`.
fn agent_of(id: &SpiffeId) -> Option<(&str, &str)> {
    let (SYSTEM, organisation) = id.trust_domain().as_str().split_once('.')? else { return None };
    let mut segments = id.segments();
    match (segments.next(), segments.next(), segments.next()) {
        (Some("agent"), Some(node), None) => Some((organisation, node)),
        _ => None,
    }
}

fn keep<K: Ord>(kept: &mut BTreeMap<K, Revocation>, key: K, revocation: Revocation) {
    match kept.get(&key) {
        Some(other) if other.outlasts(&revocation) => {}
        Some(_) | None => drop(kept.insert(key, revocation)),
    }
}
