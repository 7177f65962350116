//! How much a peer can make control hold: little, whoever it is.

use api::admin::Role;
use api::wire::report::Report as Said;
use api::wire::update::Update as Content;
use api::wire::{Have, Kind, Offer, Signals, Want};
use types::limits;

use super::support::{Net, in_process, until};
use crate::fixture::World;

/// A report of so many bytes, and some.
fn want(bytes: usize) -> Said {
    Said::Want(Want { sha256: vec![vec![7; 32]; bytes / 34 + 1] })
}

fn offer(bytes: usize) -> Said {
    let signals = Signals { added: vec![vec![0; bytes]], ..Signals::default() };
    Said::Offer(Offer { signals: Some(signals), ..Offer::default() })
}

/// What a peer says that was ahead of this store, until it is asked.
async fn ahead(net: &Net) -> super::support::Fake {
    let have = Have { publication: 9, revision: vec![1; 32], epoch: 9, signals_digest: vec![2; 32], ..Have::default() };
    let mut peer = net.follow(in_process(Role::Proxy, "edge"), have).await.unwrap();
    while !matches!(peer.receive().await.expect("the stream ended"), Content::Ask(_)) {}
    peer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_report_that_nobody_asked_for_ends_the_connection_unread() {
    let world = World::new();
    let net = Net::of(&world);
    let most = limits::WIRE_REPORT_BYTES.default_usize();
    for said in [want(most + 1), offer(most + 1), offer(8 * most)] {
        let mut peer = net.follow(in_process(Role::Proxy, "edge"), Have::default()).await.unwrap();
        peer.say(said).await;
        let (why, retry) = peer.goodbye().await;
        assert!(why.contains("1048576 are taken") && !retry, "{why}");
    }
    assert!(
        world.acts().iter().any(|act| act.contains("report deny") && act.contains("proxy/edge")),
        "{:?}",
        world.acts()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_for_may_be_long_once() {
    let world = World::new();
    let net = Net::of(&world);
    let most = limits::WIRE_REPORT_BYTES.default_usize();
    let mut peer = ahead(&net).await;
    peer.say(offer(2 * most)).await;
    // it is read, and refused for what it is: nobody signed it
    until(|| is_refused(&world, "not signed")).await;
    peer.say(offer(2 * most)).await;
    let (why, _) = peer.goodbye().await;
    assert!(why.contains("1048576 are taken"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_question_gets_one_answer() {
    let world = World::new();
    let net = Net::of(&world);
    let peer = ahead(&net).await;
    for _ in 0..50 {
        peer.say(offer(10)).await;
    }
    // what is said after them is heard after them
    peer.answer(Kind::Publication, 9, "invalid", "it does not compile").await;
    until(|| world.control.hub.peers.all().iter().any(|seen| seen.refused.is_some())).await;
    let considered = world.acts().iter().filter(|act| act.starts_with("adopt deny")).count();
    assert_eq!(considered, 1, "{:?}", world.acts());
}

fn is_refused(world: &World, words: &str) -> bool {
    world.acts().iter().any(|act| act.starts_with("adopt deny") && act.contains(words))
}
