//! Outside vectors: Wycheproof's JSON Web Signatures and Keys, and the examples of RFC 7520 and its kin.

use countersign_jose::json::Object;
use countersign_jose::{Algorithm, JwkSet, Key, compact};
use serde_json::Value;

use crate::support::third_party;

/// Cases that are valid and refused here, with the reason. Whoever else is refused, or accepted though invalid, fails.
const REFUSED: &[(u64, &str)] = &[
    (259, "an empty payload holds no claims"),
    (320, "an empty payload holds no claims"),
    (346, "the key says PS256 and the token PS384: one key, one algorithm (JW-1)"),
    (350, "the key says PS256 and the token PS384: one key, one algorithm (JW-1)"),
];

fn accepted(token: &str, keys: &[Key]) -> bool {
    compact::parse(token).is_ok_and(|token| keys.iter().any(|key| token.verify(key, &Algorithm::ALL).is_ok()))
}

/// The public half, as a caller would have it: Wycheproof lists shared secrets as private keys only.
fn key(group: &Value) -> Option<Key> {
    Key::from_jwk(group["public"].as_object()?).map_err(|refusal| println!("{refusal}")).ok()
}

#[test]
fn wycheproof_signatures_are_judged_as_they_are_rated() {
    let Some(suite) = third_party("wycheproof-jose/json_web_signature_test.json") else { return };
    let (mut wrong, mut refused, mut good) = (Vec::new(), Vec::new(), 0);
    for group in suite["testGroups"].as_array().unwrap() {
        let keys: Vec<Key> = key(group).into_iter().collect();
        for case in group["tests"].as_array().unwrap() {
            let id = case["tcId"].as_u64().unwrap();
            let outcome = accepted(case["jws"].as_str().unwrap(), &keys);
            match case["result"].as_str().unwrap() {
                "invalid" if outcome => wrong.push(id),
                // a shared secret is an algorithm that is not offered: refused, valid or not
                "valid" if !outcome && !keys.is_empty() => refused.push(id),
                _ => good += usize::from(outcome),
            }
        }
    }
    assert_eq!(wrong, [0_u64; 0], "invalid and accepted");
    assert_eq!(refused, REFUSED.iter().map(|(id, _)| *id).collect::<Vec<_>>(), "valid and refused, beside those known");
    assert!(good >= 10, "only {good} good tokens are accepted: this shows nothing");
}

#[test]
fn wycheproof_key_sets_are_judged_as_they_are_rated() {
    let Some(suite) = third_party("wycheproof-jose/json_web_key_test.json") else { return };
    for group in suite["testGroups"].as_array().unwrap() {
        let set = group.get("public").unwrap_or(&group["private"]);
        let keys = match JwkSet::parse(&set.to_string()) {
            Ok(set) => set.keys().iter().filter_map(|entry| entry.key().ok()).collect(),
            Err(refusal) => {
                println!("{}: {refusal}", group["comment"]);
                Vec::new()
            }
        };
        for case in group["tests"].as_array().unwrap() {
            let outcome = accepted(case["jws"].as_str().unwrap(), &keys);
            assert!(!(outcome && case["result"] == "invalid"), "{}: {}", group["comment"], case["comment"]);
        }
    }
}

/// The public members of an example's key.
fn public(key: &Object) -> Object {
    let is_private = |name: &str| ["d", "p", "q", "dp", "dq", "qi"].contains(&name);
    key.iter().filter(|(name, _)| !is_private(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[test]
fn examples_of_the_cookbook_are_accepted_where_they_are_of_our_kind() {
    for (name, ours) in [
        ("jws-4_2.rsa-pss_signature", true),
        ("jws-4_3.ecdsa_signature", true),
        ("curve25519-jws", true),
        ("jws-4_5.signature_with_detached_content", false),
        ("jws-4_6.protecting_specific_header_fields", false),
        ("rfc7797-hmac-sha2_b64_false", false),
    ] {
        let Some(example) = third_party(&format!("jose-cookbook/{name}.json")) else { return };
        let key = Key::from_jwk(&public(example["input"]["key"].as_object().unwrap()));
        let token = example["output"]["compact"].as_str().unwrap_or_default();
        assert_eq!(accepted(token, &key.into_iter().collect::<Vec<_>>()), ours, "{name}");
    }
}

#[test]
fn keys_of_the_cookbook_are_taken_where_they_are_public() {
    for (name, ours) in [
        ("jwk-3_1.ec_public_key", true),
        ("jwk-3_2.ec_private_key", false),
        ("jwk-3_3.rsa_public_key", true),
        ("jwk-3_4.rsa_private_key", false),
        ("jwk-3_5.symmetric_key_mac_computation", false),
        ("jwk-3_6.symmetric_key_encryption", false),
    ] {
        let Some(jwk) = third_party(&format!("jose-cookbook/{name}.json")) else { return };
        assert_eq!(Key::from_jwk(jwk.as_object().unwrap()).is_ok(), ours, "{name}");
    }
}
