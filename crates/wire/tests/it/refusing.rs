//! What must not come into force does not, and control is told why; over memory, with time standing still.

use std::time::Duration;

use api::{
    admin::Role,
    wire::{self, Goodbye, Kind, update},
};
use countersign_wire::{Link, Peer, State, start};
use tonic::Status;
use types::TrustDomain;

use crate::fake::*;

async fn running(fake: &Fake) -> (Peer, Session, State) {
    let peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let session = fake.bring_up(5, &directory("one")).await;
    let state = peer.state().await.unwrap();
    (peer, session, state)
}

/// Every way to spoil what is signed.
fn spoilt(fake: &Fake, kind: Kind, good: &wire::Signed) -> Vec<(&'static str, wire::Signed)> {
    let fact = <wire::Fact as prost::Message>::decode(good.fact.as_slice()).unwrap();
    let (number, digest) = (fact.number, <[u8; 32]>::try_from(fact.digest).unwrap());
    let flipped = |change: fn(&mut wire::Signed)| {
        let mut signed = good.clone();
        change(&mut signed);
        signed
    };
    let evil = Fake::new();
    let strange = TrustDomain::parse("other.internal").unwrap();
    let other_kind = if kind == Kind::Signals { Kind::Bundles } else { Kind::Signals };
    vec![
        ("another signer", fake.sign_as(&fake.other_system_identity(), &organisation(), kind, number, digest)),
        ("another root", evil.sign(kind, number, digest)),
        ("another organisation", fake.sign_as(&fake.publisher, &strange, kind, number, digest)),
        ("another kind", fake.sign(other_kind, number, digest)),
        ("a changed fact", flipped(|signed| signed.fact[20] ^= 1)),
        ("a changed signature", flipped(|signed| *signed.signature.last_mut().unwrap() ^= 1)),
        ("no signature", flipped(|signed| signed.signature.clear())),
        ("no chain", flipped(|signed| signed.chain.clear())),
        ("nothing", wire::Signed::default()),
    ]
}

#[tokio::test(start_paused = true)]
async fn forged_facts_are_refused_whatever_is_wrong_with_them() {
    let fake = Fake::new();
    let (_peer, mut session, state) = running(&fake).await;
    let before = state.revision.load().id();
    let files = directory("two");
    let good = fake.manifest(6, &files);
    for (what, signed) in spoilt(&fake, Kind::Publication, good.publication.as_ref().unwrap()) {
        let ack = session.give_manifest(wire::Manifest { publication: Some(signed), ..good.clone() }, &files).await;
        assert_eq!(ack.refused, "forged", "{what}: {}", ack.why);
        assert_eq!(ack.have.unwrap().publication, 5, "{what}");
    }
    let good = fake.signals(6, &[]);
    for (what, signed) in spoilt(&fake, Kind::Signals, good.signed.as_ref().unwrap()) {
        let ack = session.give_signals(wire::Signals { signed: Some(signed), ..good.clone() }).await;
        assert_eq!((ack.refused.as_str(), ack.have.unwrap().epoch), ("forged", 5), "{what}");
    }
    let good = fake.bundles(6);
    for (what, signed) in spoilt(&fake, Kind::Bundles, good.signed.as_ref().unwrap()) {
        let ack = session.give_bundles(wire::Bundles { signed: Some(signed), ..good.clone() }).await;
        assert_eq!((ack.refused.as_str(), ack.have.unwrap().bundles), ("forged", 5), "{what}");
    }
    assert_eq!((state.revision.load().id(), state.signals.load().epoch()), (before, 5));
    assert_eq!(state.issuance.bundles().generation, 5);
}

#[tokio::test(start_paused = true)]
async fn what_was_true_once_is_refused_when_it_comes_again() {
    let fake = Fake::new();
    let (_peer, mut session, state) = running(&fake).await;
    let files = directory("old");
    for number in [4, 5] {
        // the number that is in force names something else here
        let ack = session.give_manifest(fake.manifest(number, &files), &files).await;
        assert_eq!(ack.refused, "older", "{number}: {}", ack.why);
        assert_eq!(session.give_signals(fake.signals(number, &[])).await.refused, "older");
    }
    assert_eq!(session.give_bundles(fake.bundles(4)).await.refused, "older");
    assert_eq!((state.signals.load().epoch(), state.signals.load().is_empty()), (5, false));
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_before_a_reconnect_counts_after_it() {
    let fake = Fake::new();
    let (_peer, mut session, state) = running(&fake).await;
    for epoch in [7, 9] {
        assert_eq!(session.give_signals(fake.signals(epoch, &[])).await.refused, "");
        session.close();
        session = fake.session().await;
        assert_eq!(session.hello().await.have.unwrap().epoch, epoch);
        session.welcome().await;
        assert_eq!(session.give_signals(fake.signals(epoch - 1, &[])).await.refused, "older");
    }
    assert_eq!(state.signals.load().epoch(), 9);
}

#[tokio::test(start_paused = true)]
async fn content_that_was_not_signed_is_refused() {
    let fake = Fake::new();
    let (_peer, mut session, state) = running(&fake).await;
    let files = directory("two");
    let mut manifest = fake.manifest(6, &files);
    manifest.entries.pop();
    assert_eq!(session.give_manifest(manifest, &files).await.refused, "content");
    let mut signals = fake.signals(6, &["shop/checkout"]);
    signals.added.clear();
    assert_eq!(session.give_signals(signals).await.refused, "content");
    let mut bundles = fake.bundles(6);
    bundles.items.clear();
    assert_eq!(session.give_bundles(bundles).await.refused, "content");
    assert_eq!(state.signals.load().epoch(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_not_the_one_is_refused() {
    let fake = Fake::new();
    let (_peer, mut session, state) = running(&fake).await;
    let before = state.revision.load().id();
    let files = directory("two");
    for spoil in ["content", "mixed", "large"] {
        session.send(update::Update::Manifest(fake.manifest(6, &files))).await;
        let wanted: Vec<_> = session.want().await.into_iter().collect();
        match spoil {
            "content" => session.give_piece(&wanted[0], b"evil", true).await,
            "mixed" => {
                session.give_piece(&wanted[0], b"ev", false).await;
                session.give_piece(&wanted[1], b"il", true).await;
            }
            _ => {
                let piece = vec![b'#'; 1 << 20];
                for _ in 0..5 {
                    session.give_piece(&wanted[0], &piece, false).await;
                }
            }
        }
        let ack = session.ack().await;
        let expected = if spoil == "large" { "too-large" } else { "content" };
        assert_eq!((ack.refused.as_str(), ack.number), (expected, 6), "{spoil}: {}", ack.why);
    }
    assert_eq!(state.revision.load().id(), before);
    // nothing is spoilt for good
    assert_eq!(session.give_manifest(fake.manifest(6, &files), &files).await.refused, "");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_compile_here_is_refused_and_named() {
    let fake = Fake::new();
    let (_peer, mut session, state) = running(&fake).await;
    let before = state.revision.load().id();
    let mut files = directory("two");
    files.insert("domains/shop/domain.yaml", "domain: shop\nfrom_the_future: true\n");
    let ack = session.give_manifest(fake.manifest(6, &files), &files).await;
    assert_eq!(ack.refused, "invalid");
    assert!(ack.why.contains("domains/shop/domain.yaml") && ack.why.contains("from_the_future"), "{}", ack.why);
    assert_eq!(state.revision.load().id(), before);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_needs_what_it_serves_and_nothing_else() {
    let fake = Fake::new();
    let peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let files = directory("one");
    let served = std::collections::BTreeSet::from([label("shop")]);
    let mut session = fake.session().await;
    session.hello().await;
    session
        .welcome_with(|welcome| {
            welcome.every_domain = false;
            welcome.domains = vec!["shop".to_owned()];
        })
        .await;
    session.give_bundles(fake.bundles(1)).await;
    session.give_signals(fake.signals(1, &[])).await;
    let manifest = fake.manifest_for(1, &files, &served);
    let given = manifest.entries.iter().filter(|entry| !entry.withheld).count();
    assert!(given < manifest.entries.len());
    // a control that holds back what is needed
    let mut short = manifest.clone();
    short.entries.iter_mut().find(|entry| entry.path == "domains/shop/domain.yaml").unwrap().withheld = true;
    assert_eq!(session.give_manifest(short, &files).await.refused, "invalid");
    session.send(update::Update::Manifest(manifest)).await;
    // what came for the attempt before is not asked for again
    let wanted: Vec<_> = session.want().await.into_iter().collect();
    assert!(wanted.len() <= given);
    session.give_files(&files, &wanted).await;
    let ack = session.ack().await;
    assert_eq!(ack.refused, "", "{}", ack.why);
    assert_eq!(peer.state().await.unwrap().revision.load().id().digest().to_vec(), ack.have.unwrap().revision);
}

#[tokio::test(start_paused = true)]
async fn other_domains_to_serve_need_the_publication_again() {
    let fake = Fake::new();
    let (_peer, mut session, state) = running(&fake).await;
    let files = directory("one");
    let before = state.revision.load().id();
    assert!(!state.revision.load().tests().is_empty());
    session.close();
    let mut session = fake.session().await;
    assert_eq!(session.hello().await.have.unwrap().publication, 5);
    let less = |welcome: &mut wire::Welcome| welcome.every_domain = false;
    session.welcome_with(less).await;
    assert_eq!(session.report().await, None);
    let mut session = fake.session().await;
    assert_eq!(session.hello().await.have.unwrap().publication, 0);
    session.welcome_with(less).await;
    let manifest = fake.manifest_for(5, &files, &std::collections::BTreeSet::new());
    let ack = session.give_manifest(manifest, &files).await;
    assert_eq!((ack.refused.as_str(), ack.number), ("", 5), "{}", ack.why);
    assert_eq!(state.revision.load().id(), before, "the same name, and nothing of it is served");
    assert!(state.revision.load().tests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_protocol_that_is_not_spoken_is_named() {
    for protocol in [0, 99] {
        let fake = Fake::new();
        let peer = start(fake.in_memory(Role::Proxy)).unwrap();
        let mut session = fake.session().await;
        session.hello().await;
        session
            .welcome_with(|welcome| {
                welcome.protocol = protocol;
                welcome.version = "9.9.9".to_owned();
            })
            .await;
        let mut link = peer.link();
        let named =
            |link: &Link| matches!(link, Link::Waiting { why, .. } if why.contains("9.9.9") && why.contains("update"));
        link.wait_for(named).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_not_wanted_does_not_hammer() {
    let fake = Fake::new();
    let peer = start(fake.in_memory(Role::Proxy)).unwrap();
    for refusal in ["goodbye", "status"] {
        let mut session = fake.session().await;
        session.hello().await;
        session.welcome().await;
        if refusal == "goodbye" {
            let why = "edge-1 was retired".to_owned();
            session.send(update::Update::Goodbye(Goodbye { why, retry: false })).await;
        } else {
            session.fail(Status::permission_denied("edge-1 was retired")).await;
        }
        let mut link = peer.link();
        link.wait_for(|link| matches!(link, Link::Waiting { why, .. } if why.contains("edge-1 was retired")))
            .await
            .unwrap();
        let before = tokio::time::Instant::now();
        let next = fake.session().await;
        assert!(before.elapsed() >= Duration::from_secs(29), "{refusal}: {:?}", before.elapsed());
        drop(next);
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_and_begin_anew_after_a_connection() {
    let fake = Fake::new();
    let _peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        drop(fake.session().await);
        let before = tokio::time::Instant::now();
        // the next one is opened after the pause; it is dropped at the top
        pauses.push(before);
    }
    let gaps: Vec<_> = pauses.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[6] > Duration::from_secs(2) && gaps.iter().all(|gap| *gap <= Duration::from_secs(6)), "{gaps:?}");
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    session.give_bundles(fake.bundles(1)).await;
    session.close();
    let before = tokio::time::Instant::now();
    fake.session().await;
    assert!(before.elapsed() <= Duration::from_millis(200), "{:?}", before.elapsed());
}
