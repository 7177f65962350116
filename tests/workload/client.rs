//! A caller in Rust, with the SPIFFE clients that others wrote (`spiffe`, `spiffe-rustls`): not a line of Countersign's.
//!
//! `e2e-rustls GATEWAY HOST TRUST_DOMAIN` runs until it is killed. It takes its identity from the Workload API at
//! `SPIFFE_ENDPOINT_SOCKET`, follows every change, and calls `GET /items/1` of HOST behind GATEWAY (address:port) all the
//! time, each time by a new connection. The gateway must be a member of the trust domain, by its roots.
//!
//! It prints JSON, a line for each: `{"update": SERIAL, "roots": N}`, `{"failed": WHY}`, `{"calls": N}` after each twenty.

#![expect(clippy::expect_used, reason = "test program: what fails shall end it with a message")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::json;
use spiffe::{TrustDomain, X509Source};
use spiffe_rustls::{AllowList, authorizer, mtls_client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Between two calls.
const PACE: Duration = Duration::from_millis(20);
/// A call that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the library says when it cannot answer.
type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [gateway, host, domain] = arguments.as_slice() else {
        eprintln!("usage: GATEWAY HOST TRUST_DOMAIN");
        std::process::exit(64);
    };
    let gateway: SocketAddr = gateway.parse().expect("an address");
    let domain = TrustDomain::new(domain).expect("a trust domain");
    let source = X509Source::new().await.expect("a Workload API that knows this process");
    let config = Arc::new(config(source.clone(), &domain).expect("a configuration"));
    tokio::join!(follow(source, domain), calls(gateway, host, config));
}

/// The library looks at the source again for each handshake: one configuration lives through every rotation.
fn config(source: X509Source, domain: &TrustDomain) -> Result<ClientConfig, Failure> {
    let allowed = AllowList(BTreeSet::from([domain.clone()]));
    let members = authorizer::trust_domains([domain.clone()])?;
    Ok(mtls_client(source).authorize(members).trust_domain_policy(allowed).with_alpn_protocols(["http/1.1"]).build()?)
}

/// Tells the serial number and how many roots the trust domain has, at the start and after each change.
async fn follow(source: X509Source, domain: TrustDomain) {
    let (mut updates, mut told) = (source.updated(), None);
    loop {
        let now = shown(&source, &domain);
        if now != told {
            if let Some((serial, roots)) = &now {
                println!("{}", json!({ "update": serial, "roots": roots }));
            }
            told = now;
        }
        updates.changed().await.expect("the source lives");
    }
}

fn shown(source: &X509Source, domain: &TrustDomain) -> Option<(String, usize)> {
    let svid = source.try_svid()?;
    let roots = source.try_bundle_for_trust_domain(domain).map_or(0, |bundle| bundle.authorities().len());
    // After the version of a certificate (3), its serial number.
    let leaf = svid.cert_chain().first()?.as_bytes();
    let at = leaf.windows(5).position(|bytes| bytes == [0xa0, 0x03, 0x02, 0x01, 0x02])? + 5;
    let length = usize::from(*leaf.get(at + 1)?);
    Some((leaf.iter().skip(at + 2).take(length).map(|byte| format!("{byte:02x}")).collect(), roots))
}

async fn calls(gateway: SocketAddr, host: &str, config: Arc<ClientConfig>) {
    let mut count = 0;
    loop {
        match tokio::time::timeout(PATIENCE, call(gateway, host, Arc::clone(&config))).await {
            Ok(Ok(())) => {
                count += 1;
                if count % 20 == 0 {
                    println!("{}", json!({ "calls": count }));
                }
            }
            Ok(Err(failure)) => println!("{}", json!({ "failed": failure.to_string() })),
            Err(_) => println!("{}", json!({ "failed": "no answer in time" })),
        }
        // tidy: the pace of a caller
        tokio::time::sleep(PACE).await;
    }
}

async fn call(gateway: SocketAddr, host: &str, config: Arc<ClientConfig>) -> Result<(), Failure> {
    let tcp = TcpStream::connect(gateway).await?;
    let name = rustls::pki_types::ServerName::try_from(host.to_owned())?;
    let mut tls = TlsConnector::from(config).connect(name, tcp).await?;
    let request = format!("GET /items/1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    tls.read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    let status = text.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") { Ok(()) } else { Err(format!("answered: {status}").into()) }
}
