//! The SVIDs that this agent holds: minted once for everything that runs the same program as the same user, renewed at
//! half-life, and never dropped because a renewal failed.

mod slot;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::issuance::{Entitled, Issuance, IssueError, Svid, WorkloadOrder};
use types::limits::{self, Limit};
use types::{Clock, KeyKind, Selectors, SpiffeId, Timestamp};

use crate::key::{self, Fresh};
use crate::quota::make_room;
use crate::refusal::Refusal;
use crate::skew::Skew;
use crate::trust::Trust;
use slot::Slot;

pub(crate) use slot::Held;

/// The SVIDs of one agent.
pub(crate) struct Wallet {
    issuance: Arc<dyn Issuance>,
    clock: Arc<dyn Clock>,
    trust: Arc<Trust>,
    skew: Skew,
    entries: Mutex<HashMap<Owner, Arc<Entry>>>,
}

/// Everything that was attested but the process id: processes that differ in nothing else share a key.
#[derive(PartialEq, Eq, Hash)]
struct Owner {
    program: Selectors,
    id: SpiffeId,
}

/// One identity of one program.
#[derive(Default)]
pub(crate) struct Entry {
    /// Locked while a renewal is under way, so that there is one at a time.
    slot: tokio::sync::Mutex<Slot>,
    /// Kept beside the slot, so that it can be read during a renewal.
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    /// Zero before the first certificate.
    not_after: Timestamp,
    key: KeyKind,
}

/// An SVID that is handed out. As long as this lives it is in somebody's hands, and a full wallet does not forget it.
#[derive(Clone)]
pub(crate) struct Handed {
    pub held: Held,
    _entry: Arc<Entry>,
}

impl Entry {
    fn seen(&self) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wallet {
    pub fn new(issuance: Arc<dyn Issuance>, clock: Arc<dyn Clock>, trust: Arc<Trust>) -> Self {
        Self { issuance, clock, trust, skew: Skew::default(), entries: Mutex::default() }
    }

    /// The SVID of an attested program, renewed when it is due.
    ///
    /// # Errors
    /// Why there is none, when there is no valid SVID to fall back on; a final refusal always.
    pub async fn get(&self, selectors: &Selectors, wanted: &Entitled) -> Result<Handed, Refusal> {
        let entry = self.entry(selectors, &wanted.id)?;
        let mut slot = entry.slot.lock().await;
        let (now, known) = (self.clock.now(), self.trust.now());
        if let Some(refusal) = slot.failed(now, &known) {
            return Err(refusal);
        }
        if slot.is_due(now, &known, self.issuance.as_ref()) {
            let minted = self.mint(selectors, wanted, slot.held()).await;
            slot.settle(minted, self.clock.now(), known.version)?;
        }
        let held = slot.held().cloned().ok_or(Refusal::Here("no certificate is held"))?;
        drop(slot);
        let seen = Seen { not_after: held.svid.not_after, key: wanted.key };
        *entry.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        Ok(Handed { held, _entry: entry })
    }

    /// The identities of a program that are still good, sorted: what it keeps while nobody can say what it is entitled to.
    pub fn still_good(&self, selectors: &Selectors) -> Vec<Entitled> {
        let (program, now) = (program(selectors), self.clock.now());
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let good = entries.iter().filter(|(owner, entry)| owner.program == program && entry.seen().not_after > now);
        let mut ids: Vec<_> =
            good.map(|(owner, entry)| Entitled { id: owner.id.clone(), key: entry.seen().key }).collect();
        ids.sort();
        ids
    }

    /// Forgets what a program holds beyond these identities: it is not entitled to it any more.
    pub fn keep_only(&self, selectors: &Selectors, entitled: &[Entitled]) {
        let program = program(selectors);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let stays = |id: &SpiffeId| entitled.iter().any(|entitled| entitled.id == *id);
        entries.retain(|owner, _| owner.program != program || stays(&owner.id));
    }

    /// Of a full wallet, first what has expired and is in nobody's hands makes room, then what is in nobody's hands. A user has
    /// a part of it, and whoever has it all makes room among its own: no other user's identities go for it.
    fn entry(&self, selectors: &Selectors, id: &SpiffeId) -> Result<Arc<Entry>, Refusal> {
        let owner = Owner { program: program(selectors), id: id.clone() };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(&owner) {
            return Ok(Arc::clone(entry));
        }
        let now = self.clock.now();
        let in_hands = |entry: &Arc<Entry>| Arc::strong_count(entry) > 1;
        let mut has_room = |limit: &Limit, counts: &dyn Fn(&Owner) -> bool| {
            let most = limit.default_usize();
            make_room(&mut entries, most, counts, |entry| in_hands(entry) || entry.seen().not_after > now)
                || make_room(&mut entries, most, counts, in_hands)
        };
        if !has_room(&limits::WORKLOAD_USER_IDENTITIES, &|other| other.program.uid == owner.program.uid) {
            return Err(Refusal::Here("the programs of this user hold as many identities as they may"));
        }
        if !has_room(&limits::WORKLOAD_IDENTITIES, &|_| true) {
            return Err(Refusal::Here("this agent holds as many identities as it may"));
        }
        Ok(Arc::clone(entries.entry(owner).or_default()))
    }

    async fn mint(&self, selectors: &Selectors, wanted: &Entitled, old: Option<&Held>) -> Result<Held, Refusal> {
        let fresh = key::make(wanted.key).await;
        let fresh = fresh.map_err(|error| Refusal::Unusable(format!("no key could be made: {error}")))?;
        let (now, known) = (self.clock.now(), self.trust.now());
        let counts =
            |held: &&Held| held.svid.not_after > now && !held.is_revoked && known.verify(&held.svid, now).is_ok();
        let old = old.filter(counts);
        let mut order = WorkloadOrder {
            id: wanted.id.clone(),
            csr_der: fresh.csr_der.clone(),
            predecessor: old.and_then(|held| held.as_predecessor(&fresh.csr_der)),
        };
        let svid = match self.issuance.mint_workload(selectors, &order).await {
            Err(IssueError::BadRequest(words)) if order.predecessor.take().is_some() => {
                // It costs tokens that are bound to the old key, and no identity.
                tracing::warn!(id = %wanted.id, words, "not taken as the successor of what is held; minted as a first one");
                self.issuance.mint_workload(selectors, &order).await?
            }
            outcome => outcome?,
        };
        self.check(svid, fresh, &wanted.id)
    }

    /// Takes a certificate if it is what was asked for, under the bundle of now. Where the bundle is older than its root,
    /// it is not handed out before the new one is here: nobody beside us could verify it either.
    fn check(&self, svid: Svid, fresh: Fresh, id: &SpiffeId) -> Result<Held, Refusal> {
        let (now, known) = (self.clock.now(), self.trust.now());
        let peer = known.verify(&svid, now).map_err(|refusal| Refusal::Unusable(refusal.to_string()))?;
        if peer.spiffe_id() != id || *peer.key_sha256() != fresh.sha256 {
            return Err(Refusal::Unusable("it is for another name or key".to_owned()));
        }
        let svid =
            Svid { not_before: peer.not_before(), not_after: peer.not_after(), serial: peer.serial().into(), ..svid };
        self.skew.look(svid.not_before, now);
        if svid.not_after <= now {
            return Err(Refusal::Clock { seconds: now.micros_since(svid.not_before) / 1_000_000 });
        }
        Ok(Held::new(svid, fresh, now, known.version))
    }
}

/// What of the selectors makes a program: not the process.
pub(crate) fn program(selectors: &Selectors) -> Selectors {
    Selectors { pid: 0, ..selectors.clone() }
}
