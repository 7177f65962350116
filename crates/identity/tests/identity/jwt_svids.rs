//! Every case of the JWT-SVID suite, and the example of another kind of token.

use countersign_identity::{Bundle, BundleSet, examine_jwt_svid, verify_jwt_svid};
use serde_json::Value;
use types::{Timestamp, TrustDomain};

use crate::vectors::{own, settle, third_party};

fn bundles(suite: &Value) -> BundleSet {
    let of = |(name, document): (&String, &Value)| {
        Bundle::from_document(TrustDomain::parse(name).unwrap(), &document.to_string()).unwrap().bundle
    };
    suite["bundles"].as_object().unwrap().iter().map(of).collect()
}

#[test]
fn the_jwt_svid_suite_is_answered_as_it_says() {
    let suite = own("jwt-svid.json");
    let bundles = bundles(&suite);
    let mut differing = Vec::new();
    let cases = suite["cases"].as_array().unwrap();
    for case in cases {
        let (token, audience) = (case["svid"].as_str().unwrap(), case["audience"].as_str().unwrap());
        let now = Timestamp::from_seconds(case["at_time"].as_u64().unwrap());
        let outcome = verify_jwt_svid(token, audience, &bundles, now);
        let id = case["id"].as_str().unwrap();
        println!("{id:28} {}", outcome.as_ref().map_or_else(ToString::to_string, |svid| svid.spiffe_id().to_string()));
        let found = examine_jwt_svid(token, audience, &bundles, now);
        assert_eq!(outcome.as_ref().err(), found.first(), "{id}");
        if outcome.is_ok() != (case["expect"] == "accept") {
            differing.push(id.to_owned());
        }
    }
    assert_eq!(cases.len(), 38, "the suite has shrunk");
    settle("jwt-svid", differing);
}

#[test]
fn a_wit_svid_is_no_jwt_svid() {
    let Some(example) = third_party("spiffe/wit-svid-example.json") else { return };
    let token = example["wit_svid"].as_str().unwrap();
    let found = examine_jwt_svid(token, "anyone", &BundleSet::default(), Timestamp::from_seconds(1_765_453_000));
    assert_eq!(found.first().unwrap().rule, "JS-2", "{found:?}");
}
