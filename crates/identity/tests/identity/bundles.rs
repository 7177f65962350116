//! Bundle documents of outside tables, and what a root must be.

use countersign_identity::{Bundle, BundleError, read_bundle_map};
use rcgen::{IsCa, KeyUsagePurpose};
use testkit::{Authority, LeafPlan, ManualClock};
use types::{Clock as _, TrustDomain};

use crate::vectors::{own, settle, third_party};

fn domain() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

/// What the table says in words, done.
fn answered(id: &str, text: &str, expect: &str) -> bool {
    let read = Bundle::from_document(domain(), text);
    match id {
        "seq-regression" => {
            let five = Bundle::from_document(domain(), r#"{"keys":[],"spiffe_sequence":5}"#).unwrap();
            matches!(five.check_follows(Some(7)), Err(BundleError::GoesBack { held: 7, offered: 5 }))
        }
        "dup-td-map" => read_bundle_map(text).is_err(),
        "hint-huge" => read.unwrap().refresh_hint == Some(core::time::Duration::from_secs(86_400)),
        "redirect-http" => false,
        _ if expect.starts_with("valid") => read.unwrap().bundle.is_empty(),
        _ if expect == "reject" => read.is_err(),
        _ => !read.is_ok_and(|document| !document.bundle.is_empty()),
    }
}

#[test]
fn the_bundle_table_is_answered_as_it_says() {
    let suite = own("bundles.json");
    let of = |case: &serde_json::Value, name: &str| case[name].as_str().unwrap().to_owned();
    let cases = suite["cases"].as_array().unwrap();
    let differs = |case: &&serde_json::Value| !answered(&of(case, "id"), &of(case, "bundle"), &of(case, "expect"));
    assert_eq!(cases.len(), 9, "the table has shrunk");
    settle("bundles", cases.iter().filter(differs).map(|case| of(case, "id")).collect());
}

#[test]
fn go_spiffe_test_data_is_read_as_go_spiffe_reads_it() {
    let Some(suite) = third_party("spiffe/bundles-go-spiffe.json") else { return };
    let mut differing = Vec::new();
    for case in suite["cases"].as_array().unwrap() {
        let bundle = Bundle::from_document(domain(), case["bundle"].as_str().unwrap());
        println!("{}: {:?}", case["id"], bundle.as_ref().map(|document| document.bundle.roots().count()));
        if bundle.is_ok() != (case["go_spiffe"] == "ok") {
            differing.push(case["id"].as_str().unwrap().to_owned());
        }
    }
    settle("bundles-go-spiffe", differing);
}

#[test]
fn a_root_must_be_able_to_sign() {
    let now = ManualClock::default().now();
    let good = LeafPlan::authority("example.org", now);
    let refused = |plan: LeafPlan| match Bundle::from_der(domain(), vec![Authority::root(&plan).der().to_vec()]) {
        Err(BundleError::Root { rule, .. }) => rule,
        other => panic!("{other:?}"),
    };
    assert!(Bundle::from_der(domain(), vec![Authority::root(&good).der().to_vec()]).is_ok());
    assert_eq!(refused(LeafPlan { is_ca: IsCa::ExplicitNoCa, ..good.clone() }), "XS-5");
    assert_eq!(refused(LeafPlan { key_usages: vec![], ..good.clone() }), "XS-3");
    assert_eq!(refused(LeafPlan { key_usages: vec![KeyUsagePurpose::CrlSign], ..good.clone() }), "XS-5");
    assert_eq!(refused(LeafPlan { uris: vec!["spiffe://example.org/ca".into()], ..good.clone() }), "XS-5");
    assert_eq!(refused(LeafPlan { uris: vec!["spiffe://a".into(), "spiffe://a".into()], ..good.clone() }), "XS-1");
    let unknown = (vec![1, 3, 6, 1, 4, 1, 99_999, 1], true, vec![5, 0]);
    assert_eq!(refused(LeafPlan { extensions: vec![unknown], ..good.clone() }), "PV-1");
    // `permitted: URI .example.org`, which path validation would refuse at the first handshake.
    let uris = [&[0x30, 0x12, 0xa0, 0x10, 0x30, 0x0e, 0x86, 0x0c][..], b".example.org"].concat();
    assert_eq!(refused(LeafPlan { extensions: vec![(vec![2, 5, 29, 30], true, uris)], ..good }), "PV-1");
}

#[test]
fn pem_is_read_in_full_or_not_at_all() {
    let now = ManualClock::default().now();
    let pem = |root: &Authority| {
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.encode(root.der());
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    };
    let two = format!("{}text\n{}", pem(&Authority::of("example.org", now)), pem(&Authority::of("example.org", now)));
    assert_eq!(Bundle::from_pem(domain(), &two).unwrap().roots().count(), 2);
    assert_eq!(Bundle::from_pem(domain(), "").unwrap_err(), BundleError::Pem);
    assert_eq!(Bundle::from_pem(domain(), &two.replace("MII", "%%%")).unwrap_err(), BundleError::Pem);
}
