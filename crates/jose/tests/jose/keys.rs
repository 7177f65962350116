//! Keys and sets of keys.

use countersign_jose::json::Object;
use countersign_jose::{Algorithm, JwkSet, Key, KeyRefusal};
use serde_json::{Value, json};

use crate::support::{Signer, base64url};

fn jwk(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

fn with(signer: &Signer, name: &str, value: Value) -> Object {
    let mut jwk = signer.key().to_jwk(Some("k"), "sig");
    jwk.insert(name.to_owned(), value);
    jwk
}

#[test]
fn a_key_is_the_same_as_der_and_as_json() {
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::Es512, Algorithm::Rs256, Algorithm::EdDsa] {
        let signer = Signer::new(algorithm);
        let key = signer.key();
        assert_eq!(key.spki_der(), signer.spki);
        let jwk = key.to_jwk(Some("k"), "jwt-svid");
        assert_eq!((&jwk["kid"], &jwk["use"]), (&json!("k"), &json!("jwt-svid")));
        let read = Key::from_jwk(&jwk).unwrap();
        assert_eq!(read, key);
        assert!(read.algorithms().any(|fits| fits == algorithm));
        assert!(key.to_jwk(None, "x").get("kid").is_none());
    }
}

#[test]
fn der_that_is_not_the_one_way_to_write_a_key_is_refused() {
    for algorithm in [Algorithm::Es256, Algorithm::Rs256, Algorithm::EdDsa] {
        let spki = Signer::new(algorithm).spki;
        assert!(Key::from_spki(&spki).is_ok());
        for bad in [&[spki.as_slice(), &[0]].concat(), &spki[..spki.len() - 1], &spki[1..], &[][..]] {
            assert_eq!(Key::from_spki(bad).unwrap_err().rule, "PV-6");
        }
    }
    let spki = Signer::new(Algorithm::Es256).spki;
    let mut compressed = spki[..59].to_vec();
    (compressed[1], compressed[24], compressed[26]) = (57, 34, 2);
    assert!(Key::from_spki(&compressed).is_err(), "a point written in part");
}

#[test]
fn secrets_are_no_keys() {
    let signer = Signer::new(Algorithm::Es256);
    let oct = jwk(json!({ "kty": "oct", "k": "AAAA", "alg": "HS256" }));
    assert!(matches!(Key::from_jwk(&oct), Err(KeyRefusal::Broken(refusal)) if refusal.rule == "JW-1"));
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let secret = with(&signer, name, json!("AAAA"));
        assert!(matches!(Key::from_jwk(&secret), Err(KeyRefusal::Broken(refusal)) if refusal.rule == "JW-1"), "{name}");
    }
}

#[test]
fn unknown_kinds_are_told_apart_from_broken_keys() {
    let signer = Signer::new(Algorithm::Es256);
    for (name, value) in [
        ("kty", json!("AKP")),
        ("crv", json!("secp256k1")),
        ("alg", json!("ES256K")),
        ("alg", json!("HS256")),
        ("use", json!("enc")),
        ("key_ops", json!(["sign"])),
        ("key_ops", json!([])),
    ] {
        let unknown = with(&signer, name, value.clone());
        assert!(matches!(Key::from_jwk(&unknown), Err(KeyRefusal::Unknown(_))), "{name} {value}");
    }
    assert!(Key::from_jwk(&with(&signer, "key_ops", json!(["verify", "sign"]))).is_ok());
    for (name, value) in [
        ("kty", json!(7)),
        ("crv", Value::Null),
        ("alg", json!(["ES256"])),
        ("alg", json!("ES384")),
        ("key_ops", json!("verify")),
        ("x", json!("AAAA")),
        ("x", json!("not base64")),
        ("x", json!(format!("{}=", signer.key().to_jwk(None, "sig")["x"].as_str().unwrap()))),
        ("y", json!(base64url(&[7; 32]))),
        ("y", json!(base64url(&[0; 32]))),
    ] {
        let broken = with(&signer, name, value.clone());
        assert!(matches!(Key::from_jwk(&broken), Err(KeyRefusal::Broken(_))), "{name} {value}");
    }
}

#[test]
fn rsa_keys_are_long_enough_and_odd() {
    let signer = Signer::new(Algorithm::Rs256);
    let good = signer.key().to_jwk(None, "sig");
    let n = {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(good["n"].as_str().unwrap()).unwrap()
    };
    let refused = |name: &str, bytes: &[u8]| {
        let key = Key::from_jwk(&with(&signer, name, json!(base64url(bytes))));
        assert!(matches!(key, Err(KeyRefusal::Broken(refusal)) if refusal.rule == "PV-6"), "{name} {}", bytes.len());
    };
    refused("n", &n[128..]);
    refused("n", &[&[0], n.as_slice()].concat());
    refused("n", &[&n[..255], &[n[255] & 0xfe]].concat());
    refused("n", &n.repeat(5));
    for exponent in [&[][..], &[0], &[1], &[2], &[0, 3], &[1, 0, 0, 0, 1]] {
        refused("e", exponent);
    }
    assert!(Key::from_jwk(&good).is_ok());
}

#[test]
fn a_set_is_a_list_of_public_keys_and_unknown_kinds_are_passed_over() {
    let signer = Signer::new(Algorithm::Es256);
    let good = Value::Object(signer.key().to_jwk(Some("k"), "sig"));
    let set = json!({ "keys": [good, { "kty": "new", "kid": 7 }, {}, { "kty": 7 }], "more": 1 }).to_string();
    let set = JwkSet::parse(&set).unwrap();
    assert_eq!(set.keys().len(), 1);
    assert_eq!((set.keys()[0].key_id(), set.keys()[0].usage()), (Some("k"), Some("sig")));
    assert_eq!(set.keys()[0].key().unwrap(), signer.key());
    assert_eq!(set.members()["more"], 1);
    for bad in [
        "{}".to_owned(),
        "[]".to_owned(),
        json!({ "keys": {} }).to_string(),
        json!({ "keys": ["x"] }).to_string(),
        json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] }).to_string(),
        json!({ "keys": [with(&signer, "d", json!("AAAA"))] }).to_string(),
        json!({ "keys": [with(&signer, "kid", json!(7))] }).to_string(),
        json!({ "keys": [with(&signer, "use", json!(null))] }).to_string(),
        r#"{"keys":[],"keys":[]}"#.to_owned(),
        r#"{"keys":[{"kty":"EC","kty":"RSA"}]}"#.to_owned(),
    ] {
        assert!(JwkSet::parse(&bad).is_err(), "{bad}");
    }
}
