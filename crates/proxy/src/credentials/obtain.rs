//! One domain's certificate: kept from before a restart, or minted.

use std::net::IpAddr;

use api::issuance::{KeptGateway, Svid};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use runtime::tls;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use types::{Host, Label, Timestamp};
use zeroize::Zeroizing;

use super::{Basis, CredentialError, Held, Keeper, is_untrusted};

impl Keeper {
    /// What was kept for a restart, while it is in the first half of its life, or while the issuer is away; a new one
    /// otherwise.
    pub(super) async fn obtain(
        &self,
        domain: &Label,
        basis: Basis,
        roots: Vec<Vec<u8>>,
    ) -> Result<Held, CredentialError> {
        let kept = if self.held.contains_key(domain) { None } else { self.issuance.kept_gateway(domain) };
        let now = self.clock.now();
        if let Some(kept) = kept.as_ref().filter(|kept| self.is_young(kept, &basis, now)) {
            return self.hold(kept, basis, roots, true);
        }
        match self.mint(domain).await {
            Ok(minted) => {
                self.issuance.keep_gateway(domain, &minted);
                self.hold(&minted, basis, roots, false)
            }
            Err(error) if error.is_away() => match &kept {
                Some(kept) => self.hold(kept, basis, roots, true),
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn mint(&self, domain: &Label) -> Result<KeptGateway, CredentialError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let csr = CertificateParams::default().serialize_request(&key)?;
        let svid = self
            .issuance
            .mint_gateway(domain, &self.node, csr.der())
            .await
            .map_err(|source| CredentialError::Issuer { domain: domain.clone(), source })?;
        Ok(KeptGateway { svid, key_der: Zeroizing::new(key.serialize_der()) })
    }

    /// Whether a kept certificate is as good as a new one.
    fn is_young(&self, kept: &KeptGateway, basis: &Basis, now: Timestamp) -> bool {
        let left = u128::from(kept.svid.not_after.micros_since(now));
        middle(&kept.svid) > now
            && left <= basis.ttl.as_micros()
            && self.covers(&kept.svid, &basis.hosts)
            && !is_untrusted(&self.trusted, &chain_of(&kept.svid))
    }

    /// Whether the certificate names these hosts. One that this clock does not take yet is taken as it is: its callers
    /// have clocks of their own.
    fn covers(&self, svid: &Svid, hosts: &[Host]) -> bool {
        let chain = chain_of(svid);
        let named = |host: &Host| host.as_str().parse::<IpAddr>().is_ok();
        self.trusted
            .trust()
            .verify(&chain)
            .map_or(true, |peer| hosts.iter().all(|host| named(host) || peer.covers_dns(host)))
    }

    /// A certificate that does not name every host yet is held, and another one is due as soon as something changes.
    fn hold(
        &self,
        gateway: &KeptGateway,
        mut basis: Basis,
        roots: Vec<Vec<u8>>,
        is_kept: bool,
    ) -> Result<Held, CredentialError> {
        let svid = &gateway.svid;
        if !self.covers(svid, &basis.hosts) {
            basis.hosts.clear();
        }
        let renew_at = if is_kept { middle(svid) } else { half_life(svid, self.clock.now()) };
        let chain = chain_of(svid);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(gateway.key_der.to_vec()));
        let configs = tls::server_configs(chain.clone(), key, self.trusted.trust())?;
        let name = (svid.spiffe_id.clone(), svid.serial.clone());
        Ok(Held { name, chain, configs, not_after: svid.not_after, renew_at, failures: 0, basis, roots })
    }
}

fn chain_of(svid: &Svid) -> Vec<CertificateDer<'static>> {
    svid.chain_der.iter().cloned().map(CertificateDer::from).collect()
}

fn half_life(svid: &Svid, now: Timestamp) -> Timestamp {
    Timestamp::from_micros(now.micros() + svid.not_after.micros_since(now) / 2)
}

/// The middle of its life.
fn middle(svid: &Svid) -> Timestamp {
    Timestamp::from_micros(svid.not_before.micros().midpoint(svid.not_after.micros()))
}
