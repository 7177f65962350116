//! Connections of the harness's own clients, over either protocol, without waiting threads.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificates::Identity;
use crate::http2::{Sent, words};
use crate::raw::client_config;
use crate::site::Site;

/// Where and as whom to connect. It outlives a restart of the gateway only where that keeps its port.
#[derive(Clone)]
pub struct Dial {
    address: SocketAddr,
    config: Arc<ClientConfig>,
    host: String,
    is_http2: bool,
}

impl Dial {
    /// A caller with this identity to a host behind the gateway, over `http/1.1` or `h2`.
    pub fn with(site: &Site, identity: &Identity, host: &str, protocol: &str) -> Self {
        Self::to(site.gateway(), &site.roots_of(host), identity, host, protocol)
    }

    /// As [`Self::with`], to a gateway at this address whose certificates lead to these roots.
    pub fn to(address: SocketAddr, roots: &Path, identity: &Identity, host: &str, protocol: &str) -> Self {
        let config = client_config(roots, Some(identity), protocol);
        Self { address, config, host: host.to_owned(), is_http2: protocol == "h2" }
    }

    /// The host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A request of the host.
    ///
    /// # Panics
    /// When the target is none.
    pub(crate) fn request(&self, method: &str, target: &str, body: Sent) -> Request<Sent> {
        let request = Request::builder().method(method);
        let request = if self.is_http2 {
            request.uri(format!("https://{}{target}", self.host))
        } else {
            request.uri(target).header("host", &self.host)
        };
        request.body(body).expect("a request")
    }

    /// Opens a connection.
    pub(crate) async fn open(&self) -> Result<Connection, String> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| words(&error))?;
        stream.set_nodelay(true).map_err(|error| words(&error))?;
        let name = self.host.clone().try_into().expect("a server name");
        let tls = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await;
        let io = TokioIo::new(tls.map_err(|error| words(&error))?);
        if self.is_http2 {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), io).await.map_err(|error| words(&error))?;
            tokio::spawn(connection);
            return Ok(Connection::Http2(sender));
        }
        let (sender, connection) = http1::handshake(io).await.map_err(|error| words(&error))?;
        tokio::spawn(connection);
        Ok(Connection::Http1(sender))
    }
}

/// An open connection.
pub(crate) enum Connection {
    Http1(http1::SendRequest<Sent>),
    Http2(http2::SendRequest<Sent>),
}

impl Connection {
    /// The same connection for one more stream; `None` where it carries one at a time.
    pub(crate) fn beside(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }

    /// Sends a request as soon as the connection takes one, and waits for the head of its answer.
    pub(crate) async fn send(&mut self, request: Request<Sent>) -> Result<Response<Incoming>, String> {
        let sent = match self {
            Self::Http1(sender) => match sender.ready().await {
                Ok(()) => sender.send_request(request).await,
                Err(error) => Err(error),
            },
            Self::Http2(sender) => match sender.ready().await {
                Ok(()) => sender.send_request(request).await,
                Err(error) => Err(error),
            },
        };
        sent.map_err(|error| words(&error))
    }
}
