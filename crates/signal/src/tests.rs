//! Table tests of the subjects' grammar, and of the questions that a snapshot answers.

use identity::{Bundle, BundleSet, NODE_OID, VerifiedPeer, node_value, verify};
use proptest::prelude::*;
use rustls_pki_types::CertificateDer;
use testkit::{Authority, LeafPlan};
use types::{SpiffeId, Timestamp, TrustDomain};

use crate::{Revocation, State, Subject, SubjectError};

const NOW: Timestamp = Timestamp::from_seconds(1_772_442_000);
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn organisation() -> TrustDomain {
    TrustDomain::parse("acme.internal").unwrap()
}

fn subject(text: &str) -> Subject {
    Subject::parse(text, &organisation()).unwrap()
}

fn parse(text: &str) -> Result<String, SubjectError> {
    Subject::parse(text, &organisation()).map(|subject| subject.to_string())
}

fn revocation(text: &str, until: Option<Timestamp>, epoch: u64) -> Revocation {
    Revocation {
        subject: subject(text),
        reason: "stolen".to_owned(),
        operator: "local".to_owned(),
        at: NOW,
        until,
        epoch,
    }
}

fn peer(uri: &str, serial: &[u8]) -> VerifiedPeer {
    verified(uri, &LeafPlan { serial: serial.to_vec(), ..LeafPlan::svid(uri, NOW) })
}

/// One whose certificate was issued for a node.
fn peer_on(uri: &str, node: &str) -> VerifiedPeer {
    let extensions = vec![(NODE_OID.to_vec(), false, node_value(node).unwrap())];
    verified(uri, &LeafPlan { extensions, ..LeafPlan::svid(uri, NOW) })
}

fn verified(uri: &str, plan: &LeafPlan) -> VerifiedPeer {
    let id = SpiffeId::parse(uri).unwrap();
    let authority = Authority::of(id.trust_domain().as_str(), NOW);
    let leaf = authority.issue(plan);
    let bundle = Bundle::from_der(id.trust_domain().clone(), vec![authority.der().to_vec()]).unwrap();
    let chain: Vec<_> = leaf.chain.into_iter().map(CertificateDer::from).collect();
    verify(&chain, &BundleSet::from_iter([bundle]), NOW).unwrap()
}

#[test]
fn every_spelling_leads_to_the_full_form() {
    let payments = "spiffe://finance.acme.internal/payments";
    for (text, full) in [
        (payments, payments),
        ("spiffe:spiffe://finance.acme.internal/payments", payments),
        ("finance/payments", payments),
        ("spiffe://other.org/a/b", "spiffe://other.org/a/b"),
        ("spiffe://finance.acme.internal/_gateway/local", "spiffe://finance.acme.internal/_gateway/local"),
        ("serial:5c1e01", "serial:5c1e01"),
        ("serial:5C:1E:01", "serial:5c1e01"),
        ("serial:00:5C:1E:01", "serial:5c1e01"),
        ("serial:c1e01", "serial:0c1e01"),
        ("serial:0", "serial:00"),
        ("serial:00:00", "serial:00"),
        ("node:proxy/edge-1", "spiffe://system.acme.internal/proxy/edge-1"),
        ("node:agent/vm-pay-1", "spiffe://system.acme.internal/agent/vm-pay-1"),
        ("operator:alice", "spiffe://system.acme.internal/operator/alice"),
        (&format!("key:{KEY}"), &format!("key:{KEY}")),
        (&format!("key:{}", KEY.to_uppercase()), &format!("key:{KEY}")),
    ] {
        assert_eq!(parse(text).as_deref(), Ok(full), "{text}");
        assert_eq!(parse(full).as_deref(), Ok(full), "the full form reads back");
    }
}

#[test]
fn what_keeps_the_organisation_running_is_protected() {
    for text in [
        "operator:local",
        "spiffe://system.acme.internal/operator/local",
        "spiffe://system.acme.internal/control/a",
        "spiffe://system.acme.internal/publisher",
        "spiffe://system.acme.internal",
        "spiffe:spiffe://system.acme.internal/proxy/gw-1/more",
        "system/control",
    ] {
        let error = Subject::parse(text, &organisation()).unwrap_err();
        assert_eq!(error, SubjectError::Protected(text.to_owned()), "{text}");
        assert!(error.hint().contains("restore"));
    }
    assert!(parse("spiffe://system.other.org/x").is_ok(), "another organisation's system is nobody's way in here");
    assert!(parse("spiffe://ecosystem.acme.internal/x").is_ok());
}

#[test]
fn what_is_no_subject_is_refused_with_words() {
    let long = format!("serial:{}", "a".repeat(4096));
    for text in [
        "",
        "payments",
        "user:corp/anna",
        "device:1",
        "session:1",
        "jti:1",
        "node:gw",
        "node:control/a",
        "node:proxy/",
        "node:proxy/a/b",
        "operator:",
        "operator:Alice",
        "SERIAL:01",
        "https://a/b",
        "serial:",
        "serial:xyz",
        "serial:01 02",
        "serial:-1",
        "serial:é",
        "key:",
        "key:00",
        "key:zz",
        "spiffe:",
        "spiffe://",
        "spiffe://finance.acme.internal",
        "spiffe://Finance.acme.internal/a",
        "spiffe://a/b//c",
        "Finance/payments",
        "finance/",
        "finance/pay/ments",
        "finance/_gateway",
        long.as_str(),
    ] {
        let error = Subject::parse(text, &organisation()).unwrap_err();
        assert!(!matches!(error, SubjectError::Protected(_)), "{text}");
        assert!(error.to_string().len() < 200 && !error.hint().is_empty(), "{error}");
    }
    let key = format!("key:{KEY}0");
    assert_eq!(parse(&key), Err(SubjectError::Key(key)));
}

proptest! {
    #[test]
    fn no_text_is_read_as_two_subjects(text in "\\PC{0,80}|(spiffe:|serial:|key:|spiffe://)[a-z0-9:/.]{0,70}") {
        if let Ok(subject) = Subject::parse(&text, &organisation()) {
            prop_assert_eq!(Subject::parse(&subject.to_string(), &organisation()), Ok(subject));
        }
    }
}

#[test]
fn a_revocation_by_id_serial_or_key_counts_for_its_subject_only() {
    let payments = peer("spiffe://finance.acme.internal/payments", &[0x80, 0x01]);
    let ledger = peer("spiffe://finance.acme.internal/ledger", &[0x05]);
    assert_eq!((payments.serial(), ledger.serial()), ("8001", "05"));
    let key = Subject::Key(*payments.key_sha256()).to_string();
    for text in ["finance/payments", "serial:80:01", &key] {
        let state = State::new(3, [revocation(text, None, 3)]);
        let found = state.clear(&payments, NOW).unwrap_err();
        assert_eq!(found.subject, subject(text));
        assert_eq!(state.clear(&ledger, NOW).unwrap().epoch(), 3, "{text}");
        assert!(!state.is_empty());
    }
    let elsewhere = State::new(1, [revocation("hr/payments", None, 1), revocation("serial:8002", None, 1)]);
    assert!(elsewhere.clear(&payments, NOW).is_ok());
    assert!(State::default().is_empty() && State::default().clear(&payments, NOW).is_ok());
}

#[test]
fn a_revoked_agent_takes_what_was_issued_for_its_node_with_it() {
    let here = peer_on("spiffe://finance.acme.internal/payments", "vm-pay-1");
    let state = |subject: &str| State::new(3, [revocation(subject, Some(NOW.plus_seconds(10)), 3)]);
    let revoked = state("node:agent/vm-pay-1");
    let found = revoked.clear(&here, NOW).unwrap_err();
    assert_eq!(found.subject.to_string(), "spiffe://system.acme.internal/agent/vm-pay-1");
    assert!(revoked.clear(&here, NOW.plus_seconds(10)).is_ok(), "it ends as any other");
    for (uri, node) in [
        ("spiffe://finance.acme.internal/payments", "vm-pay-2"),
        ("spiffe://finance.other.org/payments", "vm-pay-1"),
        ("spiffe://acme/payments", "vm-pay-1"),
    ] {
        assert!(revoked.clear(&peer_on(uri, node), NOW).is_ok(), "{uri} on {node}");
    }
    assert!(revoked.clear(&peer("spiffe://finance.acme.internal/payments", &[1]), NOW).is_ok(), "of no node");
    for other in ["node:proxy/vm-pay-1", "spiffe://finance.acme.internal/agent/vm-pay-1", "operator:vm-pay-1"] {
        assert!(state(other).clear(&here, NOW).is_ok(), "{other}");
    }
    // both of one node's revocations are looked at: the longer one counts
    let twice = [Some(NOW), None].map(|until| revocation("node:agent/vm-pay-1", until, 4));
    assert!(State::new(4, twice).clear(&here, NOW.plus_seconds(99)).is_err());
}

#[test]
fn a_revocation_ends_at_its_moment() {
    let payments = peer("spiffe://finance.acme.internal/payments", &[1]);
    let (soon, later) = (NOW.plus_seconds(10), NOW.plus_seconds(20));
    let state = State::new(5, [revocation("finance/payments", Some(soon), 5), revocation("serial:01", Some(later), 5)]);
    let by = |now| state.clear(&payments, now).err().map(|found| found.subject.to_string());
    assert_eq!(by(NOW).as_deref(), Some("spiffe://finance.acme.internal/payments"));
    assert_eq!(
        by(Timestamp::from_micros(soon.micros() - 1)).as_deref(),
        Some("spiffe://finance.acme.internal/payments")
    );
    assert_eq!(by(soon).as_deref(), Some("serial:01"), "one that has ended does not hide one that counts");
    assert_eq!(by(later), None);
    assert_eq!((state.next_end(NOW), state.next_end(soon), state.next_end(later)), (Some(soon), Some(later), None));
    assert!(state.revoked_id(payments.spiffe_id(), NOW).is_some());
    assert!(state.revoked_id(payments.spiffe_id(), soon).is_none());
    assert_eq!(state.iter().count(), 2);
}

#[test]
fn the_epoch_covers_all_and_the_longer_revocation_wins() {
    let soon = Some(NOW.plus_seconds(10));
    let state = |list: [Option<Timestamp>; 2]| {
        State::new(1, list.into_iter().zip(7..).map(|(until, epoch)| revocation("finance/payments", until, epoch)))
    };
    for list in [[None, soon], [soon, None]] {
        assert_eq!(state(list).epoch(), 8);
        assert_eq!(state(list).nobody().epoch(), 8);
        assert_eq!(state(list).iter().map(|found| found.until).collect::<Vec<_>>(), [None]);
    }
    assert_eq!(State::new(9, [revocation("serial:1", None, 2)]).epoch(), 9);
}

#[test]
fn a_clearance_is_about_one_caller() {
    let (payments, ledger) = (peer("spiffe://finance.acme.internal/payments", &[1]), peer("spiffe://a/b", &[1]));
    let cleared = State::default().clear(&payments, NOW).unwrap();
    assert!(cleared.is_about(Some(&payments)));
    assert!(!cleared.is_about(Some(&ledger)) && !cleared.is_about(None));
    let nobody = State::default().nobody();
    assert!(nobody.is_about(None) && !nobody.is_about(Some(&payments)));
}
