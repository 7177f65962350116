//! Path validation against the third-party suite x509-limbo, where it is to be had.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;
use types::{Timestamp, TrustDomain};
use webpki::KeyUsage;

use super::validate;
use crate::bundle::Bundle;
use crate::verify::check_size;

/// Cases that are not about what `validate` claims, by the start of their id, with who answers for them.
const NOT_CLAIMED: &[(&str, &str)] = &[
    ("webpki::", "rules of the public web"),
    ("crl::", "revocation is a signal here, not a list"),
    ("pathlen::max-chain-depth-0-exhausted", "there is no configured depth"),
    ("rfc5280::leaf-ku-keycertsign", "XS-2, checked before the path"),
    ("rfc5280::nc::not-allowed-in-ee", "checked with the shape of the leaf"),
    ("rfc5280::san::noncritical-with-empty-subject", "XS-4, checked before the path"),
    ("rfc5280::san::ip-in-dns", "a DNS name never covers an address, see `covers_dns`"),
];

/// The ids of cases whose outcome is known to differ, either way, with their reasons in the file.
fn known_to_differ() -> Vec<String> {
    let list: Value = serde_json::from_str(include_str!("../../tests/vectors/known-divergences.json")).unwrap();
    let ours = list.as_array().unwrap().iter().filter(|entry| entry["suite"] == "x509-limbo");
    let mut ids: Vec<String> = ours.map(|entry| entry["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[expect(clippy::disallowed_methods, reason = "a test finds its vectors through the environment")]
fn suite() -> Option<Value> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("COUNTERSIGN_VECTORS").map_or(beside, PathBuf::from);
    let text = std::fs::read_to_string(folder.join("x509-limbo/limbo-subset.json"));
    if text.is_err() {
        eprintln!("skipped: x509-limbo (not in {})", folder.display());
    }
    Some(serde_json::from_str(&text.ok()?).unwrap())
}

fn der(pem: &Value) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_str()?.as_bytes()).ok()
}

fn ders(pems: &Value) -> Option<Vec<CertificateDer<'static>>> {
    pems.as_array().unwrap().iter().map(der).collect()
}

fn accepted(case: &Value) -> Result<(), String> {
    let at: jiff::Timestamp = case["validation_time"].as_str().map_or(jiff::Timestamp::now(), |at| at.parse().unwrap());
    let now = Timestamp::from_seconds(u64::try_from(at.as_second()).unwrap());
    let roots = ders(&case["trusted_certs"]).ok_or("roots do not parse")?.iter().map(|der| der.to_vec()).collect();
    let domain = TrustDomain::parse("limbo").unwrap();
    let bundle = Bundle::from_der(domain, roots).map_err(|error| error.to_string())?;
    let leaf = der(&case["peer_certificate"]).ok_or("the leaf does not parse")?;
    let intermediates = ders(&case["untrusted_intermediates"]).ok_or("an intermediate does not parse")?;
    let chain = [std::slice::from_ref(&leaf), intermediates.as_slice()].concat();
    check_size(&chain).map_err(|refusal| refusal.to_string())?;
    let server = case["validation_kind"] == "SERVER";
    let purpose = if server { KeyUsage::server_auth() } else { KeyUsage::client_auth() };
    validate(&leaf, &intermediates, &bundle, now, purpose).map_err(|refusal| refusal.to_string())
}

/// Whether the suite's README counts the case for what is claimed here.
fn is_scored(case: &Value) -> bool {
    let id = case["id"].as_str().unwrap();
    let mut features = case["features"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    !features.any(|name| name.starts_with("pedantic")) && !NOT_CLAIMED.iter().any(|(start, _)| id.starts_with(start))
}

#[test]
fn x509_limbo_is_answered_as_it_says() {
    let Some(suite) = suite() else { return };
    let (mut differing, mut refused, mut accepted_ones) = (Vec::new(), 0, 0);
    for case in suite["testcases"].as_array().unwrap().iter().filter(|case| is_scored(case)) {
        let id = case["id"].as_str().unwrap();
        let start = Instant::now();
        let outcome = accepted(case);
        assert!(start.elapsed() < Duration::from_secs(1) || !id.starts_with("pathological"), "{id} takes too long");
        if outcome.is_ok() != (case["expected_result"] == "SUCCESS") {
            println!("{id}: {outcome:?}, expected {}", case["expected_result"]);
            differing.push(id.to_owned());
        } else if outcome.is_ok() {
            accepted_ones += 1;
        } else {
            refused += 1;
        }
    }
    differing.sort();
    println!("as it says: {accepted_ones} accepted, {refused} refused");
    assert_eq!(differing, known_to_differ(), "cases that differ (left) are not those known to differ (right)");
    assert!(accepted_ones >= 14 && refused >= 25, "{accepted_ones} accepted, {refused} refused: this shows nothing");
}

/// Search that could explode ends within a second, whatever comes of it.
#[test]
fn x509_limbo_pathological_cases_end_in_time() {
    let Some(suite) = suite() else { return };
    let cases = suite["testcases"].as_array().unwrap().iter();
    let slow: Vec<&Value> = cases.filter(|case| case["id"].as_str().unwrap().starts_with("pathological")).collect();
    assert!(slow.len() >= 7, "the suite has shrunk");
    for case in slow {
        let start = Instant::now();
        let outcome = accepted(case);
        println!("{}: {:?}: {outcome:?}", case["id"], start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(1), "{}", case["id"]);
    }
}
