//! Makes what peers are told from what is in force here: signs it, numbers it, and hands it to every connection.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ::wire::content::{self, Succession};
use ::wire::fact;
use api::issuance::Entitled;
use api::protocol;
use api::wire::{Bundles, Kind, Signed};
use aws_lc_rs::digest::{SHA256, digest};
use signal::Subject;
use tokio::sync::watch;
use types::{RevisionId, Timestamp, TrustDomain};

use super::heard::Heard;
use super::nonces::Nonces;
use super::refusals::Refusals;
use super::shelf::Shelf;
use super::state::{Placed, Publication, Registered, Revocations, Snapshot};
use crate::acts::with_causes;
use crate::peers::Peers;
use crate::service::Control;
use crate::store::Floor;

/// What the connections share.
pub(crate) struct Hub {
    pub peers: Peers,
    pub nonces: Nonces,
    pub refusals: Refusals,
    pub shelf: Shelf,
    pub heard: Heard,
    snapshot: watch::Sender<Arc<Snapshot>>,
    /// Held while a new state is made: one after the other.
    making: Mutex<Made>,
    /// When the present epoch was put in force, in microseconds since 1970.
    epoch_since: AtomicU64,
}

/// What the present state was made of.
#[derive(Default)]
struct Made {
    /// Why the last attempt did not go to its end.
    trouble: Option<String>,
    /// When registrations change by themselves.
    next_end: Option<Timestamp>,
    /// The revision and the epoch of the registrations.
    registered: Option<(RevisionId, u64)>,
}

impl Hub {
    pub fn new(peers: Peers) -> Self {
        Self {
            peers,
            nonces: Nonces::default(),
            refusals: Refusals::default(),
            shelf: Shelf::default(),
            heard: Heard::default(),
            snapshot: watch::Sender::new(Arc::default()),
            making: Mutex::default(),
            epoch_since: AtomicU64::new(0),
        }
    }

    pub fn follow(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Why peers are not told what is in force; `None` where they are.
    pub fn trouble(&self) -> Option<String> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner).trouble.clone()
    }

    /// When the present epoch was put in force, or this process began with it; `None` where there never was any.
    pub fn epoch_since(&self) -> Option<Timestamp> {
        Some(self.epoch_since.load(Ordering::Acquire)).filter(|since| *since != 0).map(Timestamp::from_micros)
    }

    /// How long ago the present epoch was put in force, in microseconds.
    pub fn epoch_age(&self, now: Timestamp) -> u64 {
        now.micros_since(self.epoch_since().unwrap_or_default())
    }
}

impl Control {
    /// Tells peers what is in force now. What cannot be signed or read leaves peers with what they have, and heartbeats say
    /// that they are behind.
    pub(crate) fn tell_peers(&self) {
        let mut made = self.hub.making.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.hub.snapshot();
        let mut next = Snapshot::clone(&before);
        // what takes trust away first; one that fails holds no other back
        let told = [
            self.tell_signals(&mut next),
            self.tell_truth(&mut next),
            self.tell_bundles(&mut next),
            self.tell_registrations(&mut next, &mut made),
            self.tell_publication(&mut next),
        ];
        let trouble = told.into_iter().find_map(Result::err);
        if let Some(why) = trouble.as_ref().filter(|why| made.trouble.as_ref() != Some(*why)) {
            tracing::error!(why, "peers are not told what is current");
        }
        made.trouble = trouble;
        if !next.is(&before) {
            self.hub.snapshot.send_replace(Arc::new(next));
            self.end_untrusted();
        }
    }

    /// The number of what is current, also where it cannot be made.
    fn tell_truth(&self, next: &mut Snapshot) -> Result<(), String> {
        let current = self.parts.store.current().map_err(|error| with_causes(&error))?;
        let ahead = self.parts.store.fleet_ahead().map_err(|error| with_causes(&error))?;
        let number = current.map_or(0, |current| current.number);
        next.truth.publication = number.max(ahead.map_or(0, |ahead| ahead.number));
        Ok(())
    }

    fn tell_publication(&self, next: &mut Snapshot) -> Result<(), String> {
        let store = &self.parts.store;
        let Some(current) = store.current().map_err(|error| with_causes(&error))? else { return Ok(()) };
        if next.publication.as_ref().is_some_and(|known| known.number == current.number) {
            return Ok(());
        }
        let revision = current.revision.parse().map_err(|_| "the store names a revision that is none".to_owned())?;
        let manifest = store.manifest(revision).map_err(|error| with_causes(&error))?;
        if trustdir::part::revision_id_of(&manifest) != revision {
            return Err(format!("the kept files of revision {} were changed", revision.short()));
        }
        let signed = self.sign(Kind::Publication, current.number, revision.digest(), current.at)?;
        next.publication = Some(Arc::new(Publication::new(current.number, signed, manifest)));
        Ok(())
    }

    fn tell_signals(&self, next: &mut Snapshot) -> Result<(), String> {
        let state = self.parts.signals.load_full();
        if next.signals.as_ref().is_some_and(|known| known.epoch == state.epoch()) {
            return Ok(());
        }
        if next.truth.epoch != state.epoch() {
            self.hub.epoch_since.store(self.parts.clock.now().micros(), Ordering::Release);
            next.truth.epoch = state.epoch();
        }
        let items = state.iter().map(content::revocation_item).map(|item| (sha256(&item), item));
        let items: BTreeMap<[u8; 32], Vec<u8>> = items.collect();
        let digest = content::digest(items.values().map(Vec::as_slice));
        let signed = self.sign(Kind::Signals, state.epoch(), &digest, self.parts.clock.now())?;
        let before = next.signals.as_deref();
        next.signals = Some(Arc::new(Revocations::new(state.epoch(), digest, signed, items, before)));
        Ok(())
    }

    fn tell_bundles(&self, next: &mut Snapshot) -> Result<(), String> {
        let items = self.bundles_now();
        let digest = content::digest(items.iter().map(Vec::as_slice));
        let numbered = self.parts.store.floor(Floor::Bundles).map_err(|error| with_causes(&error))?;
        let kept = numbered.is_some_and(|kept| (kept.number, kept.digest) == next.bundles_are);
        if kept && next.bundles_are.1 == digest && next.bundles.is_some() {
            return Ok(());
        }
        let generation = self.parts.issuance.bundles().generation;
        let number = self.parts.store.number_of(Floor::Bundles, digest, generation);
        let number = number.map_err(|error| with_causes(&error))?;
        let signed = self.sign(Kind::Bundles, number, &digest, self.parts.clock.now())?;
        next.bundles = Some(Arc::new(Bundles { signed: Some(signed), items }));
        next.bundles_are = (number, digest);
        Ok(())
    }

    /// What peers are to be told of roots and JWT keys, as items of a list.
    pub(crate) fn bundles_now(&self) -> Vec<Vec<u8>> {
        let bundles = self.parts.issuance.bundles();
        // asked for after the roots: a root is vouched for before it is published
        let mut successions: BTreeMap<TrustDomain, Vec<Succession>> = BTreeMap::new();
        for api::keys::Succession { trust_domain, by, root_der, signature } in self.parts.roles.successions() {
            successions.entry(trust_domain).or_default().push(Succession { by, root_der, signature });
        }
        content::bundle_items(&bundles, &successions)
    }

    fn tell_registrations(&self, next: &mut Snapshot, made: &mut Made) -> Result<(), String> {
        let (revision, state, now) =
            (self.parts.revision.load_full(), self.parts.signals.load_full(), self.parts.clock.now());
        let is = (revision.id(), state.epoch());
        if made.registered == Some(is) && made.next_end.is_none_or(|end| now < end) {
            return Ok(());
        }
        let trusted = revision
            .workloads()
            .values()
            .filter(|workload| !workload.rules.is_empty() && state.revoked_id(&workload.spiffe_id, now).is_none());
        let workloads: Vec<Placed> = trusted
            .map(|workload| Placed {
                workload: Entitled { id: workload.spiffe_id.clone(), key: workload.key },
                rules: workload.rules.clone(),
                runs_on: workload.runs_on.clone(),
            })
            .collect();
        let counting = state.iter().filter(|revocation| revocation.counts_at(now));
        let subjects = counting.map(|revocation| &revocation.subject);
        let revoked: Vec<String> =
            subjects.filter(|subject| !matches!(subject, Subject::Spiffe(_))).map(Subject::to_string).collect();
        let ids = workloads.iter().map(|placed| placed.workload.id.as_str().as_bytes());
        let ids = ids.chain(revoked.iter().map(String::as_bytes));
        let digest = content::digest(ids.chain([revision.id().digest().as_slice()]));
        let generation = self.parts.store.number_of(Floor::Registrations, digest, 1);
        let generation = generation.map_err(|error| with_causes(&error))?;
        if next.registrations.generation != generation {
            next.registrations = Arc::new(Registered { generation, workloads, revoked });
        }
        made.registered = Some(is);
        made.next_end = state.next_end(now);
        Ok(())
    }

    fn sign(&self, kind: Kind, number: u64, digest: &[u8; 32], at: Timestamp) -> Result<Signed, String> {
        let organisation = self.organisation();
        let fact = fact::encode(kind, &organisation, number, digest, at);
        let message = [protocol::FACT_CONTEXT, &fact].concat();
        let signed = self.parts.roles.sign(&message).map_err(|error| format!("nothing can be signed: {error}"))?;
        Ok(Signed { fact, signature: signed.signature, chain: signed.chain })
    }

    pub(crate) fn organisation(&self) -> TrustDomain {
        self.parts.revision.load().model().organisation.clone()
    }
}

impl Snapshot {
    /// Whether nothing was replaced.
    fn is(&self, other: &Self) -> bool {
        fn same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
            match (a, b) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (None, None) => true,
                _ => false,
            }
        }
        same(self.publication.as_ref(), other.publication.as_ref())
            && same(self.signals.as_ref(), other.signals.as_ref())
            && same(self.bundles.as_ref(), other.bundles.as_ref())
            && Arc::ptr_eq(&self.registrations, &other.registrations)
            && self.truth == other.truth
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sha256 = [0; 32];
    sha256.iter_mut().zip(digest(&SHA256, bytes).as_ref()).for_each(|(to, from)| *to = *from);
    sha256
}
