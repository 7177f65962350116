//! A bundle endpoint of a partner, which answers whatever a test wants.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use testkit::{Authority, LeafPlan};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use types::Timestamp;

use super::{HOUR, NOW};

/// A certificate authority of the web.
pub struct Web {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate of the web and its key, PEM.
pub struct WebPem {
    pub certificate: String,
    pub key: String,
}

fn moment(seconds: u64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap()).unwrap()
}

impl Web {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "a root of the web");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (moment(NOW - 24 * HOUR), moment(NOW + 10_000 * HOUR));
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a host, valid from a day ago.
    pub fn issue(&self, host: &str, not_after: u64) -> WebPem {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (moment(NOW - 24 * HOUR), moment(not_after));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        WebPem { certificate, key: key.serialize_pem() }
    }

    /// A server with such a certificate.
    pub fn server(&self, host: &str, not_after: u64) -> ServerConfig {
        use rustls::pki_types::pem::PemObject as _;
        let WebPem { certificate, key } = self.issue(host, not_after);
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).map(Result::unwrap).collect();
        config(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
    }
}

/// A server with an SVID.
pub fn svid_server(authority: &Authority, id: &str) -> ServerConfig {
    let leaf = authority.issue(&LeafPlan::svid(id, Timestamp::from_seconds(NOW)));
    let chain = leaf.chain.into_iter().map(CertificateDer::from).collect();
    config(chain, PrivateKeyDer::try_from(leaf.key.serialize_der()).unwrap())
}

fn config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    builder.with_no_client_auth().with_single_cert(chain, key).unwrap()
}

/// What the site does.
#[derive(Clone)]
struct Script {
    config: Arc<ServerConfig>,
    /// The bytes of the response, or what is sent of it before nothing more comes.
    response: Vec<u8>,
    /// Whether the connection stays open after them, in silence.
    hangs: bool,
    /// The head of each request.
    asked: Vec<String>,
}

/// The endpoint.
pub struct Site {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Site {
    pub async fn start(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Script { config: Arc::new(config), response: Vec::new(), hangs: false, asked: Vec::new() };
        let script = Arc::new(Mutex::new(script));
        let shared = Arc::clone(&script);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let _ = talk(stream, shared).await;
                });
            }
        });
        Self { address, script, task }
    }

    pub fn url(&self) -> String {
        format!("https://{}/bundle?x=1", self.address)
    }

    /// From now on another certificate.
    pub fn becomes(&self, config: ServerConfig) {
        self.script.lock().unwrap().config = Arc::new(config);
    }

    /// Answers with a document.
    pub fn gives(&self, document: &str) {
        let length = document.len();
        self.sends(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{document}").into_bytes(), false);
    }

    /// Answers with these bytes, and then closes or falls silent.
    pub fn sends(&self, response: impl Into<Vec<u8>>, hangs: bool) {
        let mut script = self.script.lock().unwrap();
        (script.response, script.hangs) = (response.into(), hangs);
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<String> {
        self.script.lock().unwrap().asked.clone()
    }
}

async fn talk(stream: TcpStream, script: Arc<Mutex<Script>>) -> std::io::Result<()> {
    let config = Arc::clone(&script.lock().unwrap().config);
    let mut stream = TlsAcceptor::from(config).accept(stream).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let Script { response, hangs, .. } = {
        let mut script = script.lock().unwrap();
        script.asked.push(String::from_utf8(head).unwrap());
        script.clone()
    };
    stream.write_all(&response).await?;
    stream.flush().await?;
    if hangs {
        std::future::pending::<()>().await;
    }
    stream.shutdown().await
}
