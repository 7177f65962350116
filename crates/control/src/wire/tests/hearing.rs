//! What peers say of themselves: which bundles they have in force, and what agents handed out.

use api::admin::{Retire, Role};
use api::keys::KeyStep;
use api::protocol::refusals;
use api::wire::report::Report as Said;
use api::wire::update::Update as Content;
use api::wire::{Have, Holding, Holdings, Kind};
use types::Timestamp;

use super::support::{Fake, Net, in_process, until};
use crate::Control;
use crate::fixture::{Folder, LOG_BYTES, World, append, files};
use crate::wire::{Behind, NodeHoldings};

/// The starter with a pool that agents join.
fn world() -> World {
    let mut files = files();
    append(&mut files, "countersign.yaml", "nodes: { pool: { join: token } }\n");
    World::with(&files, Folder::Own(tempfile::tempdir().unwrap()), LOG_BYTES)
}

/// One more root in the bundle of the shop.
fn publish_a_root(world: &World) {
    let (shop, now) = (types::Label::parse("shop").unwrap(), types::Clock::now(&*world.clock));
    for step in [KeyStep::Prepare, KeyStep::Publish] {
        world.told.keys.step(&shop, api::admin::Keys::X509, step, now).unwrap();
    }
}

fn holding(serial: &str) -> Holding {
    let spiffe_id = "spiffe://shop.example.internal/storefront".to_owned();
    Holding { spiffe_id, serial: serial.to_owned(), not_after: 7_000_000, failures: 2 }
}

fn holdings(serials: &[&str]) -> Said {
    Said::Holdings(Holdings { held: serials.iter().map(|serial| holding(serial)).collect(), more: 3 })
}

fn gateway(name: &str) -> Said {
    let spiffe_id = format!("spiffe://shop.example.internal/_gateway/{name}");
    Said::Holdings(Holdings { held: vec![Holding { spiffe_id, ..holding("0a") }], more: 0 })
}

fn node(control: &Control, name: &str) -> NodeHoldings {
    control.holdings().into_iter().find(|one| one.node.as_str() == name).unwrap()
}

fn behind(control: &Control, number: u64) -> Vec<(String, bool, u64, String)> {
    let line = |one: Behind| (format!("{}/{}", one.role.as_str(), one.name), one.connected, one.bundles, one.problem);
    control.behind_on_bundles(number).into_iter().map(line).collect()
}

async fn has_bundles(fake: &mut Fake, number: u64) {
    fake.until(|fake| fake.have.bundles >= number).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_holds_is_known_while_it_is_away_and_until_it_retires() {
    let world = world();
    let net = Net::of(&world);
    assert!(world.control.holdings().is_empty());
    let (who, _) = net.joined(&world, Role::Agent, "vm-1", Some("pool")).await;
    let silent = node(&world.control, "vm-1");
    assert_eq!((silent.connected, silent.told, silent.held.len()), (false, false, 0));
    let agent = net.follow(who.clone(), Have::default()).await.unwrap();
    agent.say(holdings(&["0b", "0a"])).await;
    until(|| node(&world.control, "vm-1").told).await;
    let told = node(&world.control, "vm-1");
    let serials: Vec<&str> = told.held.iter().map(|held| held.serial.as_str()).collect();
    assert_eq!((told.connected, serials, told.more), (true, vec!["0a", "0b"], 3));
    assert_eq!((told.held[0].failures, told.held[0].not_after), (2, Timestamp::from_micros(7_000_000)));
    assert!(told.heard.is_some());
    drop(agent);
    until(|| !node(&world.control, "vm-1").connected).await;
    assert_eq!(node(&world.control, "vm-1").held, told.held, "a node that is cut off still holds what it held");
    // who comes back tells it anew, whole
    let agent = net.follow(who, Have::default()).await.unwrap();
    agent.say(holdings(&["0c"])).await;
    until(|| node(&world.control, "vm-1").held.len() == 1).await;
    let retire = Retire { role: Role::Agent, name: "vm-1".to_owned(), why: "scrapped".to_owned() };
    net.ask(move |admin| admin.retire("local", &retire)).await.unwrap();
    assert!(world.control.holdings().is_empty());
    // who joins under its name has said nothing yet, whatever the one before held
    let _newcomer = net.joined(&world, Role::Agent, "vm-1", Some("pool")).await;
    let newcomer = node(&world.control, "vm-1");
    assert_eq!((newcomer.told, newcomer.held.len()), (false, 0));
    // an agent that shares the process counts like any other
    let here = net.follow(in_process(Role::Agent, "local"), Have::default()).await.unwrap();
    here.say(holdings(&["0d"])).await;
    until(|| world.control.holdings().iter().any(|one| one.node.as_str() == "local" && one.told)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bundles_of_somebody_who_retired_are_not_those_of_the_next_under_its_name() {
    let world = world();
    let net = Net::of(&world);
    let first = world.control.bundles_told().unwrap();
    for _ in 0..2 {
        let (who, _) = net.joined(&world, Role::Proxy, "edge", None).await;
        assert_eq!(behind(&world.control, first).len(), 1, "it joined and was never there");
        let mut peer = net.follow(who, Have::default()).await.unwrap();
        has_bundles(&mut peer, first).await;
        until(|| behind(&world.control, first).is_empty()).await;
        let retire = Retire { role: Role::Proxy, name: "edge".to_owned(), why: "scrapped".to_owned() };
        net.ask(move |admin| admin.retire("local", &retire)).await.unwrap();
    }
    // nothing is kept of those who are gone
    let mut here = net.proxy("here").await;
    has_bundles(&mut here, first).await;
    assert_eq!(world.control.hub.heard.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holdings_that_are_none_end_the_connection() {
    let world = world();
    let net = Net::of(&world);
    let bad = Said::Holdings(Holdings { held: vec![Holding { spiffe_id: "x".to_owned(), ..holding("0a") }], more: 0 });
    let many = vec![holding("0a"); types::limits::HELD_SVIDS.default_usize() + 1];
    for (role, said, words) in [
        (Role::Agent, bad, "no SPIFFE ID"),
        (Role::Agent, Said::Holdings(Holdings { held: many, more: 0 }), "more than 4096"),
        (Role::Proxy, holdings(&["0a"]), "none of its gateways"),
        (Role::Proxy, gateway("other"), "none of its gateways"),
    ] {
        let mut peer = net.follow(in_process(role, "odd"), Have::default()).await.unwrap();
        peer.say(said).await;
        let (why, _) = peer.goodbye().await;
        assert!(why.contains(words), "{why}");
    }
    assert!(world.control.holdings().iter().all(|one| !one.told));
    // a proxy's own gateways are what it may name
    let edge = net.follow(in_process(Role::Proxy, "edge"), Have::default()).await.unwrap();
    edge.say(gateway("edge")).await;
    until(|| world.control.holdings().iter().any(|one| one.role == Role::Proxy && one.told)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lacks_bundles_is_named_with_what_it_said() {
    let world = world();
    let net = Net::of(&world);
    let (edge, _) = net.joined(&world, Role::Proxy, "edge", None).await;
    let (_away, _) = net.joined(&world, Role::Agent, "vm-1", Some("pool")).await;
    let first = world.control.bundles_told().unwrap();
    assert_eq!((first, world.control.bundles_number()), (1, 1));
    let mut peer = net.follow(edge, Have::default()).await.unwrap();
    has_bundles(&mut peer, first).await;
    until(|| behind(&world.control, first).len() == 1).await;
    // a peer that was never there counts as behind, by its name
    assert_eq!(behind(&world.control, first), [("agent/vm-1".to_owned(), false, 0, String::new())]);
    publish_a_root(&world);
    peer.acknowledges = false;
    let next = world.control.bundles_told().unwrap();
    assert!(next > first, "told at once, under a number of its own");
    has_bundles(&mut peer, next).await;
    peer.have.bundles = first;
    peer.answer(Kind::Bundles, next, refusals::FORGED, "nobody vouches for it").await;
    let edge = |problem: &str, bundles| ("proxy/edge".to_owned(), true, bundles, problem.to_owned());
    until(|| behind(&world.control, next).contains(&edge("nobody vouches for it", first))).await;
    // something else that is refused does not hide it
    peer.answer(Kind::Publication, 7, refusals::INVALID, "it does not compile").await;
    let refused =
        || world.control.hub.peers.all().into_iter().filter_map(|seen| seen.refused).any(|it| it.word == "invalid");
    until(refused).await;
    assert!(behind(&world.control, next).contains(&edge("nobody vouches for it", first)));
    peer.have.bundles = next;
    peer.answer(Kind::Bundles, next, "", "").await;
    until(|| behind(&world.control, next).len() == 1).await;
    // a disk that was lost is behind again
    drop(peer);
    until(|| !world.control.hub.peers.all().iter().any(crate::peers::Seen::is_connected)).await;
    assert_eq!(behind(&world.control, next).len(), 1, "who is away keeps what it acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bundles_that_cannot_be_signed_are_not_told() {
    let world = world();
    let net = Net::of(&world);
    let mut peer = net.proxy("edge").await;
    let first = world.control.bundles_told().unwrap();
    has_bundles(&mut peer, first).await;
    world.told.dumb.store(true, std::sync::atomic::Ordering::Relaxed);
    publish_a_root(&world);
    let refused = world.control.bundles_told().unwrap_err();
    assert!(refused.contains("nothing can be signed"), "{refused}");
    assert_eq!(world.control.bundles_number(), first);
    world.told.dumb.store(false, std::sync::atomic::Ordering::Relaxed);
    let next = world.control.bundles_told().unwrap();
    has_bundles(&mut peer, next).await;
    assert!(peer.came.iter().any(|content| matches!(content, Content::Bundles(_))));
}
