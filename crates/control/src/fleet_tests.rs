//! The fleet as operators see it.

use api::admin::{FailureCode, Revoke, Role, Severity};
use api::wire::{Have, Load};

use types::{Label, Timestamp};

use crate::fixture::World;
use crate::peers::Refused;
use crate::store::Place;

fn proxy(name: &str) -> Place {
    Place { role: Role::Proxy, name: Label::parse(name).unwrap(), group: None, domains: None }
}

/// Connects a proxy of this process that holds what is current.
fn connected(world: &World, name: &str) -> (crate::peers::Name, crate::peers::Held) {
    let now = types::Clock::now(&*world.clock);
    let held = world.control.hub.peers.connect(&proxy(name), true, None, now).unwrap();
    let name = (Role::Proxy, Label::parse(name).unwrap());
    let revision = world.revision().digest().to_vec();
    let have = Have { publication: 1, revision, signals_digest: vec![0; 32], ..Have::default() };
    let confirmed = Timestamp::from_micros(now.micros() + 12_345);
    world.control.hub.peers.acknowledge(&name, held.id, &have, confirmed, Some(now));
    (name, held)
}

fn finding(world: &World, subject: &str) -> (Severity, String) {
    let all = world.admin().doctor();
    let found = all.iter().find(|one| one.subject == subject);
    found.map(|one| (one.severity, one.message.clone())).unwrap_or_else(|| panic!("{all:?}"))
}

#[test]
fn the_doctor_tells_how_long_a_revocation_may_take_at_worst() {
    let world = World::new();
    world.control.changed();
    let (name, held) = connected(&world, "edge");
    let (severity, message) = finding(&world, "revocation in shop");
    assert_eq!(severity, Severity::Good);
    assert_eq!(
        message,
        "1 enforcer connected: the last change was in force after 13 ms; at worst 300 s: one that is cut off refuses then"
    );
    assert_eq!(finding(&world, "fleet"), (Severity::Good, "1 peer is connected and runs what is current".to_owned()));
    world.control.hub.peers.disconnect(&name, held.id, types::Clock::now(&*world.clock), "gone");
    let (severity, message) = finding(&world, "revocation in shop");
    assert_eq!(severity, Severity::Warning);
    assert_eq!(message, "edge cannot be told now; at worst 300 s: calls there are refused then");
    assert!(finding(&world, "fleet").1.starts_with("proxy/edge is not connected"), "{:?}", finding(&world, "fleet"));
}

#[test]
fn how_long_a_change_took_is_told_of_those_only_who_were_connected_when_it_was_made() {
    let world = World::new();
    world.control.changed();
    let (hub, now) = (&world.control.hub, || types::Clock::now(&*world.clock));
    assert_eq!(hub.epoch_since(), None, "nothing was ever revoked");
    let (early, early_line) = connected_without(&world, "early");
    let unmeasured =
        "1 enforcer connected: no change was measured yet; at worst 300 s: one that is cut off refuses then";
    confirm(&world, &early, early_line.id, hub.epoch_since());
    assert_eq!(finding(&world, "revocation in shop").1, unmeasured);
    world.clock.advance(60);
    let request = Revoke { subject: "shop/storefront".to_owned(), reason: "a test".to_owned(), seconds: None };
    world.admin().revoke("local", &request).unwrap();
    assert_eq!(hub.epoch_since(), Some(now()));
    world.clock.advance(7_200);
    let (late, late_line) = connected_without(&world, "late");
    for (name, id) in [(&late, late_line.id), (&early, early_line.id)] {
        confirm(&world, name, id, hub.epoch_since());
    }
    let took = |name| hub.peers.get(name).unwrap().took;
    assert_eq!((took(&late), took(&early)), (None, Some(7_200_000_000)));
}

fn connected_without(world: &World, name: &str) -> (crate::peers::Name, crate::peers::Held) {
    let held = world.control.hub.peers.connect(&proxy(name), true, None, types::Clock::now(&*world.clock)).unwrap();
    ((Role::Proxy, Label::parse(name).unwrap()), held)
}

fn confirm(world: &World, name: &crate::peers::Name, id: u64, changed: Option<Timestamp>) {
    let epoch = world.control.hub.snapshot().truth.epoch;
    let have = Have { epoch, signals_digest: vec![0; 32], ..Have::default() };
    world.control.hub.peers.acknowledge(name, id, &have, types::Clock::now(&*world.clock), changed);
}

#[test]
fn the_doctor_tells_of_clocks_refusals_and_identities_that_two_use() {
    let world = World::new();
    world.control.changed();
    let (name, held) = connected(&world, "edge");
    let (peers, now) = (&world.control.hub.peers, types::Clock::now(&*world.clock));
    peers.pulse(&name, held.id, now.micros() - 3_600_000_000, Some(Load { allowed: 7, ..Load::default() }), now);
    assert_eq!(finding(&world, "fleet").1, "the clock of proxy/edge is 3600 s behind control's");
    let shown = world.admin().fleet().unwrap().remove(0);
    assert_eq!((shown.clock_ahead_millis, shown.load.unwrap().allowed), (-3_600_000, 7));
    assert_eq!((shown.address.as_str(), shown.connected, shown.publications_behind), ("in this process", true, 0));
    let refused = Refused { what: "publication 1".into(), word: "invalid".into(), why: "line 3".into() };
    peers.refuse(&name, held.id, Some(refused));
    assert_eq!(finding(&world, "fleet").1, "proxy/edge: it refused publication 1 (invalid): line 3");
    peers.refuse(&name, held.id, None);
    (0..5).for_each(|_| drop(connected(&world, "edge")));
    let (severity, message) = finding(&world, "fleet");
    assert!(severity == Severity::Problem && message.contains("anew 5 times within an hour"), "{message}");
    let text = world.admin().metrics();
    for line in [
        "countersign_peers{role=\"proxy\",state=\"connected\"} 1\n",
        "countersign_peer_publications_behind{peer=\"proxy/edge\"} 0\n",
        "countersign_peer_clock_ahead_seconds{peer=\"proxy/edge\"} -3600\n",
        "countersign_peers_told 1\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn peers_are_revoked_by_name_where_there_are_any() {
    let world = World::new();
    let revoke = |subject: &str| {
        let request = Revoke { subject: subject.to_owned(), reason: "stolen".to_owned(), seconds: None };
        world.admin().revoke("local", &request)
    };
    let missing = revoke("node:proxy/edge").unwrap_err();
    assert_eq!((missing.code, missing.message.as_str()), (FailureCode::NotFound, "nobody is called `proxy/edge`"));
    let (_, held) = connected(&world, "edge");
    let revoked = revoke("node:proxy/edge").unwrap();
    assert_eq!(revoked.subject, "spiffe://system.example.internal/proxy/edge");
    let ending = held.end.borrow().clone().unwrap();
    assert_eq!((ending.why.as_str(), ending.retry), ("it is revoked: stolen", false));
    let shown = world.admin().fleet().unwrap().remove(0);
    assert!(shown.revoked && shown.problem == "it is revoked: stolen", "{shown:?}");
    assert_eq!(revoke("spiffe://system.example.internal/publisher").unwrap_err().code, FailureCode::NotAllowed);
}
