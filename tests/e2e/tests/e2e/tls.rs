//! Who is refused in the TLS handshake: the client sees an alert, the upstream nothing, the operator a record.

use std::time::Duration;

use countersign_e2e::{Authority, Curl, Identity, Raw, Site, Upstream, echo, now};
use rcgen::{IsCa, KeyUsagePurpose, SanType};

use crate::{API, CALLER};

/// The caller's SPIFFE ID.
const ID: &str = "spiffe://alpha.e2e.internal/caller";

/// A refused handshake: what was presented, the reason in the record, and the SPIFFE ID that it claimed.
struct Case {
    what: &'static str,
    identity: Option<Identity>,
    reason: &'static str,
    claimed: &'static str,
}

fn cases(site: &Site) -> Vec<Case> {
    let alpha = site.authority("alpha");
    let sign = |change: fn(&mut rcgen::CertificateParams)| Some(alpha.sign(site.root(), ID, change));
    let case = |what, identity, reason, claimed| Case { what, identity, reason, claimed };
    vec![
        case("no certificate", None, "identity.missing", ""),
        case(
            "an expired certificate",
            sign(|params| {
                params.not_before = now() - Duration::from_secs(7200);
                params.not_after = now() - Duration::from_secs(5);
            }),
            "identity.expired",
            ID,
        ),
        case(
            "a certificate of tomorrow",
            sign(|params| params.not_before = now() + Duration::from_secs(600)),
            "identity.expired",
            ID,
        ),
        case(
            "a foreign authority that takes the domain's name",
            Some(Authority::pretending("alpha.e2e.internal").svid(site.root(), ID)),
            "identity.untrusted",
            ID,
        ),
        case("a self-signed certificate", Some(Authority::self_signed(site.root(), ID)), "identity.untrusted", ID),
        case(
            "another domain's authority",
            Some(site.authority("beta").svid(site.root(), ID)),
            "identity.untrusted",
            ID,
        ),
        case(
            "a trust domain that nobody knows",
            Some(Authority::pretending("elsewhere.internal").svid(site.root(), "spiffe://elsewhere.internal/caller")),
            "identity.no-bundle",
            "spiffe://elsewhere.internal/caller",
        ),
        case(
            "two URI names",
            sign(|params| {
                params.subject_alt_names.push(SanType::URI("spiffe://alpha.e2e.internal/other".try_into().unwrap()))
            }),
            "identity.uri-san",
            "",
        ),
        case(
            "the same URI name twice",
            sign(|params| params.subject_alt_names.push(params.subject_alt_names[0].clone())),
            "identity.uri-san",
            "",
        ),
        case(
            "no URI name",
            sign(|params| params.subject_alt_names = vec![SanType::DnsName("caller.alpha".try_into().unwrap())]),
            "identity.uri-san",
            "",
        ),
        case(
            "a URI name that is no SPIFFE ID",
            sign(|params| {
                params.subject_alt_names = vec![SanType::URI("https://alpha.e2e.internal/caller".try_into().unwrap())]
            }),
            "identity.uri-san",
            "",
        ),
        case(
            "a trust domain's own name",
            Some(alpha.svid(site.root(), "spiffe://alpha.e2e.internal")),
            "identity.leaf-shape",
            "spiffe://alpha.e2e.internal",
        ),
        case(
            "a certificate that may sign others",
            sign(|params| {
                params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
                params.key_usages.push(KeyUsagePurpose::KeyCertSign);
            }),
            "identity.leaf-shape",
            ID,
        ),
        case("no key usage", sign(|params| params.key_usages.clear()), "identity.leaf-shape", ID),
    ]
}

#[test]
fn a_certificate_that_is_no_svid_of_a_known_domain_is_refused() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    for Case { what, identity, reason, claimed } in cases(&site) {
        for protocol in ["http/1.1", "h2"] {
            let mut call = Curl::to(&site, API).over(protocol);
            if let Some(identity) = &identity {
                call = call.with(identity);
            }
            let answer = call.get("/items");
            assert_eq!(answer.status, 0, "{what}: {answer:?}");
            assert!(answer.broken.contains("alert"), "{what}: {answer:?}");
            let record = site.refused_at_tls(reason);
            assert_eq!(record["host"], API, "{what}: {record:#}");
            assert_eq!(record["listener"], "gateway", "{what}: {record:#}");
            assert_eq!(record["source"], "127.0.0.1", "{what}: {record:#}");
            assert_eq!(record["identity"]["unidentified"]["claimed"], claimed, "{what}: {record:#}");
        }
    }
    assert_eq!(site.decisions().len(), 2 * cases(&site).len(), "one record each");
    assert_eq!(upstream.bytes(), b"");
}

#[test]
fn a_server_name_that_is_not_served_is_refused() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let caller = site.identity(CALLER);
    let answer = Curl::to(&site, "unknown.e2e.internal").with(&caller).get("/items");
    assert!(answer.status == 0 && answer.broken.contains("alert"), "{answer:?}");
    let record = site.refused_at_tls("accept.server-name");
    assert_eq!(record["host"], "unknown.e2e.internal");

    // an address is no server name: curl then sends none
    let answer = Curl::to(&site, "127.0.0.1").with(&caller).get("/items");
    assert!(answer.status == 0 && answer.broken.contains("alert"), "{answer:?}");
    let record = site.refused_at_tls("accept.server-name");
    assert_eq!(record["host"], "");
    assert_eq!(upstream.bytes(), b"");
}

#[test]
fn what_is_not_tls_1_3_is_refused() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let answer = Curl::to(&site, API).by(CALLER).args(&["--tls-max", "1.2"]).get("/items");
    assert!(answer.status == 0 && answer.broken.contains("alert"), "{answer:?}");
    site.refused_at_tls("accept.tls");

    let mut plain = std::net::TcpStream::connect(site.gateway()).unwrap();
    std::io::Write::write_all(&mut plain, b"GET /items HTTP/1.1\r\nHost: api.e2e.internal\r\n\r\n").unwrap();
    let mut back = Vec::new();
    // a reset is as good as an end
    let _ = std::io::Read::read_to_end(&mut plain, &mut back);
    assert!(!back.starts_with(b"HTTP"), "{back:?}");
    site.refused_at_tls("accept.tls");
    assert_eq!(upstream.bytes(), b"");
}

#[test]
fn no_session_is_resumed() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let mut client = Raw::by(&site, CALLER, API);
    client.ask(format!("GET /items HTTP/1.1\r\nHost: {API}\r\n\r\n"));
    assert_eq!(client.tickets(), 0, "a ticket would let a client back in without its certificate");
}

#[test]
fn a_flood_of_bad_handshakes_is_counted_and_does_not_fill_the_log() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    const FLOOD: usize = 400;
    for _ in 0..FLOOD {
        let mut raw = Raw::open(&site, None, API).unwrap();
        assert!(raw.answer().is_err());
    }
    let sum = || {
        let entries = site.entries();
        let single =
            entries.iter().filter(|entry| entry["reason"] == "identity.missing" && entry["kind"] == "decision").count();
        let counted: u64 = entries.iter().filter_map(|entry| entry["count"].as_u64()).sum();
        (single, single + counted as usize)
    };
    countersign_e2e::wait_until("every refusal to be counted", || sum().1 == FLOOD);
    assert!(sum().0 < FLOOD, "none of them was counted only");
}
