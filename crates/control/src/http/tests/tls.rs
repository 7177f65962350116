//! The listener for operators elsewhere, over real TLS.

use std::net::SocketAddr;

use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::get;
use runtime::tls::{PinnedRoot, Trust, system_client, system_server};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use testkit::{Authority, Leaf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use types::Clock;

use super::*;
use crate::{AdminTls, serve_tls};

struct Site {
    world: World,
    address: SocketAddr,
    finish: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
}

fn leaf(authority: &Authority, path: &str) -> Leaf {
    let plan = LeafPlan::svid(&format!("spiffe://system.example.internal/{path}"), Timestamp::from_seconds(NOW));
    authority.issue(&LeafPlan { dns: vec!["control.example.internal".to_owned()], ..plan })
}

fn identity(leaf: Leaf) -> (Vec<CertificateDer<'static>>, rustls::pki_types::PrivateKeyDer<'static>) {
    let key = PrivatePkcs8KeyDer::from(leaf.key.serialize_der()).into();
    (leaf.chain.into_iter().map(CertificateDer::from).collect(), key)
}

async fn start() -> Site {
    let world = World::owned();
    let system = &world.told.system;
    let bundle = Bundle::from_der(TrustDomain::parse("system.example.internal").unwrap(), vec![system.der().to_vec()]);
    let clock: Arc<dyn Clock> = world.clock.clone();
    let trust = Arc::new(Trust::new(BundleSet::from_iter([bundle.unwrap()]), clock));
    let (chain, key) = identity(leaf(system, "control/local"));
    let root = CertificateDer::from(system.der().to_vec());
    let config = system_server(chain, key, root, Arc::clone(&trust)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pages = Router::new().route("/", get(async || "a page")).route("/v1/status", get(async || "a page"));
    let (finish, finishing) = watch::channel(false);
    let tls = AdminTls { listener, config: Arc::new(ArcSwap::from_pointee(config)), trust };
    let serving = tokio::spawn(serve_tls(tls, Arc::clone(&world.control), Some(pages), finishing));
    Site { world, address, finish, serving }
}

type Stream = tokio_rustls::client::TlsStream<TcpStream>;

/// A connection on which a request was sent.
async fn sent(site: &Site, who: Option<Leaf>, head: &str) -> std::io::Result<Stream> {
    let clock: Arc<dyn Clock> = site.world.clock.clone();
    let root = PinnedRoot::Root(site.world.told.system.der().to_vec());
    let mut config = system_client(who.map(identity), root, |_| true, clock).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(site.address).await?;
    let name = ServerName::try_from("control.example.internal").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    stream.write_all(format!("{head}\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    Ok(stream)
}

async fn rest(mut stream: Stream) -> std::io::Result<String> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8(answer).unwrap())
}

async fn ask(site: &Site, who: Option<Leaf>, head: &str) -> std::io::Result<String> {
    rest(sent(site, who, head).await?).await
}

fn certificate(site: &Site, path: &str) -> Option<Leaf> {
    Some(leaf(&site.world.told.system, path))
}

#[tokio::test]
async fn an_operator_asks_with_a_certificate_and_a_browser_sees_pages_only() {
    let site = start().await;
    let answer = ask(&site, certificate(&site, "operator/vera"), "GET /v1/status HTTP/1.1").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("example.internal"), "{answer}");
    let answer = ask(&site, None, "GET / HTTP/1.1").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("a page"), "{answer}");
    for (who, path) in [(None, "/v1/status"), (certificate(&site, "proxy/edge-1"), "/v1/status"), (None, "/v1/map")] {
        let answer =
            ask(&site, who, &format!("GET {path} HTTP/1.1\r\ncookie: __Host-countersign-8441=x")).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("unidentified"), "{answer}");
    }
    let answer = ask(&site, None, "GET /v1/pages HTTP/1.1").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("not-found"), "no page is below /v1: {answer}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_opens_nothing() {
    let site = start().await;
    let forged = Authority::of("system.example.internal", Timestamp::from_seconds(NOW));
    let answer = ask(&site, Some(leaf(&forged, "operator/alice")), "GET /v1/status HTTP/1.1").await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn it_ends_in_order_when_asked() {
    let site = start().await;
    let follow = "GET /v1/decisions?follow=true HTTP/1.1";
    let mut stream = sent(&site, certificate(&site, "operator/vera"), follow).await.unwrap();
    let mut first = [0; 15];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    site.finish.send_replace(true);
    let answer = rest(stream).await.unwrap();
    assert!(answer.ends_with("\r\n0\r\n\r\n"), "the last chunk: {answer:?}");
    site.serving.await.unwrap();
}
