//! Networks that misbehave, over real sockets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use api::{admin::Role, wire::update};
use countersign_wire::{Link, start};
use identity::Bundle;
use runtime::tls::{PinnedRoot, system_client};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tempfile::TempDir;
use testkit::{Authority, LeafPlan};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt;
use types::{Clock, TrustDomain};

use crate::fake::*;

/// Passes bytes on until it is told not to; then it says nothing and closes nothing.
async fn relay(to: SocketAddr) -> (SocketAddr, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (frozen, is_frozen) = watch::channel(false);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(to).await.unwrap();
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            tokio::spawn(pass(near_read, far_write, is_frozen.clone()));
            tokio::spawn(pass(far_read, near_write, is_frozen.clone()));
        }
    });
    (address, frozen)
}

async fn freeze(frozen: &mut watch::Receiver<bool>) {
    let _ = frozen.wait_for(|frozen| *frozen).await;
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut frozen: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16_384];
    loop {
        let read = tokio::select! {
            biased;
            // the sockets stay open
            () = freeze(&mut frozen) => return std::future::pending().await,
            read = from.read(&mut buffer) => read,
        };
        match read {
            Ok(count) if count > 0 && to.write_all(&buffer[..count]).await.is_ok() => {}
            _ => return,
        }
    }
}

#[tokio::test]
async fn a_connection_that_hangs_is_noticed_by_both_ends() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let (at, frozen) = relay(fake.over_tls()).await;
    fake.allow_token("t0ken");
    let peer = start(fake.remote(at, data.path(), Some("t0ken"))).unwrap();
    let mut session = fake.bring_up(5, &directory("one")).await;
    frozen.send_replace(true);
    let before = std::time::Instant::now();
    let mut link = peer.link();
    let down = link.wait_for(|link| matches!(link, Link::Waiting { .. }));
    tokio::time::timeout(Duration::from_secs(15), down).await.expect("the peer notices").unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(15), session.report()).await;
    assert_eq!(ended.expect("control notices"), None);
    assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
    // what is in force stays, and another way is taken
    assert_eq!(peer.state().await.unwrap().signals.load().epoch(), 5);
    peer.point_at(&format!("https://{}", fake.over_tls()), None).unwrap();
    assert_eq!(fake.session().await.hello().await.have.unwrap().epoch, 5);
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_sent_away() {
    let fake = Fake::new();
    let mut silent = TcpStream::connect(fake.over_tls()).await.unwrap();
    let read = tokio::time::timeout(Duration::from_secs(4), silent.read(&mut [0])).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))), "{read:?}");
}

#[tokio::test]
async fn a_proxy_that_plays_control_is_not_believed() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = fake.as_somebody(listener, "proxy/evil");
    let peer = start(fake.remote(at, data.path(), Some("t0ken"))).unwrap();
    let mut link = peer.link();
    let refused = link.wait_for(|link| matches!(link, Link::Waiting { why, .. } if why.contains("not trusted")));
    tokio::time::timeout(Duration::from_secs(10), refused).await.expect("it is refused").unwrap();
}

#[tokio::test]
async fn an_identity_of_a_business_is_none_of_the_system() {
    let fake = Fake::new();
    let now = fake.clock.now();
    let (shop, id) = ("shop.example.internal", "spiffe://shop.example.internal/checkout");
    let authority = Authority::of(shop, now);
    let bundle = Bundle::from_der(TrustDomain::parse(shop).unwrap(), vec![authority.der().to_vec()]).unwrap();
    // a listener that was given too much to trust
    let trusted = fake.system_bundles().iter().cloned().chain([bundle]).collect();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let mut incoming = fake.incoming(listener, "control/fake", trusted);
    for (who, leaf, comes) in
        [("business", authority.issue(&LeafPlan::svid(id, now)), false), ("system", fake.other_system_identity(), true)]
    {
        let chain = leaf.chain.iter().cloned().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf.key_der()));
        let root = PinnedRoot::Root(fake.root.der().to_vec());
        let config = system_client(Some((chain, key)), root, |_| true, Arc::clone(&fake.clock) as Arc<dyn Clock>);
        let connector = TlsConnector::from(Arc::new(config.unwrap()));
        let stream = TcpStream::connect(at).await.unwrap();
        let mut stream = connector.connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await.unwrap();
        if comes {
            let connection = incoming.next().await.unwrap().unwrap();
            assert!(format!("{connection:?}").contains("/proxy/edge-1"), "{connection:?}");
        } else {
            // closed without a word
            let read = tokio::time::timeout(Duration::from_secs(10), stream.read_u8()).await;
            assert!(read.expect("it is closed").is_err(), "{who}");
        }
    }
}

#[tokio::test]
async fn control_that_comes_back_is_found_again() {
    let (fake, data) = (Fake::new(), TempDir::new().unwrap());
    fake.allow_token("t0ken");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let peer = start(fake.remote(at, data.path(), Some("t0ken"))).unwrap();
    let mut link = peer.link();
    link.wait_for(|link| matches!(link, Link::Waiting { why, .. } if why.contains("cannot be reached"))).await.unwrap();
    fake.over_listener(std::net::TcpListener::bind(at).unwrap());
    fake.bring_up(1, &directory("one")).await;
    peer.state().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn words_of_a_connection_that_was_left_count_no_more() {
    let fake = Fake::new();
    let peer = start(fake.in_memory(Role::Proxy)).unwrap();
    let mut old = fake.bring_up(5, &directory("one")).await;
    // silence: the peer leaves it and comes again, while control still holds the old stream
    let mut new = fake.session().await;
    new.hello().await;
    new.welcome().await;
    let late = update::Update::Signals(fake.signals(6, &["shop/stock"]));
    old.try_send(late).await;
    let ack = new.give_signals(fake.signals(7, &[])).await;
    assert_eq!((ack.refused.as_str(), ack.have.unwrap().epoch), ("", 7));
    assert!(peer.state().await.unwrap().signals.load().is_empty());
}
