//! A caller that lives as workloads do: it takes its identity from the Workload API, follows every change of it, and calls a
//! host behind a gateway all the time. `e2e-caller GATEWAY HOST TRUST_DOMAIN` runs until it is killed; where the API is,
//! `SPIFFE_ENDPOINT_SOCKET` says. The gateway must lead to a root of the trust domain.
//!
//! It prints JSON, a line for each: `{"update": SERIAL, "roots": N}`, `{"lost": WHY}` when the API gives nothing,
//! `{"failed": WHY, "kept": BOOL}` for a call that was not answered 200, `{"calls": N}` after each twenty.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test program: what fails shall end it with a message")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use spiffe::{WorkloadApiClient, WorkloadApiError, X509Context};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt;

/// Between two calls, and between two attempts to reach the Workload API.
const PACE: Duration = Duration::from_millis(20);
/// A call that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a call is made with.
type Current = Arc<ClientConfig>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [gateway, host, domain] = arguments.as_slice() else { panic_with("GATEWAY HOST TRUST_DOMAIN") };
    let gateway: SocketAddr = gateway.parse().expect("an address");
    let (sender, current) = watch::channel(None);
    let calls = Calls { gateway, host: host.clone(), current };
    tokio::join!(follow(domain, sender), calls.clone().fresh(), calls.kept());
}

fn panic_with(usage: &str) -> ! {
    say(&json!({ "usage": usage }));
    std::process::exit(64);
}

fn say(line: &Value) {
    println!("{line}");
}

/// Follows the Workload API, and comes back when its stream ends: as every SPIFFE client does.
async fn follow(domain: &str, sender: watch::Sender<Option<Current>>) {
    loop {
        if let Err(error) = stream(domain, &sender).await {
            say(&json!({ "lost": format!("{error:?}") }));
        }
        // tidy: the pace of a client
        sleep(PACE * 5).await;
    }
}

async fn stream(domain: &str, sender: &watch::Sender<Option<Current>>) -> Result<(), WorkloadApiError> {
    let client = WorkloadApiClient::connect_env().await?;
    let mut contexts = client.stream_x509_contexts().await?;
    while let Some(context) = contexts.next().await {
        let context = context?;
        if let Some(roots) = roots(domain, &context) {
            let serial = serial(&context);
            say(&json!({ "update": serial, "roots": roots.len() }));
            sender.send_replace(Some(Arc::new(config(&context, roots))));
        }
    }
    Ok(())
}

fn roots(domain: &str, context: &X509Context) -> Option<RootCertStore> {
    let mut store = RootCertStore::empty();
    let (_, bundle) = context.bundle_set().iter().find(|(name, _)| name.to_string() == domain)?;
    for authority in bundle.authorities() {
        store.add(CertificateDer::from(authority.as_bytes().to_vec())).expect("a root");
    }
    Some(store)
}

/// Where the serial number stands in DER: after the version, in a certificate of version 3.
fn serial(context: &X509Context) -> String {
    let svid = context.default_svid().expect("an SVID");
    let leaf = svid.cert_chain().first().expect("a leaf").as_bytes();
    let at = leaf.windows(5).position(|bytes| bytes == [0xa0, 0x03, 0x02, 0x01, 0x02]).map_or(0, |at| at + 5);
    let length = usize::from(leaf.get(at + 1).copied().unwrap_or(0));
    leaf.iter().skip(at + 2).take(length).map(|byte| format!("{byte:02x}")).collect()
}

fn config(context: &X509Context, roots: RootCertStore) -> ClientConfig {
    let svid = context.default_svid().expect("an SVID");
    let chain = svid.cert_chain().iter().map(|part| CertificateDer::from(part.as_bytes().to_vec())).collect();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(svid.private_key().as_bytes().to_vec()));
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13]).unwrap().with_root_certificates(roots);
    let mut config = builder.with_client_auth_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

#[derive(Clone)]
struct Calls {
    gateway: SocketAddr,
    host: String,
    current: watch::Receiver<Option<Current>>,
}

type Connection = SendRequest<Empty<Bytes>>;

impl Calls {
    /// A connection for each call.
    async fn fresh(mut self) {
        let mut count = 0;
        loop {
            let current = self.some().await;
            match timeout(PATIENCE, self.call(current)).await {
                Ok(Ok(_)) => count += 1,
                Ok(Err(error)) => say(&json!({ "failed": error, "kept": false })),
                Err(_) => say(&json!({ "failed": "no answer in time", "kept": false })),
            }
            if count % 20 == 0 {
                say(&json!({ "calls": count }));
            }
            // tidy: the pace of a caller
            sleep(PACE).await;
        }
    }

    /// One connection until the identity changes: what a certificate vouched for ends with it.
    async fn kept(mut self) {
        loop {
            let current = self.some().await;
            if let Err(error) = self.use_up(current).await {
                say(&json!({ "failed": error, "kept": true }));
                // tidy: the pace of a caller
                sleep(PACE).await;
            }
        }
    }

    async fn use_up(&mut self, current: Current) -> Result<(), String> {
        let mut connection =
            timeout(PATIENCE, self.call(current)).await.map_err(|_| "no answer in time".to_owned())??;
        while !self.current.has_changed().unwrap_or(true) {
            let asked = timeout(PATIENCE, self.ask(&mut connection)).await;
            asked.map_err(|_| "no answer in time".to_owned())??;
            // tidy: the pace of a caller
            sleep(PACE).await;
        }
        Ok(())
    }

    async fn some(&mut self) -> Current {
        let found = self.current.wait_for(Option::is_some).await.expect("the other task runs");
        let current = found.clone().expect("there is one");
        drop(found);
        self.current.mark_unchanged();
        current
    }

    async fn call(&self, current: Current) -> Result<Connection, String> {
        let tcp = TcpStream::connect(self.gateway).await.map_err(words)?;
        let name = self.host.clone().try_into().expect("a server name");
        let tls = TlsConnector::from(current).connect(name, tcp).await.map_err(words)?;
        let (mut connection, driver) = handshake(TokioIo::new(tls)).await.map_err(words)?;
        tokio::spawn(driver);
        self.ask(&mut connection).await?;
        Ok(connection)
    }

    async fn ask(&self, connection: &mut Connection) -> Result<(), String> {
        let request = Request::get("/items/1").header("host", &self.host).body(Empty::new()).expect("a request");
        let response = connection.send_request(request).await.map_err(words)?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(words)?.to_bytes();
        if status == 200 { Ok(()) } else { Err(format!("{status}: {}", String::from_utf8_lossy(&body))) }
    }
}

fn words(error: impl std::error::Error) -> String {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{cause}")
}
