//! Our bundle endpoint, by the profile `https_web`: the bundles of our domains for whoever asks, and nothing else. It asks
//! nobody who they are (BU-6).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use types::{TrustDomain, limits};

use crate::service::Control;

/// Between looks at the certificate's files, which others renew.
const LOOK: Duration = Duration::from_secs(10); // tidy: how soon a renewed certificate is served

/// The listener of our bundle endpoint.
pub struct BundleEndpoint {
    /// Where it listens.
    pub listener: TcpListener,
    /// Its certificate of the web.
    pub certificate: BundleCertificate,
}

/// The certificate of the endpoint, read from its files again when they change.
pub struct BundleCertificate {
    certificate: PathBuf,
    key: PathBuf,
    config: ArcSwap<ServerConfig>,
    read: Mutex<Read>,
}

/// What the files looked like when they were last looked at.
type Read = [Option<(SystemTime, u64)>; 2];

/// Why the endpoint's certificate cannot be used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("`{0}` cannot be read: {1}")]
    Unreadable(PathBuf, #[source] io::Error),
    /// It holds no certificate.
    #[error("`{0}` holds no certificate in PEM")]
    NoCertificate(PathBuf),
    /// It holds no private key.
    #[error("`{0}` holds no private key in PEM that is not encrypted")]
    NoKey(PathBuf),
    /// They do not belong together, or TLS cannot use them.
    #[error("`{0}` is not the key of the first certificate in `{1}`, or of a kind that TLS does not use: {2}")]
    Mismatch(PathBuf, PathBuf, #[source] rustls::Error),
}

impl CertificateError {
    /// What to do.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable(..) => "it must be readable by the user that Countersign runs as",
            Self::NoCertificate(_) => "put the certificate first and then whatever leads to a root, as `fullchain.pem`",
            Self::NoKey(_) => "an unencrypted key, as `privkey.pem`",
            Self::Mismatch(..) => "the server's own certificate comes first in the file",
        }
    }
}

impl BundleCertificate {
    /// Reads certificate and key, PEM.
    ///
    /// # Errors
    /// [`CertificateError`], with a hint.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let read = Mutex::new([looked(certificate), looked(key)]);
        let config = ArcSwap::from_pointee(config(certificate, key)?);
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), config, read })
    }

    /// Reads the files again where they changed. What cannot be used is told, and the last one is served on.
    pub(super) fn look(&self) {
        let now = [looked(&self.certificate), looked(&self.key)];
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if *read == now {
            return;
        }
        *read = now;
        match config(&self.certificate, &self.key) {
            Ok(config) => {
                self.config.store(Arc::new(config));
                tracing::info!(file = %self.certificate.display(), "the bundle endpoint has a new certificate");
            }
            Err(error) => {
                let hint = error.hint();
                tracing::error!(%error, hint, "the bundle endpoint goes on with the certificate that it had");
            }
        }
    }
}

fn looked(path: &Path) -> Option<(SystemTime, u64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

/// TLS 1.2 and 1.3 with the suites of rustls, all of them in Mozilla's intermediate set; no client certificate is asked for.
fn config(certificate: &Path, key: &Path) -> Result<ServerConfig, CertificateError> {
    let read = |path: &Path| fs::read(path).map_err(|error| CertificateError::Unreadable(path.to_owned(), error));
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| CertificateError::NoCertificate(certificate.to_owned()))?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| CertificateError::NoKey(key.to_owned()))?;
    let mismatch = |error| CertificateError::Mismatch(key.to_owned(), certificate.to_owned(), error);
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(mismatch)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, private).map_err(mismatch)?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Serves bundles until `finishing` becomes true, or its sender is gone.
pub async fn serve_bundles(endpoint: BundleEndpoint, control: Arc<Control>, finishing: watch::Receiver<bool>) {
    control.federation.serves.store(true, Ordering::Release);
    let BundleEndpoint { listener, certificate } = endpoint;
    let certificate = Arc::new(certificate);
    let room = Arc::new(Semaphore::new(limits::BUNDLE_CONNECTIONS.default_usize()));
    let mut talks = JoinSet::new();
    let mut looks = interval(LOOK);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = looks.tick() => {
                let certificate = Arc::clone(&certificate);
                drop(tokio::task::spawn_blocking(move || certificate.look()));
                continue;
            }
            () = asked(finishing.clone()) => break,
        };
        while talks.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                // who finds no room comes back: a bundle is fetched every few minutes
                let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
                let (control, config, finishing) =
                    (Arc::clone(&control), certificate.config.load_full(), finishing.clone());
                talks.spawn(async move {
                    let _permit = permit;
                    if let Err(error) = talk(stream, config, control, finishing).await {
                        tracing::debug!(%error, "a connection to the bundle endpoint came to nothing");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the bundle endpoint was given no connection");
                sleep(Duration::from_millis(limits::ACCEPT_PAUSE_TIME.default)).await;
            }
        }
    }
    control.federation.serves.store(false, Ordering::Release);
}

async fn talk(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    control: Arc<Control>,
    finishing: watch::Receiver<bool>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let shaking = TlsAcceptor::from(config).accept(stream);
    let stream = timeout(Duration::from_millis(limits::HANDSHAKE_TIME.default), shaking).await??;
    let service = service_fn(move |request| answer(Arc::clone(&control), request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::HEAD_TIME.default))
        .max_buf_size(limits::HEAD_BYTES.default_usize())
        .max_headers(limits::HEADER_COUNT.default_usize());
    let mut talk = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    // whoever asks nothing more, or does not read, makes room for others
    let patience = Duration::from_millis(limits::FEDERATION_FETCH_TIME.default);
    let ended = tokio::select! {
        ended = talk.as_mut() => ended,
        () = sleep(patience) => return Ok(()),
        () = asked(finishing) => {
            talk.as_mut().graceful_shutdown();
            talk.await
        }
    };
    ended.map_err(io::Error::other)
}

/// Resolves when the endpoint is to end.
async fn asked(mut finishing: watch::Receiver<bool>) {
    let _ = finishing.wait_for(|finish| *finish).await;
}

async fn answer(
    control: Arc<Control>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    if request.method() != Method::GET {
        let refusal = Response::builder().status(StatusCode::METHOD_NOT_ALLOWED).header(ALLOW, "GET");
        return refusal.body(Full::default());
    }
    let path = request.uri().path().to_owned();
    let document = tokio::task::spawn_blocking(move || document(&control, &path)).await;
    match document.unwrap_or(Err(StatusCode::INTERNAL_SERVER_ERROR)) {
        Ok(document) => Response::builder()
            .header(CONTENT_TYPE, "application/json")
            // a copy on the way would be an old bundle
            .header(CACHE_CONTROL, "no-store")
            .body(Full::from(document)),
        Err(status) => Response::builder().status(status).body(Full::default()),
    }
}

/// The newest bundle of a domain of the running revision, named by its trust domain.
fn document(control: &Control, path: &str) -> Result<String, StatusCode> {
    let name = path.strip_prefix('/').and_then(|name| TrustDomain::parse(name).ok()).ok_or(StatusCode::NOT_FOUND)?;
    let revision = control.parts.revision.load();
    if !revision.domains().values().any(|domain| domain.trust_domain == name) {
        return Err(StatusCode::NOT_FOUND);
    }
    control.bundle_document(&name).map_err(|failure| {
        tracing::error!(failure.message, trust_domain = %name, "the bundle endpoint has no bundle to give");
        StatusCode::SERVICE_UNAVAILABLE
    })
}
