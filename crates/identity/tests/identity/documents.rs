//! Bundle documents and bundle maps, MUST by MUST: BU-1 to BU-4, XS-7, JS-5. BU-5 to BU-8 are about fetching.

use core::time::Duration;

use countersign_identity::{Bundle, BundleError, Document, document, jwt_document, read_bundle_map};
use jose::Algorithm;
use proptest::prelude::*;
use serde_json::{Value, json};
use testkit::{Authority, LeafPlan};

use crate::mutations::mutate;
use crate::support::{DOMAIN, Signer, changed, domain, now};

fn read(text: &str) -> Result<Document, BundleError> {
    Bundle::from_document(domain(DOMAIN), text)
}

fn keys(text: &str) -> (usize, Vec<String>) {
    let bundle = read(text).unwrap().bundle;
    (bundle.roots().count(), bundle.jwt_keys().map(|(kid, _)| kid.to_owned()).collect())
}

fn x5c() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(Authority::of(DOMAIN, now()).der())
}

fn jwk(signer: &Signer, changes: Value) -> Value {
    let jwk = jose::Key::from_spki(&signer.spki()).unwrap().to_jwk(Some(signer.kid), "jwt-svid");
    serde_json::from_str(&changed(Value::Object(jwk), changes)).unwrap()
}

fn with(entries: &[Value]) -> String {
    json!({ "keys": entries }).to_string()
}

#[test]
fn bu_1_keys_is_required_and_a_list_of_objects() {
    for bad in ["{}", r#"{"keys":{}}"#, r#"{"keys":null}"#, r#"{"keys":[7]}"#, "[]", "", "{", r#"{"keys":[]} x"#] {
        assert!(matches!(read(bad), Err(BundleError::Document(_))), "{bad}");
    }
    assert_eq!(keys(r#"{"keys":[]}"#), (0, vec![]));
}

#[test]
fn bu_1_unknown_kinds_and_uses_are_passed_over() {
    let signer = Signer::new("k1", Algorithm::Es256);
    let (root, good) = (x5c(), jwk(&signer, json!({})));
    assert_eq!(keys(&with(&[json!({ "kty": "EC", "use": "x509-svid", "x5c": [root] }), good])), (1, vec!["k1".into()]));
    for passed_over in [
        json!({ "kty": "new", "use": "x509-svid", "x5c": [root] }),
        json!({ "kty": "EC", "use": "X509-SVID", "x5c": [root] }),
        json!({ "kty": "EC", "x5c": [root] }),
        json!({ "use": "x509-svid", "x5c": [root] }),
        json!({ "kty": "EC", "use": "wit-svid", "kid": "w", "crv": "P-256", "x": "?", "y": 7 }),
        jwk(&signer, json!({ "use": "JWT-SVID" })),
        jwk(&signer, json!({ "use": null })),
        jwk(&signer, json!({ "kty": "AKP" })),
        jwk(&signer, json!({ "crv": "secp256k1" })),
        jwk(&signer, json!({ "alg": "ES256K" })),
        jwk(&signer, json!({ "key_ops": ["encrypt"] })),
        json!({ "kty": "OKP", "crv": "X25519", "use": "jwt-svid", "kid": "x", "x": "AAAA" }),
    ] {
        assert_eq!(keys(&with(std::slice::from_ref(&passed_over))), (0, vec![]), "{passed_over}");
    }
}

#[test]
fn bu_1_secrets_and_broken_keys_refuse_the_whole_document() {
    let signer = Signer::new("k1", Algorithm::Es256);
    for broken in [
        json!({ "kty": "oct", "use": "jwt-svid", "kid": "k", "k": "AAAA" }),
        jwk(&signer, json!({ "d": "AAAA" })),
        jwk(&signer, json!({ "x": "AAAA" })),
        jwk(&signer, json!({ "y": jwk(&signer, json!({}))["x"] })),
        jwk(&signer, json!({ "kid": 7 })),
        jwk(&signer, json!({ "alg": "ES384" })),
        jwk(&signer, json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" })),
        json!({ "kty": "EC", "use": "x509-svid", "x5c": ["%%"] }),
        json!({ "kty": "EC", "use": "x509-svid", "x5c": ["AAAA"] }),
        json!({ "kty": "EC", "use": "x509-svid", "x5c": [7] }),
        json!({ "kty": "EC", "use": "x509-svid", "x5c": x5c() }),
    ] {
        assert!(read(&with(std::slice::from_ref(&broken))).is_err(), "{broken}");
    }
    let ed25519 = json!({ "kty": "OKP", "crv": "Ed25519", "use": "jwt-svid", "kid": "e", "x": "A".repeat(43) });
    assert!(matches!(read(&with(&[ed25519])), Err(BundleError::JwtKey { rule: "JS-1", .. })));
}

#[test]
fn bu_1_repeated_members_are_refused_anywhere() {
    for twice in [
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":[{"kty":"EC","kty":"RSA","use":"x509-svid"}]}"#,
        r#"{"keys":[],"x":{"a":1,"a":1}}"#,
        r#"{"keys":[],"spiffe_sequence":1,"spiffe_sequence":2}"#,
    ] {
        assert!(read(twice).unwrap_err().to_string().contains("repeats"), "{twice}");
    }
}

#[test]
fn bu_2_an_empty_or_unusable_set_is_valid_and_holds_nothing() {
    for empty in [with(&[]), with(&[json!({ "kty": "new" })]), with(&[json!({ "kty": "EC", "use": "x509-svid" })])] {
        assert!(read(&empty).unwrap().bundle.is_empty(), "{empty}");
    }
}

#[test]
fn bu_3_the_sequence_has_64_bits_and_never_goes_back() {
    let of = |sequence: &str| read(&format!(r#"{{"keys":[],"spiffe_sequence":{sequence}}}"#));
    assert_eq!(of("18446744073709551615").unwrap().sequence, Some(u64::MAX));
    for bad in ["18446744073709551616", "-1", "1.0", "1e3", "\"7\"", "null"] {
        assert!(of(bad).is_err(), "{bad}");
    }
    let seven = of("7").unwrap();
    for fine in [None, Some(0), Some(6), Some(7)] {
        assert_eq!(seven.check_follows(fine), Ok(()), "{fine:?}");
    }
    assert_eq!(seven.check_follows(Some(8)), Err(BundleError::GoesBack { held: 8, offered: 7 }));
    assert_eq!(read(r#"{"keys":[]}"#).unwrap().check_follows(Some(8)), Ok(()), "without a number nothing says so");
}

#[test]
fn bu_3_the_refresh_hint_is_whole_seconds_within_bounds() {
    let of = |hint: &str| read(&format!(r#"{{"keys":[],"spiffe_refresh_hint":{hint}}}"#));
    for (hint, seconds) in [("0", 10), ("10", 10), ("60", 60), ("86400", 86_400), ("99999999999999", 86_400)] {
        assert_eq!(of(hint).unwrap().refresh_hint, Some(Duration::from_secs(seconds)), "{hint}");
    }
    for bad in ["-1", "60.5", "\"60\"", "null"] {
        assert!(of(bad).is_err(), "{bad}");
    }
    let without = read(r#"{"keys":[]}"#).unwrap();
    assert_eq!((without.refresh_hint, without.refresh_after()), (None, Duration::from_secs(300)));
    assert_eq!(of("60").unwrap().refresh_after(), Duration::from_secs(60));
}

#[test]
fn bu_4_a_map_keeps_its_bundles_apart() {
    let (one, two) = (Signer::new("k1", Algorithm::Es256), Signer::new("k1", Algorithm::Es256));
    let bundle = |signer: &Signer| json!({ "keys": [jwk(signer, json!({}))], "spiffe_sequence": 3 });
    let map = json!({ "trust_domains": { "a.example": bundle(&one), "b.example": bundle(&two) } }).to_string();
    let read = read_bundle_map(&map).unwrap();
    assert_eq!(read.len(), 2);
    for (name, signer) in [("a.example", &one), ("b.example", &two)] {
        let found = &read[&domain(name)];
        assert_eq!((found.bundle.trust_domain().as_str(), found.sequence), (name, Some(3)));
        assert_eq!(found.bundle.jwt_keys().collect::<Vec<_>>(), [("k1", signer.spki().as_slice())]);
    }
}

#[test]
fn bu_4_a_map_that_names_a_domain_twice_or_holds_anything_broken_is_refused_whole() {
    for bad in [
        r#"{"trust_domains":{"a":{"keys":[]},"a":{"keys":[]}}}"#,
        r#"{"trust_domains":{"a":{"keys":[]},"B":{"keys":[]}}}"#,
        r#"{"trust_domains":{"a":{"keys":[]},"b":{}}}"#,
        r#"{"trust_domains":{"a":[]}}"#,
        r#"{"trust_domains":[]}"#,
        r#"{"keys":[]}"#,
        "",
    ] {
        assert!(read_bundle_map(bad).is_err(), "{bad}");
    }
    assert_eq!(read_bundle_map(r#"{"trust_domains":{}}"#).unwrap().len(), 0);
}

#[test]
fn xs_7_consuming_no_certificate_is_passed_over_and_the_first_of_several_counts() {
    let entry = |x5c: Value| with(&[json!({ "kty": "EC", "use": "x509-svid", "x5c": x5c })]);
    let (one, other) = (x5c(), x5c());
    assert_eq!(keys(&with(&[json!({ "kty": "EC", "use": "x509-svid" })])).0, 0);
    assert_eq!(keys(&entry(json!([]))).0, 0);
    let alone = read(&entry(json!([one]))).unwrap().bundle;
    for several in [json!([one, other]), json!([one, "not even base64"])] {
        let several = read(&entry(several)).unwrap().bundle;
        assert_eq!(several.roots().collect::<Vec<_>>(), alone.roots().collect::<Vec<_>>());
    }
    let twice = json!({ "kty": "EC", "use": "x509-svid", "x5c": [one] });
    assert_eq!(keys(&with(&[twice.clone(), twice])).0, 1);
}

fn own_bundle() -> Bundle {
    let roots = [
        LeafPlan::authority(DOMAIN, now()),
        LeafPlan { algorithm: &rcgen::PKCS_ECDSA_P384_SHA384, ..LeafPlan::authority(DOMAIN, now()) },
        LeafPlan { algorithm: &rcgen::PKCS_RSA_SHA256, ..LeafPlan::authority(DOMAIN, now()) },
    ];
    let roots = roots.iter().map(|plan| Authority::root(plan).der().to_vec()).collect();
    let keys = [Algorithm::Es256, Algorithm::Es384, Algorithm::Rs256];
    let keys = ["k1", "k2", "k3"].into_iter().zip(keys).map(|(kid, algorithm)| Signer::new(kid, algorithm).published());
    Bundle::new(domain(DOMAIN), roots, keys.collect()).unwrap()
}

#[test]
fn xs_7_and_js_5_published_roots_have_one_certificate_and_no_id_and_jwt_keys_have_one() {
    let bundle = own_bundle();
    let text = document(&bundle, 7, Duration::from_secs(300)).unwrap();
    assert_eq!(text, document(&bundle, 7, Duration::from_secs(300)).unwrap(), "the same text each time");
    let written: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&written["spiffe_sequence"], &written["spiffe_refresh_hint"]), (&json!(7), &json!(300)));
    let of = |usage: &'static str| {
        written["keys"].as_array().unwrap().iter().filter(move |key| key["use"] == usage).collect::<Vec<_>>()
    };
    let (roots, jwt) = (of("x509-svid"), of("jwt-svid"));
    assert_eq!((roots.len(), jwt.len()), (3, 3));
    for root in roots {
        assert!(root.get("kid").is_none() && root["x5c"].as_array().unwrap().len() == 1, "{root}");
        assert!(root.get("n").is_some() || (root.get("x").is_some() && root.get("y").is_some()), "{root}");
    }
    assert_eq!(jwt.iter().map(|key| key["kid"].as_str().unwrap()).collect::<Vec<_>>(), ["k1", "k2", "k3"]);
    assert!(!text.contains("\"d\""));
}

#[test]
fn what_is_published_is_read_back() {
    let bundle = own_bundle();
    let read_back = read(&document(&bundle, 7, Duration::from_secs(300)).unwrap()).unwrap();
    assert_eq!((read_back.sequence, read_back.refresh_hint), (Some(7), Some(Duration::from_secs(300))));
    assert_eq!(read_back.bundle.roots().collect::<Vec<_>>(), bundle.roots().collect::<Vec<_>>());
    assert_eq!(read_back.bundle.jwt_keys().collect::<Vec<_>>(), bundle.jwt_keys().collect::<Vec<_>>());
    let jwt = read(&jwt_document(&bundle)).unwrap();
    assert_eq!((jwt.bundle.roots().count(), jwt.sequence), (0, None));
    assert_eq!(jwt.bundle.jwt_keys().collect::<Vec<_>>(), bundle.jwt_keys().collect::<Vec<_>>());
}

#[test]
fn js_5_a_key_has_an_id_of_its_own() {
    let signer = Signer::new("k1", Algorithm::Es256);
    let new = |keys: Vec<(String, Vec<u8>)>| Bundle::new(domain(DOMAIN), vec![], keys);
    for bad in [String::new(), "x".repeat(257)] {
        assert!(matches!(new(vec![(bad, signer.spki())]), Err(BundleError::JwtKey { rule: "JS-5", .. })));
    }
    assert!(matches!(new(vec![signer.published(), signer.published()]), Err(BundleError::JwtKey { rule: "JS-5", .. })));
    assert!(matches!(new(vec![("a".into(), vec![0x30, 0])]), Err(BundleError::JwtKey { rule: "PV-6", .. })));
    let many = (0..65).map(|number| (number.to_string(), signer.spki())).collect();
    assert_eq!(new(many).unwrap_err(), BundleError::TooManyJwtKeys);
    assert_eq!(keys(&with(&[jwk(&signer, json!({ "kid": null }))])), (0, vec![]), "without one it is passed over");
    assert!(read(&with(&[jwk(&signer, json!({})), jwk(&signer, json!({}))])).is_err(), "twice the same id");
}

/// Whatever is accepted can be said again: every key in it is one, on its curve, and nothing is read two ways.
#[test]
fn mutated_documents_never_panic_and_what_is_accepted_is_read_back() {
    let text = document(&own_bundle(), 7, Duration::from_secs(300)).unwrap();
    proptest!(ProptestConfig::with_cases(3000), |(edits in proptest::collection::vec(any::<(u16, u8, u8)>(), 1..4))| {
        let changed = mutate(text.as_bytes(), &edits);
        let changed = String::from_utf8_lossy(&changed);
        if let Ok(found) = read(&changed)
            && let Ok(said) = document(&found.bundle, 8, Duration::from_secs(60))
        {
            let again = read(&said).unwrap().bundle;
            prop_assert_eq!(again.roots().collect::<Vec<_>>(), found.bundle.roots().collect::<Vec<_>>());
            prop_assert_eq!(again.jwt_keys().collect::<Vec<_>>(), found.bundle.jwt_keys().collect::<Vec<_>>());
        }
        let _ = read_bundle_map(&changed);
        let _ = read_bundle_map(&format!("{{\"trust_domains\":{{\"a\":{changed}}}}}"));
    });
}
