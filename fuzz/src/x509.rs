//! Certificates and the bundles that they are held against.

use std::sync::OnceLock;

use identity::{Bundle, BundleSet};
use rustls_pki_types::CertificateDer;
use testkit::{Authority, LeafPlan};
use types::{SpiffeId, Timestamp, TrustDomain};

use crate::text;

const DOMAIN: &str = "finance.acme.internal";
const ID: &str = "spiffe://finance.acme.internal/payments";

/// One authority with what it issued: its keys are new in each process, so that a corpus of another day starts again.
struct Domain {
    bundles: BundleSet,
    leaf: Vec<u8>,
    root: Vec<u8>,
    now: Timestamp,
}

fn domain() -> &'static Domain {
    static DOMAIN_OF_ALL: OnceLock<Domain> = OnceLock::new();
    DOMAIN_OF_ALL.get_or_init(|| {
        let now = Timestamp::from_seconds(1_795_425_242);
        let authority = Authority::of(DOMAIN, now);
        let leaf = authority.issue(&LeafPlan::svid(ID, now)).chain.swap_remove(0);
        let root = authority.der().to_vec();
        let bundle = TrustDomain::parse(DOMAIN).ok().and_then(|name| Bundle::from_der(name, vec![root.clone()]).ok());
        Domain { bundles: bundle.into_iter().collect(), leaf, root, now }
    })
}

/// No chain but those that the authority signed is believed: a certificate with any byte changed never verifies.
pub fn svid(data: &[u8]) {
    let domain = domain();
    let chain = [CertificateDer::from(data)];
    if let Ok(peer) = identity::verify(&chain, &domain.bundles, domain.now) {
        assert!(data == domain.leaf, "a certificate that nobody signed was believed");
        assert_eq!(peer.spiffe_id().as_str(), ID);
    }
}

pub fn svid_seeds() -> Vec<Vec<u8>> {
    vec![domain().leaf.clone(), domain().root.clone()]
}

/// Whatever is accepted as a bundle has roots that are authorities.
pub fn bundle_pem(data: &[u8]) {
    let Ok(name) = TrustDomain::parse(DOMAIN) else { return };
    let _ = Bundle::from_pem(name.clone(), text(data));
    if let Ok(bundle) = Bundle::from_der(name, vec![data.to_vec()]) {
        assert_eq!(bundle.roots().count(), 1);
    }
    let _ = SpiffeId::parse(text(data));
}

pub fn bundle_pem_seeds() -> Vec<Vec<u8>> {
    vec![domain().root.clone(), domain().leaf.clone()]
}
