//! The gateway's certificates on the disk: with them a gateway starts while control is away.

use api::{issuance::KeptGateway, wire::MintResponse};
use prost::Message;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use types::Label;
use zeroize::Zeroizing;

use super::{
    issuance::{WireIssuance, svid},
    shelf::Shelf,
};

/// A gateway's identity as it lies on the disk.
#[derive(Clone, PartialEq, Message)]
struct OnDisk {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    certificate: Option<MintResponse>,
}

impl WireIssuance {
    pub(super) fn read_gateway(&self, domain: &Label) -> Option<KeptGateway> {
        let shelf = self.shelf.as_ref()?;
        let name = Shelf::gateway(domain.as_str());
        let content = Zeroizing::new(shelf.read(&name)?);
        self.check(domain, &content)
            // it is overwritten by the next one, and may be good under another clock or other bundles
            .inspect_err(|why| tracing::warn!(%domain, why, "the gateway's certificate that was kept cannot be used"))
            .ok()
    }

    /// The chain is good now, is that of this gateway, and belongs to the key.
    fn check(&self, domain: &Label, content: &[u8]) -> Result<KeptGateway, String> {
        let read = OnDisk::decode(content).map_err(|_| "it cannot be read".to_owned())?;
        let key_der = Zeroizing::new(read.key);
        let svid = svid(read.certificate.unwrap_or_default()).map_err(|error| error.to_string())?;
        let bundles = self.bundles.load();
        let set = bundles.as_ref().map(|bundles| &bundles.1).ok_or("there are no bundles")?;
        let chain: Vec<_> = svid.chain_der.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let peer = identity::verify(&chain, set, self.clock.now()).map_err(|refusal| refusal.to_string())?;
        let is_own = peer.spiffe_id().path() == format!("/_gateway/{}", self.name)
            && peer.spiffe_id().trust_domain().as_str().split('.').next() == Some(domain.as_str());
        if !is_own || *peer.spiffe_id() != svid.spiffe_id {
            return Err(format!("it is the identity of `{}`", peer.spiffe_id()));
        }
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key_der.as_slice())).clone_key();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        rustls::sign::CertifiedKey::from_der(chain, key, &provider).map_err(|error| error.to_string())?;
        Ok(KeptGateway { svid, key_der })
    }

    pub(super) fn write_gateway(&self, domain: &Label, gateway: &KeptGateway) {
        let Some(shelf) = &self.shelf else { return };
        let certificate = MintResponse {
            spiffe_id: gateway.svid.spiffe_id.as_str().to_owned(),
            chain: gateway.svid.chain_der.clone(),
            not_before: gateway.svid.not_before.micros(),
            not_after: gateway.svid.not_after.micros(),
            serial: gateway.svid.serial.clone(),
        };
        let mut content = OnDisk { key: gateway.key_der.to_vec(), certificate: Some(certificate) };
        let encoded = Zeroizing::new(content.encode_to_vec());
        drop(Zeroizing::new(core::mem::take(&mut content.key)));
        if let Err(error) = shelf.keep(&Shelf::gateway(domain.as_str()), &encoded) {
            tracing::warn!(%domain, %error, "a gateway's certificate could not be kept for the next start");
        }
    }
}
