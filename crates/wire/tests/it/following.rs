//! What control sends comes into force, and is acknowledged; over memory, with time standing still.

use std::time::Duration;

use api::{
    admin::Role,
    wire::{self, Ask, Entry, Kind, report, update},
};
use countersign_wire::{Link, NoState, content, start};
use prost::Message;
use types::{Clock, SpiffeId};

use crate::fake::*;

#[tokio::test(start_paused = true)]
async fn a_proxy_is_ready_when_it_has_everything_and_not_before() {
    let fake = Fake::new();
    let peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let mut session = fake.session().await;
    let hello = session.hello().await;
    assert_eq!((hello.oldest, hello.newest, hello.version.as_str()), (1, 1, "1.2.3"));
    assert_eq!(hello.have, Some(wire::Have::default()));
    session.welcome().await;
    let files = directory("one");
    let mut state = Box::pin(peer.state());
    for step in 0..3 {
        assert!(once(state.as_mut()).await.is_none(), "too early: {step}");
        let ack = match step {
            0 => session.give_signals(fake.signals(3, &["shop/checkout"])).await,
            1 => session.give_manifest(fake.manifest(7, &files), &files).await,
            _ => session.give_bundles(fake.bundles(2)).await,
        };
        assert_eq!(ack.refused, "", "{}", ack.why);
    }
    let state = state.await.unwrap();
    let revision = state.revision.load();
    assert_eq!(revision.id(), trustdir::part::revision_id_of(&trustdir::part::manifest_of(&files).unwrap()));
    let id = SpiffeId::parse("spiffe://shop.example.internal/checkout").unwrap();
    assert!(state.signals.load().revoked_id(&id, fake.clock.now()).is_some());
    assert_eq!(state.issuance.bundles().generation, 2);
    assert!(matches!(&*peer.link().borrow(), Link::Connected { control, .. } if control == "fake"));
}

/// Polls once.
async fn once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = &mut future => Some(output),
        () = std::future::ready(()) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_say_what_is_held() {
    let fake = Fake::new();
    let _peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let (first, second) = (directory("one"), directory("two"));
    let mut session = fake.bring_up(1, &first).await;
    let ack = session.give_manifest(fake.manifest(2, &second), &second).await;
    let have = ack.have.clone().unwrap();
    assert_eq!((have.publication, have.epoch, have.bundles), (2, 1, 1));
    assert_eq!(have.revision, fake_digest(&second));
    assert_eq!((ack.kind(), ack.number), (Kind::Publication, 2));
    // the same again is in force already
    let ack = session.give_manifest(fake.manifest(2, &second), &second).await;
    assert_eq!((ack.refused.as_str(), ack.number), ("", 2));
}

fn fake_digest(files: &trustdir::MemoryFiles) -> Vec<u8> {
    trustdir::part::revision_id_of(&trustdir::part::manifest_of(files).unwrap()).digest().to_vec()
}

#[tokio::test(start_paused = true)]
async fn every_swap_is_told() {
    let fake = Fake::new();
    let peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let mut session = fake.bring_up(1, &directory("one")).await;
    let mut state = peer.state().await.unwrap();
    state.changes.borrow_and_update();
    session.give_signals(fake.signals(2, &[])).await;
    state.changes.changed().await.unwrap();
    assert!(state.signals.load().is_empty());
    assert_eq!(state.signals.load().epoch(), 2);
}

#[tokio::test(start_paused = true)]
async fn changes_to_what_is_held_are_enough() {
    let fake = Fake::new();
    let peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let (first, second) = (directory("one"), directory("two"));
    let mut session = fake.bring_up(1, &first).await;
    let mut delta = fake.manifest(2, &second);
    delta.entries.retain(|entry| entry.path == "countersign.yaml");
    delta.base = fake_digest(&first);
    assert_eq!(session.give_manifest(delta, &second).await.refused, "");
    let whole = fake.signals(9, &["shop/checkout", "shop/stock"]);
    let gone = sha256(&fake.signals(1, &["shop/checkout"]).added[0]);
    let added = whole.added[1..].to_vec();
    let digest = content::digest(added.iter().map(Vec::as_slice));
    let signed = Some(fake.sign(Kind::Signals, 9, digest));
    let delta = wire::Signals { signed, base: 1, added, removed: vec![gone.to_vec()] };
    assert_eq!(session.give_signals(delta).await.refused, "");
    let state = peer.state().await.unwrap();
    let signals = state.signals.load();
    assert_eq!(
        signals.iter().map(|revocation| revocation.subject.to_string()).collect::<Vec<_>>(),
        ["spiffe://shop.example.internal/stock"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_removed_file_is_gone() {
    let fake = Fake::new();
    let _peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let first = directory("one");
    let mut session = fake.bring_up(1, &first).await;
    let mut second = first.clone();
    second.remove("domains/shop/tests/stock.yaml").unwrap();
    let mut delta = fake.manifest(2, &second);
    delta.entries = vec![Entry { path: "domains/shop/tests/stock.yaml".to_owned(), ..Entry::default() }];
    delta.base = fake_digest(&first);
    let ack = session.give_manifest(delta, &second).await;
    assert_eq!((ack.refused.as_str(), ack.have.unwrap().revision), ("", fake_digest(&second)));
}

#[tokio::test(start_paused = true)]
async fn a_change_to_something_else_is_asked_for_as_a_whole() {
    let fake = Fake::new();
    let peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let files = directory("one");
    let mut session = fake.bring_up(1, &files).await;
    let ack = session.give_signals(wire::Signals { base: 77, ..fake.signals(78, &[]) }).await;
    assert_eq!((ack.refused.as_str(), session.report().await), ("content", None));
    let mut session = fake.session().await;
    let have = session.hello().await.have.unwrap();
    assert_eq!((have.publication, have.epoch), (1, 0));
    session.welcome().await;
    assert_eq!(session.give_signals(fake.signals(78, &[])).await.refused, "");
    let ack =
        session.give_manifest(wire::Manifest { base: vec![9; 32], ..fake.manifest(2, &directory("two")) }, &files);
    assert_eq!(ack.await.refused, "content");
    let mut session = fake.session().await;
    let have = session.hello().await.have.unwrap();
    assert_eq!((have.publication, have.epoch), (0, 78));
    assert_eq!(peer.state().await.unwrap().signals.load().epoch(), 78);
}

#[tokio::test(start_paused = true)]
async fn a_cut_stream_goes_on_where_it_was() {
    let fake = Fake::new();
    let _peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let files = directory("one");
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    session.send(update::Update::Manifest(fake.manifest(1, &files))).await;
    let wanted: Vec<_> = session.want().await.into_iter().collect();
    session.give_files(&files, &wanted[..3]).await;
    // half of the next, then nothing more
    session.give_piece(&wanted[3], b"half", false).await;
    session.close();
    assert_eq!(session.report().await, None);
    let mut session = fake.session().await;
    assert_eq!(session.hello().await.have.unwrap().publication, 0);
    session.welcome().await;
    session.send(update::Update::Manifest(fake.manifest(1, &files))).await;
    assert_eq!(session.want().await.into_iter().collect::<Vec<_>>(), wanted[3..]);
    session.give_files(&files, &wanted[3..]).await;
    assert_eq!(session.ack().await.refused, "");
}

#[tokio::test(start_paused = true)]
async fn a_newer_publication_overtakes_one_that_is_on_its_way() {
    let fake = Fake::new();
    let peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let (first, second) = (directory("one"), directory("two"));
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    session.give_bundles(fake.bundles(1)).await;
    session.give_signals(fake.signals(1, &[])).await;
    session.send(update::Update::Manifest(fake.manifest(1, &first))).await;
    session.want().await;
    let ack = session.give_manifest(fake.manifest(2, &second), &second).await;
    assert_eq!((ack.number, ack.refused.as_str()), (2, ""));
    assert_eq!(peer.state().await.unwrap().revision.load().id().digest().to_vec(), fake_digest(&second));
}

#[tokio::test(start_paused = true)]
async fn a_file_in_the_middle_of_which_a_publication_is_overtaken_still_counts() {
    let fake = Fake::new();
    let peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let (first, second) = (directory("one"), directory("two"));
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    session.give_bundles(fake.bundles(1)).await;
    session.give_signals(fake.signals(1, &[])).await;
    session.send(update::Update::Manifest(fake.manifest(1, &first))).await;
    let wanted = session.want().await;
    // a file of both, and one that the second does not have
    for (shared, taken) in [(true, 1), (false, 0)] {
        let is_shared = |content: &[u8]| second.iter().any(|(_, other)| other == content);
        let (_, content) = first.iter().find(|(_, content)| is_shared(content) == shared).unwrap();
        let name = sha256(content);
        assert!(wanted.contains(name.as_slice()));
        let (begin, end) = content.split_at(content.len() / 2);
        session.give_piece(&name, begin, false).await;
        session.send(update::Update::Manifest(fake.manifest(2, &second))).await;
        let missing = session.want().await.len();
        session.give_piece(&name, end, true).await;
        session.send(update::Update::Manifest(fake.manifest(2, &second))).await;
        assert_eq!(session.want().await.len(), missing - taken);
    }
    assert_eq!(session.give_manifest(fake.manifest(2, &second), &second).await.refused, "");
    assert_eq!(peer.state().await.unwrap().revision.load().id().digest().to_vec(), fake_digest(&second));
}

#[tokio::test(start_paused = true)]
async fn silence_is_noticed_and_what_is_in_force_stays() {
    let fake = Fake::new();
    let peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let session = fake.bring_up(1, &directory("one")).await;
    let state = peer.state().await.unwrap();
    let mut link = peer.link();
    let before = tokio::time::Instant::now();
    let down = link.wait_for(|link| matches!(link, Link::Waiting { .. })).await.unwrap().clone();
    assert!(matches!(down, Link::Waiting { why, .. } if why == "control is silent"));
    assert!(before.elapsed() <= Duration::from_secs(6));
    drop(session);
    assert_eq!(fake.session().await.hello().await.have.unwrap().publication, 1);
    assert_eq!(state.signals.load().epoch(), 1);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_the_link_and_say_how_fresh_it_is() {
    let fake = Fake::new();
    let peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let mut session = fake.bring_up(1, &directory("one")).await;
    let state = peer.state().await.unwrap();
    // what control sends is current when it comes
    fake.clock.advance(2);
    assert_eq!(state.freshness.signals_age(fake.clock.now()), 2_000_000);
    assert_eq!(state.freshness.revision_age(fake.clock.now()), 2_000_000);
    for _ in 0..20 {
        tokio::time::advance(Duration::from_secs(1)).await;
        fake.clock.advance(1);
        session.beat(1, 1).await;
    }
    settle(&mut session, &fake).await;
    let ages = || (state.freshness.signals_age(fake.clock.now()), state.freshness.revision_age(fake.clock.now()));
    assert_eq!(ages(), (0, 0));
    fake.clock.advance(5);
    // control has newer signals than this peer; then another publication
    session.beat(1, 2).await;
    settle(&mut session, &fake).await;
    assert_eq!(ages(), (5_000_000, 0));
    session.beat(9, 1).await;
    settle(&mut session, &fake).await;
    assert_eq!(ages(), (0, 0));
    fake.clock.advance(3);
    session.beat(9, 1).await;
    settle(&mut session, &fake).await;
    assert_eq!(ages(), (0, 3_000_000));
    assert!(matches!(*peer.link().borrow(), Link::Connected { .. }));
}

/// Waits until everything before this was taken.
async fn settle(session: &mut Session, fake: &Fake) {
    session.give_bundles(fake.bundles(1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_understood_is_enforced_as_far_as_it_is_and_never_fresh() {
    let fake = Fake::new();
    let peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let mut session = fake.bring_up(1, &directory("one")).await;
    let later = wire::Revocation { subject: "aura:green".to_owned(), epoch: 2, ..wire::Revocation::default() };
    let items = vec![content::revocation_item(&revocation("shop/stock")), later.encode_to_vec()];
    let ack = session.give_signals(fake.signals_of(2, items)).await;
    assert_eq!((ack.refused.as_str(), ack.have.unwrap().epoch), ("invalid", 0), "control must not count on it");
    fake.clock.advance(4);
    session.beat(1, 2).await;
    settle(&mut session, &fake).await;
    let state = peer.state().await.unwrap();
    assert_eq!((state.signals.load().epoch(), state.signals.load().iter().count()), (2, 1));
    assert_eq!(state.freshness.signals_age(fake.clock.now()), 4_000_000);
    assert_eq!(state.freshness.revision_age(fake.clock.now()), 0);
}

#[tokio::test(start_paused = true)]
async fn control_sees_what_it_asks_for() {
    let fake = Fake::new();
    let _peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let mut session = fake.bring_up(5, &directory("one")).await;
    session.send(update::Update::Ask(Ask { publication: true, signals: true, bundles: false })).await;
    let Some(report::Report::Offer(offer)) = session.report().await else { panic!("an offer") };
    assert_eq!(offer.bundles, None);
    let signals = offer.signals.unwrap();
    assert_eq!((signals.base, signals.added), (0, fake.signals(5, &["shop/checkout"]).added));
    let known = fake.system_bundles();
    for (signed, kind) in [(offer.publication, Kind::Publication), (signals.signed, Kind::Signals)] {
        let fact = countersign_wire::fact::open(&signed.unwrap(), kind, &organisation(), &known, fake.clock.now());
        assert_eq!(fact.unwrap().number(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_takes_no_publication() {
    let fake = Fake::new();
    let peer = start(fake.in_memory(Role::Agent)).unwrap();
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    session.send(update::Update::Manifest(fake.manifest(1, &directory("one")))).await;
    let ack = session.give_bundles(fake.bundles(1)).await;
    assert_eq!(ack.have.unwrap().publication, 0);
    peer.issuance().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn gateways_are_told_when_hosts_change_and_only_then() {
    let fake = Fake::new();
    let peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let mut session = fake.bring_up(1, &directory("one")).await;
    let state = peer.state().await.unwrap();
    let mut changes = state.issuance.changes();
    changes.borrow_and_update();
    let second = directory("two");
    session.give_manifest(fake.manifest(2, &second), &second).await;
    session.give_signals(fake.signals(2, &["shop/stock"])).await;
    assert!(!changes.has_changed().unwrap(), "another comment and a revocation change no certificate");
    let mut third = second.clone();
    let domain = String::from_utf8(trustdir::Files::read(&second, "domains/shop/domain.yaml").unwrap()).unwrap();
    let renamed = domain.replace("orders.example.internal", "orders2.example.internal");
    assert_ne!(domain, renamed);
    third.insert("domains/shop/domain.yaml", renamed);
    third.remove("domains/shop/tests/orders.yaml");
    let ack = session.give_manifest(fake.manifest(3, &third), &third).await;
    assert_eq!((ack.refused.as_str(), ack.why.as_str()), ("", ""));
    assert!(changes.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn finishing_ends_the_link_and_tells_who_waits() {
    let fake = Fake::new();
    let peer = std::sync::Arc::new(start(fake.in_memory(Role::Proxy)).unwrap());
    let waiting = tokio::spawn({
        let peer = std::sync::Arc::clone(&peer);
        async move { peer.state().await.err() }
    });
    let mut session = fake.session().await;
    session.hello().await;
    peer.finish().await;
    assert_eq!(waiting.await.unwrap(), Some(NoState::Finished));
    assert_eq!(session.report().await, None);
    assert_eq!(
        *peer.link().borrow(),
        Link::Waiting { why: "the peer has finished".to_owned(), since: fake.clock.now() }
    );
}
