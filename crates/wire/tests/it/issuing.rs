//! Identities through the wire: what an agent may ask for, what control answers, and what is told of it.

use std::time::Duration;

use api::{
    admin::Role,
    issuance::{Entitled, HeldSvid, Issuance, IssueError, Predecessor, WorkloadOrder},
    wire::{self, update},
};
use countersign_wire::{Link, NoState, content, start};
use tempfile::TempDir;
use types::attest::{UnixParts, UnixRule};
use types::{AttestRule, Clock, KeyKind, Selectors, SpiffeId, Timestamp};

use crate::fake::*;

fn selectors(uid: u32) -> Selectors {
    Selectors { pid: 1, uid, gid: 1, ..Selectors::default() }
}

fn checkout() -> SpiffeId {
    SpiffeId::parse("spiffe://shop.example.internal/checkout").unwrap()
}

fn user(uid: u32) -> AttestRule {
    UnixRule::new(UnixParts { uid: Some(uid), ..UnixParts::default() }).unwrap().into()
}

fn order() -> WorkloadOrder {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
    WorkloadOrder { id: checkout(), csr_der: csr.der().to_vec(), predecessor: None }
}

fn held(serial: &str, minutes: u64) -> HeldSvid {
    let not_after = Timestamp::from_seconds(1_000 + minutes * 60);
    HeldSvid { spiffe_id: checkout(), serial: serial.to_owned(), not_after, failures: 0 }
}

/// An agent over memory, and its stream.
async fn agent(fake: &Fake) -> (countersign_wire::Peer, Session, std::sync::Arc<dyn Issuance>) {
    let peer = start(fake.in_memory(Role::Agent)).unwrap();
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    session.give_bundles(fake.bundles(1)).await;
    let issuance = peer.issuance().await.unwrap();
    (peer, session, issuance)
}

#[tokio::test(start_paused = true)]
async fn an_agent_answers_from_its_registrations_and_control_mints() {
    let fake = Fake::new();
    let (peer, mut session, issuance) = agent(&fake).await;
    assert_eq!(peer.state().await.err(), Some(NoState::Agent));
    assert!(matches!(issuance.entitled(&selectors(1001)).await, Err(IssueError::Unavailable(_))));
    let workload = Entitled { id: checkout(), key: KeyKind::P384 };
    let workloads = vec![content::registration(&workload, &[user(1001)])];
    let mut changes = issuance.changes();
    session
        .send(update::Update::Registrations(wire::Registrations { generation: 4, workloads, revoked: Vec::new() }))
        .await;
    assert_eq!(session.ack().await.have.unwrap().registrations, 4);
    changes.changed().await.unwrap();
    assert_eq!(issuance.entitled(&selectors(1001)).await.unwrap(), std::slice::from_ref(&workload));
    assert_eq!(issuance.entitled(&selectors(1002)).await.unwrap(), []);
    let order = order();
    assert_eq!(issuance.mint_workload(&selectors(1001), &order).await.unwrap().spiffe_id, checkout());
    let refused = issuance.mint_workload(&selectors(1002), &order).await;
    assert_eq!(refused, Err(IssueError::NotEntitled("no rule matches".to_owned())));
    let gateway = issuance.mint_gateway(&label("shop"), &label("edge-1"), &order.csr_der).await;
    assert!(matches!(gateway, Err(IssueError::NotEntitled(_))), "an agent is no gateway");
    session.close();
    let mut link = peer.link();
    link.wait_for(|link| matches!(link, Link::Waiting { .. })).await.unwrap();
    let unavailable = issuance.mint_workload(&selectors(1001), &order).await;
    assert!(matches!(unavailable, Err(IssueError::Unavailable(_))), "{unavailable:?}");
    assert_eq!(issuance.entitled(&selectors(1001)).await.unwrap(), [workload]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_learns_which_certificates_and_keys_are_good_no_more() {
    let fake = Fake::new();
    let (_peer, mut session, issuance) = agent(&fake).await;
    let key = [0xab; 32];
    let is_revoked = || (issuance.is_revoked("5c", &[0; 32]), issuance.is_revoked("5", &key));
    assert_eq!(is_revoked(), (false, false));
    let tell = |generation, revoked: &[&str]| {
        let revoked = revoked.iter().map(|&subject| subject.to_owned()).collect();
        update::Update::Registrations(wire::Registrations { generation, workloads: Vec::new(), revoked })
    };
    let mut changes = issuance.changes();
    changes.mark_unchanged();
    // what a later release may name matches nothing
    session.send(tell(4, &["serial:5c", &format!("key:{}", "ab".repeat(32)), "moon:full", ""])).await;
    assert_eq!(session.ack().await.refused, "");
    assert!(changes.has_changed().unwrap(), "whoever holds it must learn it");
    assert_eq!(is_revoked(), (true, true));
    session.send(tell(5, &["serial:5c"])).await;
    session.ack().await;
    assert_eq!(is_revoked(), (true, false));
}

#[tokio::test(start_paused = true)]
async fn rules_that_are_not_known_here_recognise_nobody_and_control_is_told() {
    let fake = Fake::new();
    let (_peer, mut session, issuance) = agent(&fake).await;
    let known = Entitled { id: checkout(), key: KeyKind::P256 };
    let stock = SpiffeId::parse("spiffe://shop.example.internal/stock").unwrap();
    // a later release asks for a user and for something else
    let later =
        [content::registration(&Entitled { id: stock, ..known.clone() }, &[user(1001)]), vec![0xa2, 0x06, 1, 7]];
    let workloads = vec![content::registration(&known, &[user(1001)]), later.concat()];
    session
        .send(update::Update::Registrations(wire::Registrations { generation: 4, workloads, revoked: Vec::new() }))
        .await;
    let ack = session.ack().await;
    assert_eq!((ack.refused.as_str(), ack.have.unwrap().registrations), ("invalid", 4));
    assert!(ack.why.contains("shop.example.internal/stock") && ack.why.contains("up to date"), "{}", ack.why);
    assert_eq!(issuance.entitled(&selectors(1001)).await.unwrap(), [known]);
}

#[tokio::test(start_paused = true)]
async fn a_predecessor_goes_along_and_too_much_is_told_apart() {
    let fake = Fake::new();
    let (_peer, _session, issuance) = agent(&fake).await;
    let predecessor = Some(Predecessor { certificate_der: vec![1, 2], signature: vec![3] });
    issuance.mint_workload(&selectors(1001), &WorkloadOrder { predecessor, ..order() }).await.unwrap();
    let told = wire::Predecessor { certificate: vec![1, 2], signature: vec![3] };
    assert_eq!(fake.predecessor(), Some(told));
    let limited = issuance.mint_workload(&selectors(1003), &order()).await;
    assert_eq!(limited, Err(IssueError::Limited("600 a minute and no more".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_jwt_svid_comes_for_what_was_asked_or_not_at_all() {
    let fake = Fake::new();
    let (_peer, _session, issuance) = agent(&fake).await;
    let (id, audience) = (checkout(), |text: &str| vec![text.to_owned()]);
    let svid = issuance.mint_jwt(&selectors(1001), &id, &audience("ledger")).await.unwrap();
    assert_eq!((svid.spiffe_id.clone(), svid.token.as_str()), (checkout(), "e30.ledger.c2ln"));
    assert_eq!((svid.issued_at, svid.not_after), (fake.clock.now(), fake.clock.now().plus_seconds(300)));
    assert!(!format!("{svid:?}").contains("c2ln"), "the token is a secret: {svid:?}");
    for strange in ["somebody-else", "nothing"] {
        let refused = issuance.mint_jwt(&selectors(1001), &id, &audience(strange)).await;
        assert!(matches!(refused, Err(IssueError::Unavailable(_))), "{strange}: {refused:?}");
    }
    let limited = issuance.mint_jwt(&selectors(1003), &id, &audience("ledger")).await;
    assert!(matches!(limited, Err(IssueError::Limited(_))), "{limited:?}");
    let refused = issuance.mint_jwt(&selectors(1002), &id, &audience("ledger")).await;
    assert!(matches!(refused, Err(IssueError::NotEntitled(_))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_told_once_a_second_at_most_and_again_to_every_control() {
    let fake = Fake::new();
    let (_peer, mut session, issuance) = agent(&fake).await;
    // a hundred changes in one second are one report, of the last of them
    for number in 0..100 {
        issuance.tell_held(vec![held(&format!("{number:02x}"), 60)]);
    }
    let told = session.holdings().await;
    assert_eq!((told.held.len(), told.held[0].serial.as_str(), told.more), (1, "63", 0));
    let before = tokio::time::Instant::now();
    issuance.tell_held(vec![held("64", 60), held("01", 5)]);
    let told = session.holdings().await;
    assert!(before.elapsed() <= Duration::from_secs(1), "{:?}", before.elapsed());
    assert_eq!(told.held.iter().map(|held| held.serial.as_str()).collect::<Vec<_>>(), ["01", "64"]);
    // the same again is no news
    issuance.tell_held(vec![held("01", 5), held("64", 60)]);
    assert!(tokio::time::timeout(Duration::from_secs(3), session.report()).await.is_err());
    session.close();
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    assert_eq!(session.holdings().await, told);
    // nothing is held any more: that is told too
    issuance.tell_held(vec![]);
    assert_eq!(session.holdings().await, wire::Holdings::default());
}

#[tokio::test]
async fn an_agent_far_away_tells_what_is_held_over_tls() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    fake.allow_token("t0ken");
    let peer = start(fake.remote_agent(fake.over_tls(), data.path(), Some("t0ken"))).unwrap();
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    session.give_bundles(fake.bundles(1)).await;
    let issuance = peer.issuance().await.unwrap();
    issuance.tell_held(vec![held("0a", 60)]);
    assert_eq!(session.holdings().await.held[0].serial, "0a");
    issuance.mint_jwt(&selectors(1001), &checkout(), &["ledger".to_owned()]).await.unwrap();
    peer.finish().await;
}
