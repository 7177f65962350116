//! One identity's certificate: when it is due, and what becomes of it when a renewal fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use api::issuance::{Issuance, Predecessor, Svid};
use types::Timestamp;

use crate::key::{self, Fresh};
use crate::refusal::Refusal;
use crate::retry::{half_life, later, pause};
use crate::secret::Secret;
use crate::trust::Known;

/// An SVID with its key.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub svid: Arc<Svid>,
    pub key: Secret,
    key_sha256: [u8; 32],
    /// When to ask again: at half-life, or after a pause when that failed.
    pub renew_at: Timestamp,
    /// When that was said. A clock that shows less by now was set back, and tells nothing about how old this is.
    since: Timestamp,
    /// Attempts to renew it that failed, as everybody sees who has it.
    pub failures: Arc<AtomicU32>,
    /// Under which bundles it was looked at last.
    seen_under: u64,
    /// Trust was taken from it since it was minted.
    pub is_revoked: bool,
}

/// Empty before the first certificate, and after a refusal.
#[derive(Default)]
pub(super) struct Slot {
    held: Option<Held>,
    /// Why there is none, for as long as nobody is asked again.
    failed: Option<Failed>,
}

struct Failed {
    refusal: Refusal,
    at: Timestamp,
    again_at: Timestamp,
    seen_under: u64,
}

impl Held {
    /// Just minted at the moment `now`, and verified under the bundles of that version.
    pub fn new(svid: Svid, fresh: Fresh, now: Timestamp, version: u64) -> Self {
        let renew_at = half_life(now, svid.not_after, svid.not_after.micros_since(svid.not_before));
        let (svid, failures) = (Arc::new(svid), Arc::default());
        let Fresh { key, sha256: key_sha256, .. } = fresh;
        Self { svid, key, key_sha256, renew_at, since: now, failures, seen_under: version, is_revoked: false }
    }

    /// The proof that its key is here. Without one a renewal is a first certificate.
    pub fn as_predecessor(&self, csr_der: &[u8]) -> Option<Predecessor> {
        let proof = key::predecessor(self.svid.chain_der.first()?, &self.key, csr_der);
        proof.inspect_err(|error| tracing::warn!(error, "the old key could not sign for the new one")).ok()
    }
}

impl Slot {
    pub const fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// Why there is none, where that was found out a moment ago under the same bundles: whoever asks in a loop costs neither a
    /// key nor a question to the issuer each time.
    pub fn failed(&self, now: Timestamp, known: &Known) -> Option<Refusal> {
        let failed = self.failed.as_ref().filter(|failed| (failed.at..failed.again_at).contains(&now))?;
        (failed.seen_under == known.version).then(|| failed.refusal.clone())
    }

    /// Whether to mint now. What does not verify under new bundles is due at once: its root was given up in an emergency. So
    /// is what trust was taken from: it is refused everywhere, and its workload is not to wait for half of its life.
    pub fn is_due(&mut self, now: Timestamp, known: &Known, issuance: &dyn Issuance) -> bool {
        let Some(held) = self.held.as_mut() else { return true };
        if !held.is_revoked && issuance.is_revoked(&held.svid.serial, &held.key_sha256) {
            tracing::warn!(id = %held.svid.spiffe_id, serial = held.svid.serial, "trust was taken from it; renewed at once");
            (held.is_revoked, held.renew_at) = (true, held.renew_at.min(now));
        }
        if held.seen_under != known.version {
            held.seen_under = known.version;
            if let Err(refusal) = known.verify(&held.svid, now) {
                let id = &held.svid.spiffe_id;
                tracing::warn!(%id, serial = held.svid.serial, %refusal, "no longer good under the bundle; renewed at once");
                held.renew_at = held.renew_at.min(now);
            }
        }
        held.renew_at <= now || now < held.since
    }

    /// Takes the outcome of a renewal. A valid certificate outlives a failure, but not a refusal.
    pub fn settle(&mut self, minted: Result<Held, Refusal>, now: Timestamp, seen_under: u64) -> Result<(), Refusal> {
        let refusal = match minted {
            Ok(held) => {
                *self = Self { held: Some(held), failed: None };
                return Ok(());
            }
            Err(refusal) => refusal,
        };
        let held = self.held.as_mut().filter(|held| !refusal.is_final() && held.svid.not_after > now);
        let Some(held) = held else {
            // A refusal is taken back when somebody is registered, which nobody waits for.
            let failed = Failed { refusal: refusal.clone(), at: now, again_at: later(now, pause(0)), seen_under };
            *self = Self { held: None, failed: (!refusal.is_final()).then_some(failed) };
            return Err(refusal);
        };
        let failures = held.failures.fetch_add(1, Ordering::Relaxed);
        (held.renew_at, held.since) = (later(now, pause(failures)), now);
        let valid_until = held.svid.not_after;
        tracing::warn!(error = %refusal, id = %held.svid.spiffe_id, failures = failures.saturating_add(1), %valid_until, "renewal failed");
        Ok(())
    }
}
