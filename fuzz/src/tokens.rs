//! Signed tokens, and the keys that they are held against.

use std::sync::OnceLock;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use identity::{Bundle, BundleSet};
use jose::{Algorithm, JwkSet, Key};
use types::{SpiffeId, Timestamp, TrustDomain};

use crate::text;

const DOMAIN: &str = "finance.acme.internal";
const ID: &str = "spiffe://finance.acme.internal/payments";
const AUDIENCE: &str = "https://ledger.acme.internal";
/// 2026-11-23, a Monday.
pub const NOW: u64 = 1_795_425_242;

/// DER before the point of a key on the curve P-256 (RFC 5480 section 2).
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A domain with one key and one token. Both are new in each process.
struct Domain {
    bundle: Bundle,
    bundles: BundleSet,
    spki: Vec<u8>,
    token: String,
}

fn domain() -> Option<&'static Domain> {
    static MADE: OnceLock<Option<Domain>> = OnceLock::new();
    MADE.get_or_init(make).as_ref()
}

fn make() -> Option<Domain> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?;
    let spki = [&P256_SPKI[..], key.public_key().as_ref()].concat();
    let name = TrustDomain::parse(DOMAIN).ok()?;
    let root = crate::x509::bundle_pem_seeds().into_iter().next()?;
    let bundle = Bundle::new(name, vec![root], vec![("a".to_owned(), spki.clone())]).ok()?;
    let sign = |input: &[u8]| key.sign(&SystemRandom::new(), input).map(|signature| signature.as_ref().to_vec());
    let id = SpiffeId::parse(ID).ok()?;
    let (from, to) = (Timestamp::from_seconds(NOW), Timestamp::from_seconds(NOW + 300));
    let token = identity::jwt_svid::encode("a", Algorithm::Es256, &id, &[AUDIENCE.to_owned()], from, to, sign).ok()?;
    let bundles = [bundle.clone()].into_iter().collect();
    Some(Domain { bundle, bundles, spki, token })
}

/// No token but the one that was signed is believed, however little is changed.
pub fn jwt_svid(data: &[u8]) {
    let Some(domain) = domain() else { return };
    let now = Timestamp::from_seconds(NOW);
    if let Ok(verified) = identity::verify_jwt_svid(text(data), AUDIENCE, &domain.bundles, now) {
        assert_eq!(text(data), domain.token, "a token that nobody signed was believed");
        assert_eq!(verified.spiffe_id().as_str(), ID);
    }
    let findings = identity::examine_jwt_svid(text(data), AUDIENCE, &domain.bundles, now);
    assert_eq!(findings.is_empty(), text(data) == domain.token, "examining and verifying do not agree");
}

pub fn jwt_svid_seeds() -> Vec<Vec<u8>> {
    domain().into_iter().map(|domain| domain.token.clone().into_bytes()).collect()
}

/// What is accepted as a bundle is written again and read as the same.
pub fn bundle_document(data: &[u8]) {
    let Ok(name) = TrustDomain::parse(DOMAIN) else { return };
    let Ok(read) = Bundle::from_document(name.clone(), text(data)) else { return };
    let Ok(written) = identity::document(&read.bundle, 1, Duration::from_secs(300)) else { return };
    let again = Bundle::from_document(name, &written).map(|again| again.bundle.roots().map(<[u8]>::to_vec).collect());
    let roots: Vec<Vec<u8>> = read.bundle.roots().map(<[u8]>::to_vec).collect();
    assert_eq!(again.ok(), Some(roots));
}

pub fn bundle_document_seeds() -> Vec<Vec<u8>> {
    let written = |domain: &Domain| identity::document(&domain.bundle, 7, Duration::from_secs(300)).ok();
    domain().and_then(written).into_iter().map(String::into_bytes).collect()
}

/// The JWT keys of the domain as a JWK Set.
pub fn jwks() -> Vec<u8> {
    domain().map(|domain| identity::jwt_document(&domain.bundle).into_bytes()).unwrap_or_default()
}

/// Several bundles in one document.
pub fn bundle_map(data: &[u8]) {
    let _ = identity::read_bundle_map(text(data));
}

pub fn bundle_map_seeds() -> Vec<Vec<u8>> {
    let map = |bundle: Vec<u8>| {
        let bundle = String::from_utf8(bundle).unwrap_or_default();
        format!("{{\"trust_domains\":{{\"{DOMAIN}\":{bundle}}}}}").into_bytes()
    };
    bundle_document_seeds().into_iter().map(map).collect()
}

/// Keys of a set are public and whole.
pub fn jwk_set(data: &[u8]) {
    let Ok(set) = JwkSet::parse(text(data)) else { return };
    for key in set.keys() {
        if let Ok(key) = key.key() {
            assert!(Key::from_spki(key.spki_der()).is_ok());
        }
    }
}

/// A public key as certificates hold it; what it signs is checked without a panic.
pub fn public_key(data: &[u8]) {
    if let Ok(key) = Key::from_spki(data) {
        for algorithm in key.algorithms() {
            assert!(key.verify(algorithm, b"message", data).is_err(), "a key signed itself");
        }
    }
}

pub fn public_key_seeds() -> Vec<Vec<u8>> {
    domain().into_iter().map(|domain| domain.spki.clone()).collect()
}
