//! `verify` against the vectors, by the binary itself: what it says is what the verifiers say.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::running::{Place, Ran};

fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../identity/tests/vectors").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The exit code and the verdict say the same, and a refusal names at least one rule.
fn check(id: &str, ran: &Ran, is_accepted: bool) {
    let said = &ran.json()[0];
    let code = if is_accepted { 0 } else { 1 };
    let verdict = if is_accepted { "accepted" } else { "refused" };
    assert_eq!((ran.code, text(&said["verdict"])), (code, verdict), "{id}: {ran:?}");
    assert_eq!(said["failed"].as_array().unwrap().is_empty(), is_accepted, "{id}: {ran:?}");
    for failed in said["failed"].as_array().unwrap() {
        assert_ne!(text(&failed["requirement"]), "a rule of the standards", "{id}: {failed}");
    }
}

#[test]
fn every_x509_svid_of_the_vectors_is_told_as_it_is_rated() {
    let (place, all) = (Place::new(), vectors("x509-svid.json"));
    for (set, bundles) in all["bundles"].as_object().unwrap() {
        for (domain, roots) in bundles.as_object().unwrap() {
            let pem: String = roots.as_array().unwrap().iter().map(text).collect();
            // an emptied bundle is a document without keys: there is no PEM of nothing
            let content = if pem.is_empty() { r#"{"keys":[]}"#.to_owned() } else { pem };
            place.write(&format!("{set}-{domain}"), &content);
        }
    }
    let mut seen = 0;
    for case in all["cases"].as_array().unwrap() {
        let (id, set) = (text(&case["id"]), text(&case["bundles"]));
        let chain: String = case["chain_pem"].as_array().unwrap().iter().map(text).collect();
        if chain.is_empty() {
            continue;
        }
        place.write("chain.pem", &chain);
        let named = |domain: &str| format!("{domain}={set}-{domain}");
        let bundles: Vec<String> =
            all["bundles"][set].as_object().unwrap().keys().map(|domain| named(domain)).collect();
        let mut arguments = vec!["verify", "svid", "chain.pem", "--json", "--at", text(&case["at_time"])];
        for bundle in &bundles {
            arguments.extend(["--bundle", bundle]);
        }
        check(id, &place.run(&arguments), text(&case["expect"]) == "accept");
        seen += 1;
    }
    assert!(seen > 35, "{seen}");
}

#[test]
fn every_jwt_svid_of_the_vectors_is_told_as_it_is_rated() {
    let (place, all) = (Place::new(), vectors("jwt-svid.json"));
    for (domain, document) in all["bundles"].as_object().unwrap() {
        place.write(domain, &document.to_string());
    }
    let bundles: Vec<String> =
        all["bundles"].as_object().unwrap().keys().map(|domain| format!("{domain}={domain}")).collect();
    for case in all["cases"].as_array().unwrap() {
        let (id, token) = (text(&case["id"]), text(&case["svid"]));
        let at = jiff::Timestamp::from_second(case["at_time"].as_i64().unwrap()).unwrap().to_string();
        let mut arguments = vec!["verify", "jwt-svid", token, "--json", "--at", &at];
        arguments.extend(["--audience", text(&case["audience"])]);
        for bundle in &bundles {
            arguments.extend(["--bundle", bundle]);
        }
        check(id, &place.run(&arguments), text(&case["expect"]) == "accept");
    }
    assert!(all["cases"].as_array().unwrap().len() > 30);
}

/// Nobody has to run for it, and no network is asked.
#[test]
fn a_token_comes_from_a_file_or_from_standard_input_without_its_line_feed() {
    let (place, all) = (Place::new(), vectors("jwt-svid.json"));
    let good = all["cases"].as_array().unwrap().iter().find(|case| text(&case["id"]) == "ok-es256").unwrap();
    place.write("bundle.json", &all["bundles"]["example.org"].to_string());
    place.write("token", &format!("{}\n", text(&good["svid"])));
    let at = jiff::Timestamp::from_second(good["at_time"].as_i64().unwrap()).unwrap().to_string();
    let rest = ["--bundle", "example.org=bundle.json", "--audience", text(&good["audience"]), "--at", &at];
    let with = |token| [&["verify", "jwt-svid", token][..], &rest].concat();
    assert_eq!(place.run(&with("@token")).code, 0);
    let mut command = place.command(&with("-"));
    let piped = command.stdin(fs::File::open(place.path("token")).unwrap()).output().unwrap();
    assert_eq!(Ran::of(&piped).code, 0);
    assert_eq!(place.run(&with("@nowhere")).code, 2);
}
