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

/// FAILURE cases that are accepted knowingly, with the reason.
const KNOWN: &[(&str, &str)] = &[
    ("rfc5280::aki::intermediate-missing-aki", "a hint for path building; signatures decide"),
    ("rfc5280::aki::leaf-missing-aki", "a hint for path building; signatures decide"),
    ("rfc5280::nc::invalid-dnsname-leading-period", "enforced as the narrower `subdomains only`"),
    ("rfc5280::nc::permitted-dns-match-noncritical", "the constraint is enforced, critical or not"),
    ("rfc5280::pc::ica-noncritical-pc", "policy constraints restrict policies, which nothing here relies on"),
];

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

#[test]
fn x509_limbo_finds_no_failure_accepted() {
    let Some(suite) = suite() else { return };
    let (mut wrong, mut successes) = (Vec::new(), 0);
    for case in suite["testcases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        let pedantic =
            case["features"].as_array().unwrap().iter().any(|name| name.as_str().unwrap().starts_with("pedantic"));
        if pedantic || NOT_CLAIMED.iter().any(|(start, _)| id.starts_with(start)) {
            continue;
        }
        let start = Instant::now();
        let outcome = accepted(case);
        assert!(start.elapsed() < Duration::from_secs(1) || !id.starts_with("pathological"), "{id} takes too long");
        match (&outcome, case["expected_result"].as_str().unwrap()) {
            (Ok(()), "FAILURE") => wrong.push(id),
            (Ok(()), _) => successes += 1,
            (Err(why), "SUCCESS") => println!("refused although fine: {id}: {why}"),
            (Err(_), _) => {}
        }
    }
    let known: Vec<&str> = KNOWN.iter().map(|(id, _)| *id).collect();
    assert_eq!(wrong, known, "FAILURE cases that are accepted (left) are not those known (right)");
    assert!(successes >= 14, "only {successes} good chains pass: the test shows nothing");
}
