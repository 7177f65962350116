//! The JWT-SVIDs that this agent holds: minted once for a program, an identity and its audiences, and handed out until half
//! of their life is over. Then a new one is minted; the old one stands in for as long as it is good and none is to be had.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use api::issuance::{Entitled, Issuance, JwtSvid};
use types::limits::{self, Limit};
use types::{Clock, KeyKind, Selectors, SpiffeId, Timestamp};

use crate::quota::make_room;
use crate::refusal::Refusal;
use crate::retry::{half_life, later, pause};
use crate::trust::{Known, Trust};
use crate::wallet::program;

/// The JWT-SVIDs of one agent.
pub(crate) struct Tokens {
    issuance: Arc<dyn Issuance>,
    clock: Arc<dyn Clock>,
    trust: Arc<Trust>,
    entries: Mutex<HashMap<Owner, Arc<Entry>>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Owner {
    program: Selectors,
    id: SpiffeId,
    /// Sorted, each once.
    audience: Vec<String>,
}

#[derive(Default)]
struct Entry {
    /// Locked while a token is being minted, so that there is one at a time.
    slot: tokio::sync::Mutex<Option<Kept>>,
    /// Kept beside the slot, so that it can be read meanwhile. Zero before the first token.
    not_after: Mutex<Timestamp>,
}

struct Kept {
    token: Arc<JwtSvid>,
    renew_at: Timestamp,
    /// When that was said; a clock that shows less by now was set back.
    since: Timestamp,
    failures: u32,
    seen_under: u64,
}

impl Entry {
    fn not_after(&self) -> Timestamp {
        *self.not_after.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tokens {
    pub fn new(issuance: Arc<dyn Issuance>, clock: Arc<dyn Clock>, trust: Arc<Trust>) -> Self {
        Self { issuance, clock, trust, entries: Mutex::default() }
    }

    /// A token of an attested program for these audiences.
    ///
    /// # Errors
    /// Why there is none, when none that is held is good; a final refusal always.
    pub async fn get(
        &self,
        selectors: &Selectors,
        id: &SpiffeId,
        audience: &[String],
    ) -> Result<Arc<JwtSvid>, Refusal> {
        let owner = owner(selectors, id, audience);
        let entry = self.entry(&owner)?;
        let mut slot = entry.slot.lock().await;
        let (now, known) = (self.clock.now(), self.trust.now());
        if let Some(kept) = slot.as_mut()
            && kept.is_fresh(&owner, now, &known)
        {
            return Ok(Arc::clone(&kept.token));
        }
        let minted = self.mint(selectors, &owner).await;
        let token = settle(&mut slot, minted, self.clock.now())?;
        *entry.not_after.lock().unwrap_or_else(PoisonError::into_inner) = token.not_after;
        Ok(token)
    }

    /// The identities of a program with a good token for these audiences, sorted.
    pub fn still_good(&self, selectors: &Selectors, audience: &[String]) -> Vec<Entitled> {
        let audience = sorted(audience);
        self.good(selectors, |of| of == audience)
    }

    /// The identities of a program with a good token for any audience.
    pub fn any_still_good(&self, selectors: &Selectors) -> Vec<Entitled> {
        self.good(selectors, |_| true)
    }

    fn good(&self, selectors: &Selectors, wanted: impl Fn(&[String]) -> bool) -> Vec<Entitled> {
        let (program, now) = (program(selectors), self.clock.now());
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let good = entries.iter().filter(|(owner, entry)| owner.program == program && entry.not_after() > now);
        let good = good.filter(|(owner, _)| wanted(&owner.audience));
        let ids: BTreeSet<_> = good.map(|(owner, _)| owner.id.clone()).collect();
        ids.into_iter().map(|id| Entitled { id, key: KeyKind::default() }).collect()
    }

    /// Forgets the tokens of a program beyond these identities.
    pub fn keep_only(&self, selectors: &Selectors, entitled: &[Entitled]) {
        let program = program(selectors);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let stays = |id: &SpiffeId| entitled.iter().any(|entitled| entitled.id == *id);
        entries.retain(|owner, _| owner.program != program || stays(&owner.id));
    }

    /// A program that has as many as it may loses the one that ends first, and so does a user; nobody else does for it.
    fn entry(&self, owner: &Owner) -> Result<Arc<Entry>, Refusal> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(owner) {
            return Ok(Arc::clone(entry));
        }
        let of_program = |other: &Owner| other.program == owner.program;
        let of_user = |other: &Owner| other.program.uid == owner.program.uid;
        let mut keep_within = |limit: &Limit, whose: &dyn Fn(&Owner) -> bool| {
            if entries.keys().filter(|other| whose(other)).count() >= limit.default_usize() {
                drop_first(&mut entries, whose);
            }
        };
        keep_within(&limits::WORKLOAD_PROGRAM_TOKENS, &of_program);
        keep_within(&limits::WORKLOAD_USER_TOKENS, &of_user);
        let (now, most) = (self.clock.now(), limits::WORKLOAD_TOKENS.default_usize());
        let wanted = |entry: &Arc<Entry>| Arc::strong_count(entry) > 1 || entry.not_after() > now;
        if !make_room(&mut entries, most, |_| true, wanted) {
            drop_first(&mut entries, |_| true);
        }
        if entries.len() >= most {
            return Err(Refusal::Here("this agent is minting as many tokens as it may"));
        }
        Ok(Arc::clone(entries.entry(owner.clone()).or_default()))
    }

    async fn mint(&self, selectors: &Selectors, owner: &Owner) -> Result<Kept, Refusal> {
        let token = self.issuance.mint_jwt(selectors, &owner.id, &owner.audience).await?;
        let (now, known) = (self.clock.now(), self.trust.now());
        if token.spiffe_id != owner.id {
            return Err(Refusal::Unusable("it is for another name".to_owned()));
        }
        known.verify_jwt(&token, &owner.audience, now).map_err(Refusal::Unusable)?;
        if token.not_after <= now {
            return Err(Refusal::Clock { seconds: now.micros_since(token.issued_at) / 1_000_000 });
        }
        let renew_at = half_life(now, token.not_after, token.not_after.micros_since(token.issued_at));
        Ok(Kept { token: Arc::new(token), renew_at, since: now, failures: 0, seen_under: known.version })
    }
}

impl Kept {
    /// Whether it is handed out without asking. What a key signed that is no longer in the bundle is not.
    fn is_fresh(&mut self, owner: &Owner, now: Timestamp, known: &Known) -> bool {
        if self.seen_under != known.version {
            self.seen_under = known.version;
            if known.verify_jwt(&self.token, &owner.audience, now).is_err() {
                self.renew_at = self.renew_at.min(now);
            }
        }
        self.renew_at > now && self.since <= now && self.token.not_after > now
    }
}

/// Takes the outcome of minting. A good token outlives a failure, but not a refusal.
fn settle(slot: &mut Option<Kept>, minted: Result<Kept, Refusal>, now: Timestamp) -> Result<Arc<JwtSvid>, Refusal> {
    match minted {
        Ok(kept) => Ok(Arc::clone(&slot.insert(kept).token)),
        Err(refusal) => {
            let kept = slot.as_mut().filter(|kept| !refusal.is_final() && kept.token.not_after > now);
            let Some(kept) = kept else {
                *slot = None;
                return Err(refusal);
            };
            (kept.renew_at, kept.since) = (later(now, pause(kept.failures)), now);
            kept.failures = kept.failures.saturating_add(1);
            tracing::warn!(error = %refusal, id = %kept.token.spiffe_id, valid_until = %kept.token.not_after, "no new token");
            Ok(Arc::clone(&kept.token))
        }
    }
}

/// Forgets, of the entries of some owners that nobody is asking for this moment, the one that ends first.
fn drop_first(entries: &mut HashMap<Owner, Arc<Entry>>, whose: impl Fn(&Owner) -> bool) {
    let idle = entries.iter().filter(|(owner, entry)| whose(owner) && Arc::strong_count(entry) == 1);
    let first = idle.min_by_key(|(_, entry)| entry.not_after()).map(|(owner, _)| owner.clone());
    if let Some(first) = first {
        entries.remove(&first);
    }
}

fn owner(selectors: &Selectors, id: &SpiffeId, audience: &[String]) -> Owner {
    Owner { program: program(selectors), id: id.clone(), audience: sorted(audience) }
}

fn sorted(audience: &[String]) -> Vec<String> {
    let mut audience = audience.to_vec();
    audience.sort();
    audience.dedup();
    audience
}
