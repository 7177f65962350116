//! Bytes from outside never panic, and a changed certificate never passes for the original.

use countersign_identity::{Bundle, BundleSet, check_key, verify};
use proptest::collection::vec;
use proptest::prelude::*;
use rustls_pki_types::CertificateDer;
use testkit::{Authority, LeafPlan, ManualClock};
use types::{Clock as _, Timestamp, TrustDomain};

struct Original {
    now: Timestamp,
    bundles: BundleSet,
    chain: Vec<Vec<u8>>,
    root: Vec<u8>,
}

fn original() -> Original {
    let now = ManualClock::default().now();
    let root = Authority::of("example.org", now);
    let plan = LeafPlan { common_name: Some("intermediate".into()), ..LeafPlan::authority("example.org", now) };
    let leaf = LeafPlan { dns: vec!["a.example.org".into()], ..LeafPlan::svid("spiffe://example.org/a", now) };
    let domain = TrustDomain::parse("example.org").unwrap();
    let bundles = [Bundle::from_der(domain, vec![root.der().to_vec()]).unwrap()].into_iter().collect();
    Original { now, bundles, chain: root.intermediate(&plan).issue(&leaf).chain, root: root.der().to_vec() }
}

/// Replaces, removes or inserts bytes at positions given as fractions of the length.
fn mutate(bytes: &[u8], edits: &[(u16, u8, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (position, kind, value) in edits {
        let at = usize::from(*position) * bytes.len() / 65_536;
        match kind % 4 {
            0 => bytes[at] = *value,
            1 => bytes[at] ^= 1 << (value % 8),
            2 if bytes.len() > 1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, *value),
        }
    }
    bytes
}

#[test]
fn mutated_chains_never_panic_and_never_pass() {
    let original = original();
    let der = |chain: &[Vec<u8>]| -> Vec<CertificateDer<'static>> {
        chain.iter().map(|der| CertificateDer::from(der.clone())).collect()
    };
    assert!(verify(&der(&original.chain), &original.bundles, original.now).is_ok());
    proptest!(ProptestConfig::with_cases(4000), |(which in 0..2_usize, edits in vec(any::<(u16, u8, u8)>(), 1..6))| {
        let mut chain = original.chain.clone();
        chain[which] = mutate(&chain[which], &edits);
        let changed = chain != original.chain;
        let outcome = verify(&der(&chain), &original.bundles, original.now);
        prop_assert!(!(changed && outcome.is_ok()));
    });
}

#[test]
fn mutated_roots_and_documents_never_panic() {
    let original = original();
    let domain = TrustDomain::parse("example.org").unwrap();
    let document = format!(r#"{{"keys":[{{"kty":"EC","use":"x509-svid","x5c":["{}"]}}],"spiffe_sequence":1}}"#, {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(&original.root)
    });
    proptest!(ProptestConfig::with_cases(2000), |(edits in vec(any::<(u16, u8, u8)>(), 1..6), noise in vec(any::<u8>(), 0..200))| {
        let _ = Bundle::from_der(domain.clone(), vec![mutate(&original.root, &edits)]);
        let text = String::from_utf8_lossy(&mutate(document.as_bytes(), &edits)).into_owned();
        let _ = Bundle::from_jwks(domain.clone(), &text);
        let _ = Bundle::from_pem(domain.clone(), &text);
        let _ = check_key(&noise);
        let _ = verify(&[CertificateDer::from(noise)], &original.bundles, original.now);
    });
}
