//! The bundles of the moment, read once for everybody, and what is good under them.

use std::sync::{Arc, Mutex, PoisonError};

use api::issuance::{Bundles, Issuance, JwtSvid, Svid};
use identity::{Bundle, BundleSet, SvidRefusal, VerifiedPeer, verify_jwt_svid};
use rustls_pki_types::CertificateDer;
use types::{Timestamp, TrustDomain};

/// The bundles that the issuer gives.
pub(crate) struct Trust {
    issuance: Arc<dyn Issuance>,
    known: Mutex<Arc<Known>>,
}

/// The bundles at one moment.
pub(crate) struct Known {
    /// Counts changes of the content.
    pub version: u64,
    pub bundles: Bundles,
    pub set: BundleSet,
}

impl Trust {
    pub fn new(issuance: Arc<dyn Issuance>) -> Self {
        let known = Known::new(1, issuance.bundles());
        Self { issuance, known: Mutex::new(Arc::new(known)) }
    }

    /// What is known now.
    pub fn now(&self) -> Arc<Known> {
        let bundles = self.issuance.bundles();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.bundles != bundles {
            *known = Arc::new(Known::new(known.version.saturating_add(1), bundles));
        }
        Arc::clone(&known)
    }
}

impl Known {
    fn new(version: u64, bundles: Bundles) -> Self {
        let domains = bundles.roots.keys().chain(bundles.jwt_keys.keys().filter(|id| !bundles.roots.contains_key(*id)));
        let set = domains.filter_map(|domain| bundle(&bundles, domain)).collect();
        Self { version, bundles, set }
    }

    /// Verifies what was issued for a workload. A clock that is wrong here must not make it look wrong, so that the moment
    /// is `now` where the certificate is valid then, and else the nearest at which it is.
    pub fn verify(&self, svid: &Svid, now: Timestamp) -> Result<VerifiedPeer, SvidRefusal> {
        let chain: Vec<_> = svid.chain_der.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        identity::verify(&chain, &self.set, within(svid.not_before, svid.not_after, now))
    }

    /// As [`Self::verify`] for a token, for each of its audiences.
    pub fn verify_jwt(&self, svid: &JwtSvid, audience: &[String], now: Timestamp) -> Result<(), String> {
        let moment = within(svid.issued_at, svid.not_after, now);
        for audience in audience {
            let verified = verify_jwt_svid(&svid.token, audience, &self.set, moment);
            let verified = verified.map_err(|refusal| refusal.to_string())?;
            if *verified.spiffe_id() != svid.spiffe_id {
                return Err("it is for another name".to_owned());
            }
        }
        Ok(())
    }
}

/// The moment of a span that is nearest to `now`; a second before its end at most.
fn within(start: Timestamp, end: Timestamp, now: Timestamp) -> Timestamp {
    now.min(Timestamp::from_micros(end.micros().saturating_sub(1_000_000))).max(start)
}

fn bundle(bundles: &Bundles, domain: &TrustDomain) -> Option<Bundle> {
    let roots = bundles.roots.get(domain).cloned().unwrap_or_default();
    let keys = bundles.jwt_keys.get(domain).into_iter().flatten();
    let keys = keys.map(|key| (key.kid.clone(), key.spki_der.clone())).collect();
    let made = Bundle::new(domain.clone(), roots, keys);
    made.map(|bundle| if bundles.federated.contains(domain) { bundle.federated() } else { bundle })
        .inspect_err(
            |error| tracing::warn!(%domain, %error, "a bundle cannot be used; nothing of that domain is good here"),
        )
        .ok()
}
