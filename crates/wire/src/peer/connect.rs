//! The way to control: memory or TLS, and a channel over one connection.

use std::{
    io,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use api::admin::Role;
use http::Uri;
use hyper_util::rt::TokioIo;
use runtime::tls::server_refusal;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use tonic::{
    codegen::Service,
    transport::{Channel, Endpoint},
};
use types::{Label, limits};

use super::{ControlAt, StartError};
use crate::{
    memory::Connector,
    server::{Duplex, WINDOW},
    words::told,
};

/// Where to go.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Memory(Connector),
    Remote(Remote),
}

/// Control on another machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Remote {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) root_sha256: [u8; 32],
    pub(super) token_file: Option<PathBuf>,
}

impl Target {
    pub(super) fn of(control: &ControlAt) -> Result<Self, StartError> {
        Ok(match control {
            ControlAt::Memory { connector, .. } => Self::Memory(connector.clone()),
            ControlAt::Remote { url, root_sha256, token_file } => {
                let (host, port) = parse(url)?;
                Self::Remote(Remote { host, port, root_sha256: *root_sha256, token_file: token_file.clone() })
            }
        })
    }

    pub(super) fn pointed_at(&self, url: &str, token_file: Option<PathBuf>) -> Result<Self, StartError> {
        let (host, port) = parse(url)?;
        Ok(match self {
            Self::Memory(connector) => Self::Memory(connector.clone()),
            Self::Remote(remote) => Self::Remote(Remote { host, port, token_file, ..remote.clone() }),
        })
    }

    /// Whether a connection to the one is a connection to the other.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Memory(_), Self::Memory(_)) => true,
            (Self::Remote(one), Self::Remote(other)) => (&one.host, one.port) == (&other.host, other.port),
            (Self::Memory(_), Self::Remote(_)) | (Self::Remote(_), Self::Memory(_)) => false,
        }
    }
}

fn parse(url: &str) -> Result<(String, u16), StartError> {
    let wrong = || StartError::Url(url.chars().filter(|char| !char.is_control()).take(160).collect());
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    let authority = uri.authority().ok_or_else(wrong)?;
    match (uri.scheme_str(), uri.port_u16(), is_bare && !authority.as_str().contains('@')) {
        (Some("https"), Some(port), true) => Ok((authority.host().to_owned(), port)),
        _ => Err(wrong()),
    }
}

/// A channel over a connection within this process.
pub(super) async fn over_memory(connector: &Connector, role: Role, name: &Label) -> Result<Channel, String> {
    let io = connector.connect(role, name).await.map_err(|error| error.to_string())?;
    channel(Box::new(io), "control").await
}

/// A channel over TLS.
pub(super) async fn over_tls(remote: &Remote, config: ClientConfig) -> Result<Channel, String> {
    let (host, port) = (remote.host.trim_start_matches('[').trim_end_matches(']'), remote.port);
    let patience = Duration::from_millis(limits::WIRE_SILENCE_TIME.default);
    let place = format!("{}:{port}", remote.host);
    let tcp = timeout(patience, TcpStream::connect((host, port))).await;
    let tcp = tcp.map_err(|_| format!("`{place}` does not answer"))?;
    let tcp = tcp.map_err(|error| format!("`{place}` cannot be reached: {error}"))?;
    let _ = tcp.set_nodelay(true);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is no host"))?;
    let tls = timeout(patience, TlsConnector::from(Arc::new(config)).connect(name, tcp)).await;
    let tls = tls.map_err(|_| format!("`{place}` does not answer the handshake"))?;
    let tls = tls.map_err(|error| match server_refusal(&error) {
        Some(refusal) => format!("`{place}` is not trusted: {}", told(refusal)),
        None => format!("the handshake with `{place}` failed: {}", told(&error)),
    })?;
    channel(Box::new(tls), &place).await
}

async fn channel(io: Box<dyn Duplex>, authority: &str) -> Result<Channel, String> {
    let ping = Duration::from_millis(limits::WIRE_PING_TIME.default);
    let endpoint = Endpoint::from_shared(format!("http://{authority}")).map_err(|error| told(&error))?;
    endpoint
        .http2_keep_alive_interval(ping)
        .keep_alive_timeout(Duration::from_millis(limits::WIRE_SILENCE_TIME.default))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .connect_with_connector(Once(Some(io)))
        .await
        .map_err(|error| told(&error))
}

/// Gives its connection once: a channel shall not come back by itself, since every connection begins with Hello.
struct Once(Option<Box<dyn Duplex>>);

impl Service<Uri> for Once {
    type Response = TokioIo<Box<dyn Duplex>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let io = self.0.take().map(TokioIo::new);
        Box::pin(core::future::ready(io.ok_or_else(|| io::Error::other("the connection to control has ended"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_control() {
        assert_eq!(parse("https://control.acme.internal:8440").unwrap(), ("control.acme.internal".to_owned(), 8440));
        assert_eq!(parse("https://[::1]:1/").unwrap(), ("[::1]".to_owned(), 1));
        for bad in ["", "control:8440", "http://c:1", "https://c", "https://c:1/x", "https://u@c:1", "https://c:1?x"] {
            assert!(matches!(parse(bad), Err(StartError::Url(_))), "{bad}");
        }
    }
}
