//! Callers: raw HTTP/1.1, which shows how a connection ends, and HTTP/2.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use testkit::Leaf;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::site::Site;

fn config(site: &Site, identity: Option<&Leaf>, protocol: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    site.roots().into_iter().for_each(|root| roots.add(root.into()).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match identity {
        Some(leaf) => {
            let chain = leaf.chain.iter().cloned().map(CertificateDer::from).collect();
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf.key_der()));
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

/// A TLS connection for a host.
pub async fn tls(
    site: &Site,
    identity: Option<&Leaf>,
    host: &str,
    protocol: &[u8],
) -> io::Result<TlsStream<TcpStream>> {
    tls_at(site, site.address, identity, host, protocol).await
}

/// The same at another listener.
pub async fn tls_at(
    site: &Site,
    address: SocketAddr,
    identity: Option<&Leaf>,
    host: &str,
    protocol: &[u8],
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let connector = TlsConnector::from(Arc::new(config(site, identity, protocol)));
    connector.connect(ServerName::try_from(host.to_owned()).unwrap(), stream).await
}

/// HTTP/1.1 over whatever carries it.
pub struct Http1<S> {
    stream: S,
    host: String,
}

/// A response of which the head was read.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    pub id: String,
    pub length: usize,
    pub closes: bool,
}

impl Http1<TlsStream<TcpStream>> {
    pub async fn connect(site: &Site, identity: Option<&Leaf>, host: &str) -> io::Result<Self> {
        Ok(Self::over(tls(site, identity, host, b"http/1.1").await?, host))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http1<S> {
    pub fn over(stream: S, host: &str) -> Self {
        Self { stream, host: host.to_owned() }
    }

    pub async fn send(&mut self, method: &str, path: &str, more: &str) {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{more}\r\n", self.host);
        self.write(head.as_bytes()).await.unwrap();
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The status of the answer; `None` where none comes.
    pub async fn try_status(&mut self) -> Option<u16> {
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n") {
            text.push(self.stream.read_u8().await.ok()?);
        }
        String::from_utf8_lossy(&text).get(9..12)?.parse().ok()
    }

    pub async fn head(&mut self) -> Head {
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            text.push(char::from(self.stream.read_u8().await.unwrap()));
        }
        let field = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        Head {
            status: text[9..12].parse().unwrap(),
            id: field("countersign-decision").unwrap_or_default(),
            length: field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0),
            closes: field("connection").is_some_and(|value| value == "close"),
        }
    }

    /// Status, decision, body of a response of known length.
    pub async fn get(&mut self, path: &str) -> (Head, String) {
        self.send("GET", path, "").await;
        self.answer().await
    }

    pub async fn answer(&mut self) -> (Head, String) {
        let head = self.head().await;
        let mut body = vec![0; head.length];
        self.stream.read_exact(&mut body).await.unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    pub async fn read_byte(&mut self) -> io::Result<u8> {
        self.stream.read_u8().await
    }

    /// Reads what comes next; `Ok(0)` is a proper end of the stream.
    pub async fn read(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 4096];
        self.stream.read(&mut bytes).await
    }
}

/// Whether a caller is let in and answered; in TLS 1.3 it learns with the first read.
pub async fn is_answered(site: &Site, identity: &Leaf, host: &str) -> io::Result<u16> {
    let mut caller = Http1::connect(site, Some(identity), host).await?;
    caller.write(format!("GET /items HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
    let status = caller.try_status().await;
    status.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
}

/// An HTTP/2 connection.
pub struct Http2 {
    sender: http2::SendRequest<Empty<Bytes>>,
    host: String,
    pub ended: tokio::task::JoinHandle<hyper::Result<()>>,
}

impl Http2 {
    pub async fn connect(site: &Site, identity: Option<&Leaf>, host: &str) -> Self {
        let stream = TokioIo::new(tls(site, identity, host, b"h2").await.unwrap());
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(65_535).initial_connection_window_size(16 << 20);
        let (sender, connection) = builder.handshake(stream).await.unwrap();
        Self { sender, host: host.to_owned(), ended: tokio::spawn(connection) }
    }

    /// Asks; the answer is read when it is awaited.
    pub fn ask(&mut self, path: &str) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        let request = Request::get(format!("https://{}{path}", self.host)).body(Empty::new()).unwrap();
        self.sender.send_request(request)
    }

    /// A whole answer: status and body.
    pub async fn get(&mut self, path: &str) -> (u16, String) {
        let response = self.ask(path).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

/// The decision of a response.
pub fn decision(response: &Response<Incoming>) -> String {
    response.headers()["countersign-decision"].to_str().unwrap().to_owned()
}
