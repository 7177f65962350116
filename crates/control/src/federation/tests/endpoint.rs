//! Our own endpoint: what it gives, to whom, and how its certificate is renewed.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore, version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::server::Web;
use super::*;
use crate::{BundleCertificate, BundleEndpoint, serve_bundles};

/// Writes certificate and key into a folder.
fn place(dir: &Path, web: &Web, host: &str) -> BundleCertificate {
    let pem = web.issue(host, NOW + 1_000_000 * HOUR);
    std::fs::write(dir.join("c.pem"), pem.certificate).unwrap();
    std::fs::write(dir.join("k.pem"), pem.key).unwrap();
    BundleCertificate::open(&dir.join("c.pem"), &dir.join("k.pem")).unwrap()
}

/// Serves until the sender is dropped.
async fn serving(world: &World, certificate: BundleCertificate) -> (SocketAddr, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (finish, finishing) = watch::channel(false);
    tokio::spawn(serve_bundles(BundleEndpoint { listener, certificate }, Arc::clone(&world.control), finishing));
    (address, finish)
}

async fn ask(address: SocketAddr, web: &Web, version: &'static rustls::SupportedProtocolVersion, text: &str) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(web.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::IpAddress(address.ip().into());
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn bu_6_our_endpoint_gives_the_newest_bundle_to_whoever_asks_and_nothing_else() {
    let (world, web, dir) = (world(&files()), Web::new(), tempfile::tempdir().unwrap());
    assert_eq!(world.control.bundle_refresh_hint(), None, "nobody serves it");
    let (address, finish) = serving(&world, place(dir.path(), &web, "127.0.0.1")).await;
    for version in [&version::TLS13, &version::TLS12] {
        let answer = ask(address, &web, version, &get("/shop.example.internal")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
        let document = answer.split_once("\r\n\r\n").unwrap().1;
        let read = Bundle::from_document(name("shop.example.internal"), document).unwrap();
        assert!(read.sequence.is_some() && read.refresh_hint == Some(Duration::from_mins(5)), "{document}");
    }
    assert_eq!(world.control.bundle_refresh_hint(), Some(Duration::from_mins(5)));
    for (asked, want) in [
        (get("/"), "HTTP/1.1 404 "),
        (get("/shop"), "HTTP/1.1 404 "),
        (get("/system.example.internal"), "HTTP/1.1 404 "),
        (get("/partner.example"), "HTTP/1.1 404 "),
        (get("/shop.example.internal/"), "HTTP/1.1 404 "),
        (get("/v1/status"), "HTTP/1.1 404 "),
        (get("/shop.example.internal").replace("GET", "POST"), "HTTP/1.1 405 "),
        (get("/shop.example.internal").replace("GET", "HEAD"), "HTTP/1.1 405 "),
        ("nonsense\r\n\r\n".to_owned(), "HTTP/1.1 400 "),
    ] {
        let answer = ask(address, &web, &version::TLS13, &asked).await;
        assert!(answer.starts_with(want), "{asked}: {answer}");
    }
    finish.send_replace(true);
    until("the end", || world.control.bundle_refresh_hint().is_none()).await;
}

/// Two installations: one fetches what the other serves, by our own client.
#[tokio::test]
async fn what_we_serve_we_can_fetch() {
    let (ours, web, dir) = (world(&files()), Web::new(), tempfile::tempdir().unwrap());
    let (address, _finish) = serving(&ours, place(dir.path(), &web, "127.0.0.1")).await;
    let entry = format!(
        "{{ name: shop.example.internal, url: 'https://{address}/shop.example.internal', profile: https_web, roots: \
         federation/web.pem }}"
    );
    let mut theirs = files();
    let organisation = String::from_utf8(theirs.remove("countersign.yaml").unwrap()).unwrap();
    theirs.insert("countersign.yaml", organisation.replace("example.internal", "other.internal"));
    append(&mut theirs, "countersign.yaml", &format!("federation: [{entry}]\n"));
    theirs.insert("federation/web.pem", web.pem());
    let theirs = world(&theirs);
    fetch_all(&theirs).await;
    let seen = seen(&theirs);
    assert_eq!((seen.problem.as_str(), seen.trust_domain.as_str()), ("", "shop.example.internal"));
    let bundles = ours.control.parts.issuance.bundles();
    let told = theirs.told.federated.lock().unwrap().clone();
    assert_eq!(told[&name("shop.example.internal")].roots, bundles.roots[&name("shop.example.internal")]);
}

#[tokio::test]
async fn a_renewed_certificate_is_served_and_a_broken_one_is_not() {
    let (world, web, dir) = (world(&files()), Web::new(), tempfile::tempdir().unwrap());
    let certificate = place(dir.path(), &web, "127.0.0.1");
    let next = Web::new();
    std::fs::write(dir.path().join("c.pem"), "broken").unwrap();
    certificate.look();
    let (address, _finish) = serving(&world, certificate).await;
    assert!(
        ask(address, &web, &version::TLS13, &get("/")).await.starts_with("HTTP/1.1 404"),
        "the old one is served on"
    );
    let certificate = place(dir.path(), &web, "127.0.0.1");
    drop(place(dir.path(), &next, "127.0.0.1"));
    certificate.look();
    let (address, _finish) = serving(&world, certificate).await;
    assert!(ask(address, &next, &version::TLS13, &get("/")).await.starts_with("HTTP/1.1 404"), "the new one is served");
}

#[test]
fn a_certificate_that_cannot_be_used_says_why() {
    let (web, dir) = (Web::new(), tempfile::tempdir().unwrap());
    drop(place(dir.path(), &web, "127.0.0.1"));
    let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
    let words = |certificate: &Path, key: &Path| {
        let error = BundleCertificate::open(certificate, key).err().unwrap();
        format!("{error} | {}", error.hint())
    };
    assert!(words(&dir.path().join("no"), &key).contains("no` cannot be read: "));
    assert!(words(&key, &key).contains("k.pem` holds no certificate in PEM | put the certificate first"));
    assert!(words(&certificate, &certificate).contains("c.pem` holds no private key in PEM that is not encrypted"));
    let other = web.issue("127.0.0.1", NOW + HOUR);
    std::fs::write(&key, other.key).unwrap();
    assert!(words(&certificate, &key).contains("k.pem` is not the key of the first certificate in `"));
}
