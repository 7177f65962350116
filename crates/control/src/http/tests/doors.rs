//! A walk over every question as everybody who is not known: refused, and on record where it is an act.

use signal::{Revocation, State, Subject};
use types::SpiffeId;

use super::*;

/// Everybody who is not known, with the operator that they claim to be.
fn strangers(world: &World) -> Vec<(&'static str, Door, &'static str)> {
    let revoked = peer(world, "spiffe://system.example.internal/operator/alice");
    let revocation = |subject| Revocation {
        subject,
        reason: "stolen".to_owned(),
        operator: "local".to_owned(),
        at: Timestamp::default(),
        until: None,
        epoch: 1,
    };
    let subject = Subject::Serial(revoked.serial().to_owned());
    world.control.parts.signals.store(Arc::new(State::new(1, [revocation(subject)])));
    // every certificate of the test authority has this serial number: of the others it is not held against them
    let others = |id: &str| Door::Peer(peer(world, id));
    vec![
        ("without a certificate", Door::Nobody, ""),
        ("a user who is no operator", user(65_534), ""),
        ("root", user(0), ""),
        ("a revoked certificate", Door::Peer(revoked), "alice"),
        ("a proxy", others("spiffe://system.example.internal/proxy/edge-1"), ""),
        ("control", others("spiffe://system.example.internal/control/local"), ""),
        ("an operator and more", others("spiffe://system.example.internal/operator/alice/x"), ""),
        (
            "the owner of the data directory by certificate",
            others("spiffe://system.example.internal/operator/local"),
            "",
        ),
    ]
}

async fn walk(world: &World, what: &str, door: &Door, claimed: &str) {
    for endpoint in ENDPOINTS {
        world.clock.advance(1);
        let before = refusals(world).len();
        let answer = send(world, door, good(endpoint)).await;
        let place = format!("{} {} as {what}: {answer:?}", endpoint.method, endpoint.path);
        assert_eq!(answer.status, 401, "{place}");
        assert!(!answer.failure().message.is_empty() && !answer.failure().hint.is_empty(), "{place}");
        let recorded = refusals(world).split_off(before);
        match endpoint.kind {
            Kind::View => assert_eq!(recorded, [], "{place}"),
            Kind::Act(act) => {
                assert_eq!(recorded.len(), 1, "{place}: {recorded:?}");
                assert_eq!((recorded[0].0.as_str(), recorded[0].1.as_str()), (act, claimed), "{place}");
                assert_eq!(recorded[0].2, answer.failure().message, "{place}");
            }
        }
    }
}

#[tokio::test]
async fn every_question_is_refused_to_everybody_who_is_not_known() {
    let world = World::owned();
    let revision = world.revision();
    for (what, door, claimed) in strangers(&world) {
        walk(&world, what, &door, claimed).await;
    }
    assert_eq!(world.revision(), revision);
}

#[tokio::test]
async fn every_question_is_refused_to_whose_entry_is_gone_or_whose_certificate_is_over() {
    let world = World::owned();
    let gone = operator(&world, "zoe");
    walk(&world, "somebody whose entry is gone", &gone, "zoe").await;
    let alice = operator(&world, "alice");
    assert_eq!(send(&world, &alice, request("GET", "/v1/status", "")).await.status, 200);
    world.clock.advance(3_601);
    walk(&world, "somebody whose certificate is over", &alice, "alice").await;
}

#[tokio::test]
async fn a_connection_that_is_open_ends_to_count_with_the_entry_or_the_trust() {
    let world = World::owned();
    for (door, name) in [(operator(&world, "bob"), "bob"), (user(4_002), "bob")] {
        assert_eq!(send(&world, &door, request("GET", "/v1/map", "")).await.status, 200, "{name}");
    }
    let mut files = crate::fixture::owned();
    let text = String::from_utf8(files.remove("countersign.yaml").unwrap()).unwrap();
    files.insert("countersign.yaml", text.replace("  bob: { uid: 4002, roles: [owner] }\n", ""));
    let proposal = world.admin().publish("alice", &crate::fixture::request(&files)).unwrap();
    let api::admin::Published::Proposed { proposal } = proposal else { panic!("{proposal:?}") };
    let approve = api::admin::Approve { number: proposal.number, revision: proposal.revision, why: String::new() };
    crate::fixture::current(world.admin().approve("sally", &approve).unwrap());
    for door in [operator(&world, "bob"), user(4_002)] {
        assert_eq!(send(&world, &door, request("GET", "/v1/map", "")).await.status, 401, "bob is gone");
    }
    let alice = SpiffeId::parse("spiffe://system.example.internal/operator/alice").unwrap();
    let held = Revocation {
        subject: Subject::Spiffe(alice),
        reason: "stolen".to_owned(),
        operator: "local".to_owned(),
        at: Timestamp::default(),
        until: None,
        epoch: 1,
    };
    world.control.parts.signals.store(Arc::new(State::new(1, [held])));
    for door in [operator(&world, "alice"), user(4_001)] {
        assert_eq!(send(&world, &door, request("GET", "/v1/map", "")).await.status, 401, "alice is not trusted");
    }
}

#[tokio::test]
async fn a_flood_of_strangers_is_counted_and_does_not_fill_the_log() {
    let world = World::owned();
    let revoke = r#"{"subject":"shop/storefront","reason":"x"}"#;
    for _ in 0..50 {
        assert_eq!(send(&world, &Door::Nobody, request("POST", "/v1/revocations", revoke)).await.status, 401);
    }
    assert_eq!(refusals(&world).len(), 4);
    world.clock.advance(1);
    send(&world, &Door::Nobody, request("POST", "/v1/revocations", revoke)).await;
    let recorded = refusals(&world);
    assert!(recorded.len() == 5 && recorded[4].2.ends_with("; 46 before it were only counted"), "{recorded:?}");
}
