//! Fetches one bundle document: one connection, one request, no redirects, everything bounded (BU-6, BU-7, DI-2).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_ENCODING, HOST, HeaderMap, LOCATION, USER_AGENT};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use trustdir::{FederationUrl, UpstreamHost};
use types::limits;

use super::{proof, reach};

/// Why a bundle was not fetched. Each says what to do where that is not plain.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    /// The name does not resolve.
    #[error("the name `{0}` cannot be resolved: {1}")]
    Name(String, #[source] io::Error),
    /// The name leads nowhere.
    #[error("the name `{0}` has no address")]
    NoAddress(String),
    /// It leads where a name of somebody else must not lead.
    #[error("the name `{name}` leads to {address}, inside; {hint}")]
    Inside {
        /// The name.
        name: String,
        /// The first of its addresses.
        address: IpAddr,
        /// What to do where it is meant.
        hint: &'static str,
    },
    /// Nobody takes the connection.
    #[error("no connection to {0}: {1}")]
    Connect(SocketAddr, #[source] io::Error),
    /// There is nothing to prove a server of the web by.
    #[error("this machine knows no roots of the web: install its package of CA certificates, or name `roots`")]
    NoRoots,
    /// TLS cannot be set up here.
    #[error("TLS cannot be set up: {0}")]
    NoTls(#[source] rustls::Error),
    /// The server did not prove to be the endpoint.
    #[error("the server is not the endpoint: {0}")]
    NotTheEndpoint(proof::NotTheEndpoint),
    /// The handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
    /// It sends us elsewhere.
    #[error("it answered {0} and points to `{1}`: redirects are not followed, so write the URL that answers")]
    Redirect(u16, String),
    /// It answered with an error.
    #[error("it answered {0}")]
    Status(u16),
    /// It is compressed, which nobody asked for.
    #[error("the answer is encoded as `{0}`, which was not asked for")]
    Encoded(String),
    /// HTTP went wrong.
    #[error("the answer broke off: {0}")]
    Http(#[source] hyper::Error),
    /// More than a bundle may have.
    #[error("the answer is larger than {} bytes", limits::BUNDLE_BYTES.default)]
    TooLarge,
    /// Bytes that are no text.
    #[error("the answer is not UTF-8")]
    NotText,
    /// It took too long.
    #[error("it took longer than {} s", limits::FEDERATION_FETCH_TIME.default / 1_000)]
    TooSlow,
}

/// Fetches the document at a URL from a server that the TLS configuration accepts, or gives up in bounded time.
pub(super) async fn fetch(
    url: &FederationUrl,
    private_network: bool,
    tls: Arc<ClientConfig>,
    patience: Duration,
) -> Result<String, FetchError> {
    let all = async {
        let addresses = reach::addresses(url, private_network).await?;
        let stream = connect(&addresses, patience / 2).await?;
        let stream = shake(stream, url, tls).await?;
        get(stream, url).await
    };
    timeout(patience, all).await.unwrap_or(Err(FetchError::TooSlow))
}

/// Tries one address after another, each for its share of the time: one that swallows everything hides no other.
pub(super) async fn connect(addresses: &[SocketAddr], patience: Duration) -> Result<TcpStream, FetchError> {
    let share = patience / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut last = None;
    for address in addresses {
        let connecting = timeout(share, TcpStream::connect(address)).await;
        match connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(FetchError::Connect(*address, error)),
        }
    }
    Err(last.unwrap_or_else(|| FetchError::NoAddress(String::new())))
}

async fn shake(
    stream: TcpStream,
    url: &FederationUrl,
    tls: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, FetchError> {
    let name = match url.host() {
        UpstreamHost::Address(address) => ServerName::IpAddress((*address).into()),
        UpstreamHost::Name(name) => ServerName::try_from(name.as_str().to_owned())
            .map_err(|error| FetchError::Handshake(io::Error::other(error)))?,
    };
    TlsConnector::from(tls).connect(name, stream).await.map_err(|error| match proof::refusal(&error) {
        Some(refusal) => FetchError::NotTheEndpoint(refusal.clone()),
        None => FetchError::Handshake(error),
    })
}

/// The task that moves the bytes of a connection; it ends with the exchange.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn get(stream: TlsStream<TcpStream>, url: &FederationUrl) -> Result<String, FetchError> {
    let mut http = http1::Builder::new();
    http.max_buf_size(limits::HEAD_BYTES.default_usize()).max_headers(limits::HEADER_COUNT.default_usize());
    let (mut sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(FetchError::Http)?;
    let _driver = Driver(tokio::spawn(async move {
        // what goes wrong is told by the exchange
        let _ = connection.await;
    }));
    let request = Request::get(url.target())
        .header(HOST, url.authority())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "countersign")
        .body(Empty::<Bytes>::new());
    // INVARIANT: target and authority are visible ASCII, since the URL was read.
    let request = request.map_err(|error| FetchError::Handshake(io::Error::other(error)))?;
    let response = sender.send_request(request).await.map_err(FetchError::Http)?;
    read(response).await
}

async fn read(response: Response<Incoming>) -> Result<String, FetchError> {
    let status = response.status();
    if status.is_redirection() {
        let to = shown(response.headers(), &LOCATION).unwrap_or_default();
        return Err(FetchError::Redirect(status.as_u16(), to));
    }
    if status != hyper::StatusCode::OK {
        return Err(FetchError::Status(status.as_u16()));
    }
    if let Some(encoding) = shown(response.headers(), &CONTENT_ENCODING).filter(|encoding| encoding != "identity") {
        return Err(FetchError::Encoded(encoding));
    }
    let body = Limited::new(response.into_body(), limits::BUNDLE_BYTES.default_usize()).collect().await;
    let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
        Ok(error) => FetchError::Http(*error),
        Err(error) if error.is::<LengthLimitError>() => FetchError::TooLarge,
        Err(error) => FetchError::Handshake(io::Error::other(error)),
    })?;
    String::from_utf8(body.to_bytes().into()).map_err(|_| FetchError::NotText)
}

/// A header field as messages show it.
fn shown(headers: &HeaderMap, name: &hyper::header::HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().unwrap_or("?");
    Some(text.chars().filter(|char| !char.is_control()).take(200).collect())
}
