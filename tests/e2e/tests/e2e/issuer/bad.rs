//! What nobody should send: broken requests, tokens of every wrong kind, a program that is replaced while it runs.

use super::*;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Tokens that must not pass as `ledger`'s, made of a good one and of the key that signs alpha's.
pub(super) fn forgeries(fleet: &Fleet, good: &[&str]) -> Vec<(&'static str, String)> {
    let (header, claims) = (decoded(good[0]), decoded(good[1]));
    let key = fleet.data("control").join("keys/alpha/jwt.key");
    let PrivateKeyDer::Pkcs8(key) = PrivateKeyDer::from_pem_file(key).unwrap() else { panic!("a PKCS#8 key") };
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der()).unwrap();
    let signed = |header: &Value, claims: &Value| {
        let input = format!("{}.{}", encoded(header), encoded(claims));
        let signature = key.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let with = |value: &Value, name: &str, to: Value| {
        let mut changed = value.clone();
        changed[name] = to;
        changed
    };
    let without = |value: &Value, name: &str| {
        let mut changed = value.clone();
        changed.as_object_mut().unwrap().remove(name);
        changed
    };
    let other_domain = "spiffe://beta.e2e.internal/guest";
    vec![
        ("somebody of another domain", signed(&header, &with(&claims, "sub", other_domain.into()))),
        ("no SPIFFE ID", signed(&header, &with(&claims, "sub", "caller".into()))),
        ("another audience", signed(&header, &with(&claims, "aud", json!(["people"])))),
        ("no audience", signed(&header, &without(&claims, "aud"))),
        ("no end", signed(&header, &without(&claims, "exp"))),
        ("an end that is over", signed(&header, &with(&claims, "exp", json!(1_700_000_000)))),
        ("an end that is a text", signed(&header, &with(&claims, "exp", "2100".into()))),
        ("no signature", format!("{}.{}.", encoded(&with(&header, "alg", "none".into())), good[1])),
        ("a secret for a key", format!("{}.{}.{}", encoded(&with(&header, "alg", "HS256".into())), good[1], good[2])),
        ("another algorithm", signed(&with(&header, "alg", "ES384".into()), &claims)),
        ("a key that nobody has", signed(&with(&header, "kid", "nobody".into()), &claims)),
        ("another type", signed(&with(&header, "typ", "at+jwt".into()), &claims)),
        ("a header that must be understood", signed(&with(&header, "crit", json!(["exp"])), &claims)),
        ("a changed claim", format!("{}.{}.{}", good[0], encoded(&with(&claims, "iat", json!(1))), good[2])),
        ("padding", format!("{}.{}=.{}", good[0], good[1], good[2])),
        (
            "the JSON serialization",
            json!({ "payload": good[1], "protected": good[0], "signature": good[2] }).to_string(),
        ),
        ("two parts", format!("{}.{}", good[0], good[1])),
        ("no text", "e30.e30.e30".to_owned()),
        ("far too much", format!("{}.{}.{}", good[0], "A".repeat(100_000), good[2])),
    ]
}

#[test]
fn the_forger_of_the_tests_can_sign() {
    // otherwise every forgery would be refused for its signature alone
    let upstream = Upstream::start(echo);
    let fleet = fleet(&upstream, "1h");
    let token = asked(&fleet, &["jwt", "ledger"]).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let (_, other_audience) =
        forgeries(&fleet, &parts).into_iter().find(|(what, _)| *what == "another audience").unwrap();
    asked(&fleet, &["validate", "people", &other_audience]).unwrap();
}

#[test]
fn a_broken_certificate_request_is_refused_with_words_and_recorded() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let good = {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::default().serialize_request(&key).unwrap().der().to_vec()
    };
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let cut = good[..good.len() - 9].to_vec();
    let mut long = good.clone();
    long.extend([0; 4]);
    let ask = |csr: &[u8]| {
        let lines = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            STANDARD.encode(csr)
        );
        let body = json!({ "workload": CALLER, "csr": lines });
        site.ask_admin("POST", "/v1/impersonate", &body.to_string()).expect("an answer")
    };
    assert_eq!(ask(&good).0, 200, "what is good");
    for (what, csr) in [
        ("a changed signature", forged),
        ("a request that ends early", cut),
        ("a request with more behind it", long),
        ("no request", b"hello".to_vec()),
        ("nothing", Vec::new()),
        ("a list without an end", vec![0x30; 4000]),
        ("far too much", vec![0x30; 100_000]),
    ] {
        let (status, answer) = ask(&csr);
        assert!((400..500).contains(&status), "{what}: {status} {answer}");
    }
    assert_eq!(ask(&good).0, 200, "and goes on");
    // what was issued is on record, and why nothing else was; a refusal beyond some in a second is only counted
    let log = countersign_e2e::read_log(&site.data());
    let asked = log.iter().filter(|record| record.kind == 4 && record.text(9).ends_with("/caller"));
    let (issued, refused): (Vec<_>, Vec<_>) = asked.partition(|record| record.bytes(2) == [1]);
    assert_eq!(issued.len(), 2, "{issued:#?}");
    for why in ["its signature is not by the key", "it is not DER PKCS#10"] {
        assert!(refused.iter().any(|record| record.text(4).contains(why)), "{why}: {refused:#?}");
    }
}

#[test]
fn a_program_that_is_replaced_while_it_runs_is_nobody_from_then_on() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let program = crate::identity::install(&site, "e2e-workload");
    let mut command = Command::new(&program);
    command.args(["twice", &site.root().display().to_string()]).env("SPIFFE_ENDPOINT_SOCKET", socket(&site.data()));
    let process = Process::start(command, site.root(), "replaced");
    wait_until("its identity", || process.stdout().contains("alpha.e2e.internal/caller"));
    // another file at the same path: what runs is no longer what stands there
    let beside = program.with_extension("new");
    std::fs::copy(workload(), &beside).unwrap();
    std::fs::rename(&beside, &program).unwrap();
    std::fs::write(site.root().join("go"), "").unwrap();
    let ended = process.wait();
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(ended.stderr.contains("PermissionDenied"), "{ended:#?}");
    assert_eq!(ended.stdout.lines().count(), 1, "{ended:#?}");
}
