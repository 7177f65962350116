//! Every case of the X509-SVID suite.

use countersign_identity::{Bundle, BundleSet, KeyError, check_key, verify};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use types::{Timestamp, TrustDomain};

use crate::vectors::{own, settle};

pub fn bundle_set(sets: &Value, name: &str) -> BundleSet {
    let of = |(domain, roots): (&String, &Value)| {
        let roots = roots.as_array().unwrap().iter().map(der).collect();
        Bundle::from_der(TrustDomain::parse(domain).unwrap(), roots).unwrap()
    };
    sets[name].as_object().unwrap().iter().map(of).collect()
}

fn der(pem: &Value) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_str().unwrap().as_bytes()).unwrap().to_vec()
}

pub fn chain(case: &Value) -> Vec<CertificateDer<'static>> {
    case["chain_pem"].as_array().unwrap().iter().map(|pem| CertificateDer::from(der(pem))).collect()
}

pub fn moment(case: &Value) -> Timestamp {
    let at: jiff::Timestamp = case["at_time"].as_str().unwrap().parse().unwrap();
    Timestamp::from_seconds(u64::try_from(at.as_second()).unwrap())
}

#[test]
fn the_x509_svid_suite_is_answered_as_it_says() {
    let suite = own("x509-svid.json");
    let mut differing = Vec::new();
    let cases = suite["cases"].as_array().unwrap();
    for case in cases {
        let bundles = bundle_set(&suite["bundles"], case["bundles"].as_str().unwrap());
        let outcome = verify(&chain(case), &bundles, moment(case));
        let expect = case["expect"].as_str().unwrap();
        let id = case["id"].as_str().unwrap();
        println!("{id:40} {}", outcome.as_ref().map_or_else(ToString::to_string, |peer| peer.spiffe_id().to_string()));
        let as_it_says = match outcome {
            Ok(peer) => expect == "accept" && case["spiffe_id"] == peer.spiffe_id().as_str(),
            Err(_) => expect.starts_with("reject"),
        };
        if !as_it_says {
            differing.push(id.to_owned());
        }
    }
    assert_eq!(cases.len(), 39, "the suite has shrunk");
    settle("x509-svid", differing);
}

#[test]
fn an_emptied_bundle_revokes_its_domain_and_no_other() {
    let suite = own("x509-svid.json");
    let case = &suite["cases"][0];
    let emptied = bundle_set(&suite["bundles"], "emptied");
    let refusal = verify(&chain(case), &emptied, moment(case)).unwrap_err();
    assert_eq!((refusal.rule, refusal.reason), ("XS-6", types::Reason::IdentityNoBundle));
    assert_eq!(refusal.claimed.unwrap().as_str(), case["spiffe_id"].as_str().unwrap());
    assert!(!emptied.get(&TrustDomain::parse("partner.example").unwrap()).unwrap().is_empty());
}

#[test]
fn weak_keys_and_sha1_are_refused() {
    let suite = own("weak.json");
    let domain = TrustDomain::parse("example.org").unwrap();
    let bundles: BundleSet = [Bundle::from_der(domain, vec![der(&suite["root_pem"])]).unwrap()].into_iter().collect();
    let outcome = |leaf: &str| verify(&[CertificateDer::from(der(&suite[leaf]))], &bundles, moment(&suite));
    assert!(outcome("sha256_leaf_pem").is_ok());
    let refusal = outcome("sha1_leaf_pem").unwrap_err();
    assert_eq!((refusal.rule, refusal.reason), ("PV-6", types::Reason::IdentityUntrusted), "{refusal}");
    let key = |name: &str| {
        let hex = suite["weak_keys_hex"][name].as_str().unwrap();
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        check_key(&bytes)
    };
    assert_eq!(key("rsa-1024"), Err(KeyError::RsaBits(1024)));
    assert_eq!(key("secp256k1"), Err(KeyError::Kind));
    assert_eq!(key("p-224"), Err(KeyError::Kind));
}
