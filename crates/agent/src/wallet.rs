//! The SVIDs that this agent holds: minted once for everything that runs the same program as the same user, renewed at
//! half-life, and never dropped because a renewal failed.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::issuance::{Issuance, IssueError, Svid};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use types::{Clock, Selectors, SpiffeId, Timestamp, limits};

use crate::quota::make_room;
use crate::secret::Secret;

/// The first pause after a failed renewal; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500); // tidy: a pause, not a limit
const LONGEST_PAUSE: Duration = Duration::from_secs(30); // tidy: a pause, not a limit

/// An SVID with its key.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub svid: Arc<Svid>,
    pub key: Secret,
    /// When to ask again: at half-life, or after a pause when that failed.
    pub renew_at: Timestamp,
}

/// The SVIDs of one agent.
pub(crate) struct Wallet {
    issuance: Arc<dyn Issuance>,
    clock: Arc<dyn Clock>,
    entries: Mutex<HashMap<Owner, Arc<Entry>>>,
}

/// Everything that was attested but the process id: processes that differ in nothing else share a key.
#[derive(PartialEq, Eq, Hash)]
struct Owner {
    program: Selectors,
    id: SpiffeId,
}

#[derive(Default)]
struct Entry {
    /// Locked while a renewal is under way, so that there is one at a time.
    slot: tokio::sync::Mutex<Slot>,
    /// Kept beside the slot, so that it can be read during a renewal. Zero before the first certificate.
    not_after: Mutex<Timestamp>,
}

#[derive(Default)]
struct Slot {
    held: Option<Held>,
    failures: u32,
}

impl Wallet {
    pub fn new(issuance: Arc<dyn Issuance>, clock: Arc<dyn Clock>) -> Self {
        Self { issuance, clock, entries: Mutex::default() }
    }

    /// The SVID of an attested program, renewed when it is due.
    ///
    /// # Errors
    /// What the issuer says, when there is no valid SVID to fall back on; [`IssueError::NotEntitled`] always.
    pub async fn get(&self, selectors: &Selectors, id: &SpiffeId) -> Result<Held, IssueError> {
        let entry = self.entry(selectors, id)?;
        let mut slot = entry.slot.lock().await;
        let now = self.clock.now();
        let due = slot.held.as_ref().is_none_or(|held| held.renew_at <= now);
        if due {
            let minted = self.mint(selectors, id, now).await;
            slot.settle(minted, self.clock.now())?;
        }
        let held = slot.held.clone().ok_or_else(|| IssueError::Unavailable("no certificate is held".to_owned()))?;
        *entry.not_after.lock().unwrap_or_else(PoisonError::into_inner) = held.svid.not_after;
        Ok(held)
    }

    /// The identities of a program that are still good, sorted: what it keeps while nobody can say what it is entitled to.
    pub fn still_good(&self, selectors: &Selectors) -> Vec<SpiffeId> {
        let (program, now) = (program(selectors), self.clock.now());
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let good = |entry: &Entry| *entry.not_after.lock().unwrap_or_else(PoisonError::into_inner) > now;
        let held = entries.iter().filter(|(owner, entry)| owner.program == program && good(entry));
        let mut ids: Vec<SpiffeId> = held.map(|(owner, _)| owner.id.clone()).collect();
        ids.sort();
        ids
    }

    /// Forgets what a program holds beyond these identities: it is not entitled to it any more.
    pub fn keep_only(&self, selectors: &Selectors, ids: &[SpiffeId]) {
        let program = program(selectors);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|owner, _| owner.program != program || ids.contains(&owner.id));
    }

    fn entry(&self, selectors: &Selectors, id: &SpiffeId) -> Result<Arc<Entry>, IssueError> {
        let owner = Owner { program: program(selectors), id: id.clone() };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(&owner) {
            return Ok(Arc::clone(entry));
        }
        let now = self.clock.now();
        let in_use = |entry: &Arc<Entry>| {
            Arc::strong_count(entry) > 1 || *entry.not_after.lock().unwrap_or_else(PoisonError::into_inner) > now
        };
        if !make_room(&mut entries, limits::WORKLOAD_IDENTITIES.default_usize(), in_use) {
            return Err(IssueError::Unavailable("this agent holds as many identities as it may".to_owned()));
        }
        Ok(Arc::clone(entries.entry(owner).or_default()))
    }

    async fn mint(&self, selectors: &Selectors, id: &SpiffeId, now: Timestamp) -> Result<Held, IssueError> {
        let (key, csr) =
            request().map_err(|error| IssueError::Unavailable(format!("no key could be made: {error}")))?;
        let svid = self.issuance.mint_workload(selectors, id, &csr).await?;
        if svid.spiffe_id != *id || svid.not_after <= now {
            return Err(IssueError::Unavailable(
                "the issuer sent a certificate that is not what was asked for".to_owned(),
            ));
        }
        let renew_at = half_life(now, svid.not_after);
        Ok(Held { svid: Arc::new(svid), key, renew_at })
    }
}

/// What of the selectors makes a program: not the process.
fn program(selectors: &Selectors) -> Selectors {
    Selectors { pid: 0, ..selectors.clone() }
}

impl Slot {
    /// Takes the outcome of a renewal. A valid certificate outlives a failure, but not a refusal.
    fn settle(&mut self, minted: Result<Held, IssueError>, now: Timestamp) -> Result<(), IssueError> {
        match minted {
            Ok(held) => {
                *self = Self { held: Some(held), failures: 0 };
                Ok(())
            }
            Err(error @ IssueError::NotEntitled(_)) => {
                *self = Self::default();
                Err(error)
            }
            Err(error) => {
                let Some(held) = self.held.as_mut().filter(|held| held.svid.not_after > now) else {
                    self.held = None;
                    return Err(error);
                };
                let pause = pause(self.failures);
                self.failures = self.failures.saturating_add(1);
                held.renew_at = later(now, pause);
                tracing::warn!(%error, id = %held.svid.spiffe_id, valid_until = %held.svid.not_after, "renewal failed");
                Ok(())
            }
        }
    }
}

/// A fresh key and a request that proves it. The request names nothing: names come from the issuer.
fn request() -> Result<(Secret, Vec<u8>), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let csr = params.serialize_request(&key)?.der().to_vec();
    Ok((Secret::new(key.serialize_der()), csr))
}

/// A moment between two fifths and half of the life that is left, so that agents started together do not ask together.
fn half_life(now: Timestamp, not_after: Timestamp) -> Timestamp {
    let half = not_after.micros_since(now) / 2;
    Timestamp::from_micros(now.micros().saturating_add(half).saturating_sub(jitter(half / 5)))
}

/// The pause after so many failures in a row, with up to a fifth less.
pub(crate) fn pause(failures: u32) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
    let micros = u64::try_from(full.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(micros.saturating_sub(jitter(micros / 5)))
}

pub(crate) fn later(now: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_micros(now.micros().saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
}

/// Evenly from 0 to `most`; 0 without random numbers, which only costs the spread.
fn jitter(most: u64) -> u64 {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes) % most.saturating_add(1),
        Err(_) => 0,
    }
}
