//! What a trust domain rests on, for operators and for whoever fetches our bundles.

use std::time::Duration;

use api::admin::{Bundle, Failure, FailureCode};
use api::issuance::Bundles;
use types::{Label, TrustDomain};

use crate::acts::with_causes;
use crate::pem;
use crate::service::Control;

/// How often whoever takes documents from operators should look again.
const REFRESH_HINT: Duration = Duration::from_secs(300); // tidy: what federation endpoints commonly say
/// Bundles that change while they are numbered are looked at so often.
const ATTEMPTS: usize = 10; // tidy: a step of a rotation takes longer than a look

impl Control {
    /// See [`api::admin::Admin::bundle`].
    pub(crate) fn bundle_of(&self, name: &str) -> Result<Bundle, Failure> {
        let ours = format!("{name}.{}", self.parts.revision.load().model().organisation);
        let bundles = self.parts.issuance.bundles();
        let found = bundles.roots.iter().find(|(domain, _)| domain.as_str() == ours || domain.as_str() == name);
        let Some((domain, roots)) = found else { return Err(self.no_such_bundle(name)) };
        let document = self.bundle_document(domain)?;
        Ok(Bundle { trust_domain: domain.to_string(), roots: pem::certificates(roots), document })
    }

    fn no_such_bundle(&self, name: &str) -> Failure {
        let known: Vec<String> = self.parts.revision.load().domains().keys().map(Label::to_string).collect();
        let shown: String = name.chars().take(80).collect();
        let hint = format!("the domains are {}", known.join(", "));
        Failure::new(FailureCode::NotFound, format!("there is no domain `{shown}`"), hint)
    }

    /// The SPIFFE bundle document of a trust domain: what the issuer holds at this moment, under a number that grows with
    /// every change of any bundle.
    ///
    /// # Errors
    /// [`Failure`] when there is no such trust domain, or the number cannot be kept.
    pub(crate) fn bundle_document(&self, domain: &TrustDomain) -> Result<String, Failure> {
        let unavailable = |why: String| Failure::new(FailureCode::Unavailable, why, "see `countersign doctor`");
        let (number, bundles) = self.numbered_bundles().map_err(unavailable)?;
        let roots = bundles.roots.get(domain).cloned().ok_or_else(|| self.no_such_bundle(domain.as_str()))?;
        let keys = bundles.jwt_keys.get(domain).cloned().unwrap_or_default();
        let keys = keys.into_iter().map(|key| (key.kid, key.spki_der)).collect();
        let bundle = identity::Bundle::new(domain.clone(), roots, keys)
            .map_err(|error| unavailable(format!("the bundle of {domain} is not sound: {}", with_causes(&error))))?;
        let hint = self.bundle_refresh_hint().unwrap_or(REFRESH_HINT);
        identity::document(&bundle, number, hint).map_err(|error| unavailable(with_causes(&error)))
    }

    /// What the issuer holds, with the number of just that: another number would let a document change under its own.
    fn numbered_bundles(&self) -> Result<(u64, Bundles), String> {
        for _ in 0..ATTEMPTS {
            let bundles = self.parts.issuance.bundles();
            let number = self.bundles_told()?;
            if self.parts.issuance.bundles().generation == bundles.generation {
                return Ok((number, bundles));
            }
        }
        Err("the bundles change all the time; look again".to_owned())
    }
}
