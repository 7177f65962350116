//! Bundle documents: our own table, go-spiffe's test data, and what a root must be.

use countersign_identity::{Bundle, BundleError};
use rcgen::{IsCa, KeyUsagePurpose};
use testkit::{Authority, LeafPlan, ManualClock};
use types::{Clock as _, TrustDomain};

use crate::vectors::{own, settle, third_party};

fn domain() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

#[test]
fn the_bundle_table_is_answered_as_it_says() {
    let suite = own("bundles.json");
    let mut differing = Vec::new();
    for case in suite["cases"].as_array().unwrap() {
        let bundle = Bundle::from_jwks(domain(), case["bundle"].as_str().unwrap());
        let usable = bundle.as_ref().is_ok_and(|bundle| !bundle.is_empty());
        let about_documents = case["bundle"].as_str().unwrap().starts_with("{\"keys\"")
            || case["bundle"].as_str().unwrap().starts_with("{\"spiffe_refresh");
        let as_it_says = match case["expect"].as_str().unwrap() {
            _ if !about_documents => false,
            expect if expect.starts_with("valid") => bundle.is_ok() && !usable,
            "reject" => bundle.is_err(),
            _ => !usable,
        };
        if !as_it_says {
            differing.push(case["id"].as_str().unwrap().to_owned());
        }
    }
    settle("bundles", differing);
}

#[test]
fn go_spiffe_test_data_is_read_as_go_spiffe_reads_it() {
    let Some(suite) = third_party("spiffe/bundles-go-spiffe.json") else { return };
    let mut differing = Vec::new();
    for case in suite["cases"].as_array().unwrap() {
        let bundle = Bundle::from_jwks(domain(), case["bundle"].as_str().unwrap());
        println!("{}: {:?}", case["id"], bundle.as_ref().map(|bundle| bundle.roots().count()));
        if bundle.is_ok() != (case["go_spiffe"] == "ok") {
            differing.push(case["id"].as_str().unwrap().to_owned());
        }
    }
    settle("bundles-go-spiffe", differing);
}

/// A document with one root and whatever else the test wants to say.
fn document(entry: &str) -> String {
    let clock = ManualClock::default();
    let root = Authority::of("example.org", clock.now());
    use base64::Engine as _;
    let x5c = base64::engine::general_purpose::STANDARD.encode(root.der());
    entry.replace("ROOT", &x5c)
}

#[test]
fn only_what_says_that_it_is_an_x509_root_is_one() {
    let count = |text: &str| Bundle::from_jwks(domain(), &document(text)).map(|bundle| bundle.roots().count());
    assert_eq!(count(r#"{"keys":[{"kty":"EC","use":"x509-svid","x5c":["ROOT"]}]}"#), Ok(1));
    assert_eq!(count(r#"{"keys":[{"kty":"EC","use":"x509-svid","x5c":["ROOT","not even base64"]}]}"#), Ok(1));
    assert_eq!(
        count(
            r#"{"keys":[{"kty":"EC","use":"x509-svid","x5c":["ROOT"]},{"kty":"EC","use":"x509-svid","x5c":["ROOT"]}]}"#
        )
        .unwrap(),
        1
    );
    for ignored in [
        r#"{"keys":[{"kty":"EC","x5c":["ROOT"]}]}"#,
        r#"{"keys":[{"kty":"EC","use":"X509-SVID","x5c":["ROOT"]}]}"#,
        r#"{"keys":[{"kty":"EC","use":"jwt-svid","kid":"a","x5c":["ROOT"]}]}"#,
        r#"{"keys":[{"kty":"new","use":"x509-svid","x5c":["ROOT"]}]}"#,
        r#"{"keys":[{"kty":"EC","use":"x509-svid","x5c":[]}]}"#,
        r#"{"keys":[{"kty":"EC","use":"x509-svid"}]}"#,
    ] {
        assert_eq!(count(ignored), Ok(0), "{ignored}");
    }
    for refused in [
        r#"{"keys":[],"keys":[{"kty":"EC","use":"x509-svid","x5c":["ROOT"]}]}"#,
        r#"{"keys":[{"kty":"EC","use":"x509-svid","x5c":["%%"]}]}"#,
        r#"{"keys":[{"kty":"EC","use":"x509-svid","x5c":["AAAA"]}]}"#,
        r#"{"keys":{}}"#,
        r#"{"keys":[7]}"#,
        r#"{"keys":[],"spiffe_sequence":"7"}"#,
        r#"{"keys":[],"spiffe_sequence":-1}"#,
        r#"{"keys":[]} trailing"#,
        "[]",
        "",
    ] {
        assert!(count(refused).is_err(), "{refused}");
    }
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
