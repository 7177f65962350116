//! Over real TLS sockets, with a disk: joining, renewing, coming back, and living on without control.

use std::{path::Path, time::Duration};

use api::{
    admin::Role,
    issuance::KeptGateway,
    wire::{self, update},
};
use countersign_wire::{Link, Peer, StartError, server::Who, start};
use tempfile::TempDir;
use types::{Clock, Timestamp};
use zeroize::Zeroizing;

use crate::fake::*;

async fn waiting_for(peer: &Peer, words: &str) {
    let mut link = peer.link();
    let named = link.wait_for(|link| matches!(link, Link::Waiting { why, .. } if why.contains(words)));
    let named = tokio::time::timeout(Duration::from_secs(20), named).await.map(|link| link.is_ok());
    assert_eq!(named, Ok(true), "{words}: {:?}", peer.link().borrow());
}

fn who(session: &Session) -> String {
    match &session.peer.who {
        Who::System(peer) => peer.spiffe_id().path().to_owned(),
        other => format!("{other:?}"),
    }
}

fn serial(session: &Session) -> String {
    match &session.peer.who {
        Who::System(peer) => peer.serial().to_owned(),
        other => panic!("{other:?}"),
    }
}

/// Joined, with publication 5, epoch 5 and bundles 5 in force, heard at the moment of the fake's clock.
async fn joined(fake: &Fake, data: &TempDir) -> (Peer, Session) {
    fake.allow_token("t0ken");
    let peer = start(fake.remote(fake.over_tls(), data.path(), Some("t0ken"))).unwrap();
    let mut session = fake.bring_up(5, &directory("one")).await;
    session.beat(5, 5).await;
    session.give_bundles(fake.bundles(5)).await;
    (peer, session)
}

#[tokio::test]
async fn a_token_becomes_an_identity_and_a_state_that_outlives_both_ends() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let (peer, session) = joined(&fake, &data).await;
    assert_eq!(who(&session), "/proxy/edge-1");
    assert!(session.peer.address.is_some());
    peer.finish().await;
    drop((peer, session));
    fake.clock.advance(7);
    // nobody listens there, and there is no token any more
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let peer = start(fake.remote(gone, data.path(), None)).unwrap();
    let state = peer.state().await.unwrap();
    assert_eq!(state.signals.load().epoch(), 5);
    assert!(!state.signals.load().is_empty());
    assert_eq!(state.issuance.bundles().generation, 5);
    let ages = |state: &countersign_wire::State| {
        (state.freshness.signals_age(fake.clock.now()), state.freshness.revision_age(fake.clock.now()))
    };
    assert_eq!(ages(&state), (7_000_000, 7_000_000), "ages run from what was heard, not from the start");
    waiting_for(&peer, "cannot be reached").await;
    // control comes back, elsewhere
    peer.point_at(&format!("https://{}", fake.over_tls()), None).unwrap();
    let mut session = fake.session().await;
    let have = session.hello().await.have.unwrap();
    assert_eq!((have.publication, have.epoch, have.bundles), (5, 5, 5));
    session.welcome().await;
    let older = directory("older");
    assert_eq!(session.give_manifest(fake.manifest(4, &older), &older).await.refused, "older");
    assert_eq!(session.give_signals(fake.signals(4, &[])).await.refused, "older");
}

#[tokio::test]
async fn only_new_files_travel_after_a_restart() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let (peer, session) = joined(&fake, &data).await;
    peer.finish().await;
    drop((peer, session));
    let _peer = start(fake.remote(fake.over_tls(), data.path(), None)).unwrap();
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    let second = directory("two");
    session.send(update::Update::Manifest(fake.manifest(6, &second))).await;
    let wanted: Vec<_> = session.want().await.into_iter().collect();
    assert_eq!(wanted.len(), 1, "countersign.yaml alone");
    session.give_files(&second, &wanted).await;
    assert_eq!(session.ack().await.refused, "");
    let blobs = std::fs::read_dir(data.path().join("state/blobs")).unwrap().count();
    assert_eq!(blobs, second.iter().count(), "what nothing needs is forgotten");
}

#[tokio::test]
async fn first_contact_says_what_is_wrong() {
    let fake = Fake::new();
    let at = fake.over_tls();
    let data = || TempDir::new().unwrap();
    // a token that nobody knows
    let unknown = data();
    let peer = start(fake.remote(at, unknown.path(), Some("other"))).unwrap();
    waiting_for(&peer, "the join token is not known").await;
    // another system
    let (wrong, other) = (data(), Fake::new());
    let mut config = other.remote(at, wrong.path(), Some("t0ken"));
    config.role = Role::Proxy;
    let peer = start(config).unwrap();
    waiting_for(&peer, "root").await;
    // no token file
    let missing = data();
    let config = fake.remote(at, missing.path(), Some("t0ken"));
    std::fs::remove_file(missing.path().join("token")).unwrap();
    assert!(matches!(start(config), Err(StartError::NoToken)));
    // nothing at all
    let nothing = data();
    assert!(matches!(start(fake.remote(at, nothing.path(), None)), Err(StartError::NoToken)));
    let mut config = fake.remote(at, nothing.path(), None);
    if let countersign_wire::ControlAt::Remote { url, .. } = &mut config.control {
        *url = "http://control".to_owned();
    }
    assert!(matches!(start(config), Err(StartError::Url(_))));
}

#[tokio::test]
async fn a_token_is_good_for_one_key_and_for_that_again() {
    let fake = Fake::new();
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (peer, session) = joined(&fake, &first).await;
    peer.finish().await;
    drop((peer, session));
    // the answer to the first was lost: the key is there, the certificate is not
    std::fs::remove_file(first.path().join("state/node.identity")).unwrap();
    let _again = start(fake.remote(fake.over_tls(), first.path(), Some("t0ken"))).unwrap();
    assert_eq!(fake.session().await.hello().await.have.unwrap().publication, 5);
    let thief = start(fake.remote(fake.over_tls(), second.path(), Some("t0ken"))).unwrap();
    waiting_for(&thief, "used by another key").await;
}

#[tokio::test]
async fn a_node_that_joined_as_somebody_else_says_so() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let (peer, session) = joined(&fake, &data).await;
    peer.finish().await;
    drop((peer, session));
    let at = fake.over_tls();
    let mut config = fake.remote(at, data.path(), None);
    config.name = label("edge-2");
    let error = start(config).err().unwrap();
    assert!(matches!(&error, StartError::OtherName { kept, .. } if kept.ends_with("/proxy/edge-1")), "{error}");
    let other = Fake::new();
    let error = start(other.remote(at, data.path(), None)).err().unwrap();
    assert!(matches!(error, StartError::OtherRoot { .. }), "{error}");
}

#[tokio::test]
async fn a_certificate_is_renewed_at_half_its_life_and_used() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let (_peer, mut session) = joined(&fake, &data).await;
    let first = serial(&session);
    fake.clock.advance(43_300);
    let beating = async {
        let mut interval = tokio::time::interval(Duration::from_millis(500));
        loop {
            interval.tick().await;
            session.try_send(update::Update::Heartbeat(wire::Heartbeat::default())).await;
        }
    };
    let mut session = tokio::select! {
        session = fake.session() => session,
        () = beating => unreachable!("it goes on"),
    };
    assert_ne!(serial(&session), first);
    assert_eq!(session.hello().await.have.unwrap().publication, 5);
}

#[tokio::test]
async fn an_expired_node_comes_back_with_its_key() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let (peer, session) = joined(&fake, &data).await;
    peer.finish().await;
    drop((peer, session));
    fake.clock.advance(3 * 86_400);
    let peer = start(fake.remote(fake.over_tls(), data.path(), None)).unwrap();
    // the state is good whether or not the node may come back
    assert_eq!(peer.state().await.unwrap().signals.load().epoch(), 5);
    let mut session = fake.session().await;
    assert_eq!((who(&session).as_str(), fake.rejoins()), ("/proxy/edge-1", 1));
    assert_eq!(session.hello().await.have.unwrap().epoch, 5);
}

#[tokio::test]
async fn clocks_that_are_an_hour_apart_do_not_part_the_ends() {
    for (ahead, behind) in [(3600, 0), (0, 3600)] {
        let (fake, data) = (Fake::new(), TempDir::new().unwrap());
        fake.allow_token("t0ken");
        let mut config = fake.remote(fake.over_tls(), data.path(), Some("t0ken"));
        let now = Timestamp::from_seconds(fake.clock.now().seconds() + ahead - behind);
        config.clock = std::sync::Arc::new(testkit::ManualClock::new(now));
        let peer = start(config).unwrap();
        let mut session = fake.bring_up(5, &directory("one")).await;
        session.beat(5, 5).await;
        session.give_bundles(fake.bundles(5)).await;
        let state = peer.state().await.unwrap();
        assert_eq!(state.freshness.signals_age(now), 0, "ages are measured by one clock: this one's");
    }
}

#[tokio::test]
async fn a_disk_that_takes_nothing_keeps_what_ran_and_revokes_all_the_same() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let (peer, mut session) = joined(&fake, &data).await;
    let state = peer.state().await.unwrap();
    let before = state.revision.load().id();
    let block = |name: &str| std::fs::create_dir(data.path().join("state").join(name)).unwrap();
    block("publication.new");
    block("signals.new");
    let second = directory("two");
    let ack = session.give_manifest(fake.manifest(6, &second), &second).await;
    assert_eq!((ack.refused.as_str(), ack.have.unwrap().publication), ("not-kept", 5));
    assert_eq!(state.revision.load().id(), before);
    let ack = session.give_signals(fake.signals(6, &["shop/stock"])).await;
    assert_eq!((ack.refused.as_str(), ack.have.unwrap().epoch), ("not-kept", 0), "a crash would undo it");
    assert_eq!(session.give_signals(fake.signals(6, &["shop/stock"])).await.refused, "not-kept");
    assert_eq!(state.signals.load().epoch(), 6, "a revocation counts whether or not the disk takes it");
    for name in ["publication.new", "signals.new"] {
        std::fs::remove_dir(data.path().join("state").join(name)).unwrap();
    }
    let mut acks = Vec::new();
    while acks.len() < 2 {
        session.beat(6, 6).await;
        let Ok(ack) = tokio::time::timeout(Duration::from_secs(1), session.ack()).await else { continue };
        acks.extend(ack.refused.is_empty().then_some((ack.kind(), ack.number)));
    }
    acks.sort();
    assert_eq!(acks, [(wire::Kind::Publication, 6), (wire::Kind::Signals, 6)]);
    assert_ne!(state.revision.load().id(), before);
}

#[tokio::test]
async fn a_state_that_went_back_is_never_fresh() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let (peer, mut session) = joined(&fake, &data).await;
    let path = data.path().join("state/signals");
    let old = std::fs::read(&path).unwrap();
    session.give_signals(fake.signals(9, &["shop/checkout", "shop/stock"])).await;
    session.beat(5, 9).await;
    session.give_bundles(fake.bundles(5)).await;
    peer.finish().await;
    drop((peer, session));
    std::fs::write(&path, old).unwrap();
    let peer = start(fake.remote(fake.over_tls(), data.path(), None)).unwrap();
    let state = peer.state().await.unwrap();
    assert_eq!(state.signals.load().epoch(), 5);
    assert_eq!(state.freshness.signals_age(fake.clock.now()), u64::MAX);
    assert_eq!(state.freshness.revision_age(fake.clock.now()), 0);
    let mut session = fake.session().await;
    session.hello().await;
    session.welcome().await;
    // the disk does not know epoch 9 any more, and nothing before it is taken
    assert_eq!(session.give_signals(fake.signals(8, &[])).await.refused, "older");
    assert_eq!(session.give_signals(fake.signals(9, &[])).await.refused, "");
}

#[tokio::test]
async fn a_wrong_clock_throws_nothing_away() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let (peer, session) = joined(&fake, &data).await;
    peer.finish().await;
    drop((peer, session));
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let right = fake.clock.now();
    fake.clock.set(Timestamp::from_seconds(9));
    let peer = start(fake.remote(gone, data.path(), None)).unwrap();
    let mut link = peer.link();
    link.wait_for(|link| matches!(link, Link::Waiting { why, .. } if !why.is_empty())).await.unwrap();
    let bad = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "bad");
    assert!(!files_of(data.path()).iter().any(bad));
    peer.finish().await;
    drop((peer, link));
    fake.clock.set(right);
    let peer = start(fake.remote(gone, data.path(), None)).unwrap();
    assert_eq!(peer.state().await.unwrap().signals.load().epoch(), 5);
}

#[tokio::test]
async fn a_gateway_starts_with_what_was_kept() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let (peer, mut session) = joined(&fake, &data).await;
    // the roots of a domain, so that its gateway can be verified
    let domain = types::TrustDomain::parse("shop.example.internal").unwrap();
    let roots = vec![fake.root.der().to_vec()];
    let mut bundles = api::issuance::Bundles { generation: 6, ..Default::default() };
    bundles.roots.insert(domain, roots);
    let bundles = fake.bundles_of(6, bundles, &Default::default());
    assert_eq!(session.give_bundles(bundles).await.refused, "");
    let issuance = peer.issuance().await.unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
    let svid = issuance.mint_gateway(&label("shop"), &label("edge-1"), csr.der()).await.unwrap();
    assert_eq!(svid.spiffe_id.as_str(), "spiffe://shop.example.internal/_gateway/edge-1");
    assert!(issuance.kept_gateway(&label("shop")).is_none());
    let kept = KeptGateway { svid: svid.clone(), key_der: Zeroizing::new(key.serialize_der()) };
    issuance.keep_gateway(&label("shop"), &kept);
    peer.finish().await;
    drop((peer, session, issuance));
    let again = || {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        start(fake.remote(gone, data.path(), None)).unwrap()
    };
    let peer = again();
    let issuance = peer.issuance().await.unwrap();
    let found = issuance.kept_gateway(&label("shop")).unwrap();
    assert_eq!((&found.svid.chain_der, &found.key_der), (&svid.chain_der, &kept.key_der));
    assert!(issuance.kept_gateway(&label("hr")).is_none());
    // a certificate of one with the key of another is worth nothing
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    issuance.keep_gateway(
        &label("shop"),
        &KeptGateway { svid: found.svid, key_der: Zeroizing::new(other.serialize_der()) },
    );
    assert!(issuance.kept_gateway(&label("shop")).is_none());
    fake.clock.advance(3700);
    issuance.keep_gateway(&label("shop"), &kept);
    assert!(issuance.kept_gateway(&label("shop")).is_none(), "expired");
}

#[tokio::test]
async fn one_folder_belongs_to_one_process() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let (peer, _session) = joined(&fake, &data).await;
    let at = fake.over_tls();
    assert!(matches!(start(fake.remote(at, data.path(), None)), Err(StartError::InUse(_))));
    drop(peer);
}

#[tokio::test]
async fn a_peer_that_was_turned_away_joins_with_another_token() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let (peer, mut session) = joined(&fake, &data).await;
    let first = serial(&session);
    fake.allow_token("another");
    let token = data.path().join("token");
    std::fs::write(&token, "another").unwrap();
    session.fail(tonic::Status::permission_denied("edge-1 was retired")).await;
    waiting_for(&peer, "retired").await;
    // an operator gives another token, and a word; without the word it would come by itself after a while
    peer.point_at(&format!("https://{}", fake.over_tls()), Some(token)).unwrap();
    assert_ne!(serial(&fake.session().await), first);
}

/// All files below a folder.
fn files_of(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files_of(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[tokio::test]
async fn what_was_changed_on_the_disk_is_used_as_it_was_or_not_at_all() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let (peer, session) = joined(&fake, &data).await;
    let good = peer.state().await.unwrap();
    let (revision, signals) = (good.revision.load().id(), good.signals.load_full());
    peer.finish().await;
    drop((peer, session, good));
    let state = data.path().join("state");
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for file in files_of(&state) {
        let name = file.strip_prefix(&state).unwrap().display().to_string();
        let bytes = std::fs::read(&file).unwrap();
        let step = (bytes.len() / 8).max(1);
        for index in (0..bytes.len()).step_by(step) {
            for spoil in ["flip", "cut"] {
                let copy = TempDir::new().unwrap();
                copy_all(&state, &copy.path().join("state"));
                let mut spoilt = bytes.clone();
                if spoil == "flip" {
                    spoilt[index] ^= 0x10
                } else {
                    spoilt.truncate(index)
                }
                std::fs::write(copy.path().join("state").join(&name), spoilt).unwrap();
                check_spoilt(&fake, gone, copy.path(), &format!("{spoil} {name} {index}"), revision, &signals).await;
            }
        }
    }
}

async fn check_spoilt(
    fake: &Fake,
    gone: std::net::SocketAddr,
    data: &Path,
    what: &str,
    revision: types::RevisionId,
    signals: &signal::State,
) {
    let mut config = fake.remote(gone, data, None);
    // where the identity itself cannot be used, there is no state before somebody joins again
    if let countersign_wire::ControlAt::Remote { token_file, .. } = &mut config.control {
        let path = data.join("token");
        std::fs::write(&path, "t0ken").unwrap();
        *token_file = Some(path);
    }
    let peer = start(config).unwrap();
    let mut link = peer.link();
    // the first attempt fails after everything was read
    link.wait_for(|link| matches!(link, Link::Waiting { why, .. } if !why.is_empty())).await.unwrap();
    let state = tokio::select! {
        biased;
        state = peer.state() => Some(state.unwrap()),
        () = std::future::ready(()) => None,
    };
    let bad = files_of(data).iter().any(|path| path.extension().is_some_and(|extension| extension == "bad"));
    match state {
        Some(state) => {
            assert_eq!(state.revision.load().id(), revision, "{what}");
            assert_eq!(**state.signals.load(), *signals, "{what}");
            let now = fake.clock.now();
            let is_known = [0, u64::MAX].contains(&state.freshness.signals_age(now));
            assert!(is_known, "{what}: an age that was never true");
        }
        None => assert!(bad, "{what}: nothing is in force and nothing was set aside"),
    }
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() { copy_all(&entry.path(), &target) } else { drop(std::fs::copy(entry.path(), target)) }
    }
}
