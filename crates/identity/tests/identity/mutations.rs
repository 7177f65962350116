//! Bytes from outside never panic, and a changed certificate never passes for the original.

use countersign_identity::{
    Bundle, BundleSet, NODE_OID, PREDECESSORS_OID, Predecessor, VIA_OID, check_key, examine, node_value,
    predecessors_value, verify,
};
use jose::Algorithm;
use proptest::collection::vec;
use proptest::prelude::*;
use rustls_pki_types::CertificateDer;
use testkit::{Authority, LeafPlan, ManualClock};
use types::{Clock as _, Timestamp, TrustDomain};

use crate::js::Tokens;
use crate::support::World;

struct Original {
    now: Timestamp,
    bundles: BundleSet,
    chain: Vec<Vec<u8>>,
    root: Vec<u8>,
}

fn predecessor(serial: &str) -> Predecessor {
    let until = ManualClock::default().now();
    Predecessor { certificate_sha256: [1; 32], key_sha256: [2; 32], serial: serial.to_owned(), until }
}

fn original() -> Original {
    let now = ManualClock::default().now();
    let root = Authority::of("example.org", now);
    let plan = LeafPlan { common_name: Some("intermediate".into()), ..LeafPlan::authority("example.org", now) };
    let leaf = LeafPlan {
        dns: vec!["a.example.org".into()],
        extensions: vec![
            (NODE_OID.to_vec(), false, node_value("vm-1").unwrap()),
            (
                PREDECESSORS_OID.to_vec(),
                false,
                predecessors_value(&[predecessor("9c1e01"), predecessor("7f")]).unwrap(),
            ),
        ],
        ..LeafPlan::svid("spiffe://example.org/a", now)
    };
    let domain = TrustDomain::parse("example.org").unwrap();
    let bundles = [Bundle::from_der(domain, vec![root.der().to_vec()]).unwrap()].into_iter().collect();
    Original { now, bundles, chain: root.intermediate(&plan).issue(&leaf).chain, root: root.der().to_vec() }
}

/// Replaces, removes or inserts bytes at positions given as fractions of the length.
pub fn mutate(bytes: &[u8], edits: &[(u16, u8, u8)]) -> Vec<u8> {
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
        let found = examine(&der(&chain), &original.bundles, original.now);
        prop_assert!(!(changed && outcome.is_ok()));
        prop_assert_eq!(outcome.as_ref().err(), found.first());
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
        let _ = Bundle::from_document(domain.clone(), &text);
        let _ = Bundle::from_pem(domain.clone(), &text);
        let _ = check_key(&noise);
        let _ = verify(&[CertificateDer::from(noise)], &original.bundles, original.now);
    });
}

#[test]
fn mutated_tokens_never_panic_and_never_pass() {
    let world = Tokens::new(Algorithm::Es256);
    let token = world.good();
    assert!(world.verify(&token).is_ok());
    proptest!(ProptestConfig::with_cases(4000), |(edits in vec(any::<(u16, u8, u8)>(), 1..4), noise in ".{0,300}")| {
        let changed = String::from_utf8_lossy(&mutate(token.as_bytes(), &edits)).into_owned();
        let is_other = changed != token;
        prop_assert!(!(is_other && world.verify(&changed).is_ok()), "{}", changed);
        prop_assert!(world.verify(&noise).is_err());
    });
}

/// The parts of good tokens under one key, mixed: each signature is good for its own token only.
#[test]
fn parts_of_good_tokens_do_not_mix() {
    let world = Tokens::new(Algorithm::Es256);
    let claims = |sub: &str| Tokens::claims(serde_json::json!({ "sub": sub }));
    let header = world.signer.header(serde_json::json!({}));
    let one = world.signer.token(&header, &claims("spiffe://finance.acme.internal/a"));
    let two = world.signer.token(&header, &claims("spiffe://finance.acme.internal/b"));
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (one, two) = (parts(&one), parts(&two));
    assert!(world.verify(&one.join(".")).is_ok() && world.verify(&two.join(".")).is_ok());
    assert!(world.verify(&[&one[0], &two[1], &one[2]].map(String::as_str).join(".")).is_err());
}

/// Whatever an issuer writes into our extensions is read as exactly that, or the certificate is refused.
#[test]
fn any_bytes_in_private_extensions_are_what_they_say_or_refused() {
    let world = World::new();
    let good = predecessors_value(&[predecessor("9c1e01")]).unwrap();
    let node = node_value("vm-1").unwrap();
    let strategy = (0..3_usize, any::<bool>(), vec(any::<(u16, u8, u8)>(), 0..3), vec(any::<u8>(), 0..40));
    proptest!(ProptestConfig::with_cases(150), |((which, is_noise, edits, noise) in strategy)| {
        let oid = [NODE_OID, VIA_OID, PREDECESSORS_OID][which];
        let usual = if which == 2 { &good } else { &node };
        let value = if is_noise { noise } else { mutate(usual, &edits) };
        let plan = LeafPlan { extensions: vec![(oid.to_vec(), false, value.clone())], ..world.plan() };
        if let Ok(peer) = world.verify(&world.root.issue(&plan)) {
            let again = match which {
                0 => node_value(peer.node().unwrap()),
                1 => node_value(peer.via().unwrap()),
                _ => predecessors_value(peer.predecessors()),
            };
            prop_assert_eq!(again, Some(value));
        }
    });
}
