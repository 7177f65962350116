//! The listening end of the wire: connections, each with who stands at its other end, in the form that a tonic server takes.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use api::admin::Role;
use arc_swap::ArcSwap;
use identity::VerifiedPeer;
use runtime::tls::Trust;
use rustls::{ServerConfig, server::Acceptor};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tokio_stream::Stream;
use tonic::transport::{Server, server::Connected};
use types::{Label, TrustDomain, limits};

use crate::system;

/// Who stands at the other end of a connection.
#[derive(Clone, Debug)]
pub enum Who {
    /// A role of this very process, over memory.
    InProcess {
        /// What it does.
        role: Role,
        /// Its name.
        name: Label,
    },
    /// Somebody with a verified certificate of `system.<organisation>`. What it may do is the caller's to decide: whether
    /// it is a peer, whether it was revoked since, and whether its certificate has ended since.
    System(VerifiedPeer),
    /// Somebody without a certificate, who may join and nothing else.
    Nobody,
}

/// What a request of the wire carries in its extensions.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Who asks.
    pub who: Who,
    /// From where; `None` for the same process.
    pub address: Option<SocketAddr>,
}

/// A tonic server with the limits of the wire: pings that notice a cut connection, a bound on streams and headers.
pub fn builder() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_millis(limits::WIRE_PING_TIME.default)))
        .http2_keepalive_timeout(Some(Duration::from_millis(limits::WIRE_SILENCE_TIME.default)))
        .http2_max_header_list_size(u32::try_from(limits::HEAD_BYTES.default).ok())
        .max_concurrent_streams(u32::try_from(limits::WIRE_STREAMS.default).ok())
        .initial_connection_window_size(WINDOW)
        .initial_stream_window_size(WINDOW)
}

/// What one end may send before the other has taken it: a piece of a file fits, and a slow peer does not fill memory.
pub(crate) const WINDOW: u32 = 1 << 20; // tidy: a window of the transport, given to the other end and not grown by it

/// Accepted connections, for `serve_with_incoming`. It ends when nobody can connect any more. Dropping it stops accepting.
#[derive(Debug)]
pub struct Incoming(mpsc::Receiver<Connection>);

impl Incoming {
    pub(crate) fn channel() -> (mpsc::Sender<Connection>, Self) {
        let (sender, receiver) = mpsc::channel(limits::HANDSHAKES.default_usize());
        (sender, Self(receiver))
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|connection| connection.map(Ok))
    }
}

/// Bytes both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// One accepted connection.
pub struct Connection {
    io: Box<dyn Duplex>,
    peer: PeerInfo,
    /// A stranger's time is counted.
    end: Option<Pin<Box<Sleep>>>,
    _place: Vec<OwnedSemaphorePermit>,
}

impl Connection {
    pub(crate) fn new(io: impl Duplex + 'static, peer: PeerInfo, place: Vec<OwnedSemaphorePermit>) -> Self {
        let stranger = matches!(peer.who, Who::Nobody);
        let end = stranger.then(|| Box::pin(sleep(Duration::from_millis(limits::WIRE_STRANGER_TIME.default))));
        Self { io: Box::new(io), peer, end, _place: place }
    }

    fn check_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().map(|end| end.as_mut().poll(cx)) {
            Some(Poll::Ready(())) => Err(io::ErrorKind::TimedOut.into()),
            Some(Poll::Pending) | None => Ok(()),
        }
    }
}

impl core::fmt::Debug for Connection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Connected for Connection {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check_time(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Accepts TLS connections for as long as the result is not dropped. `config` is read anew for each handshake, so that a
/// renewed server certificate is stored there and nothing else. A certificate of the peer is verified against `trust` a
/// second time, which yields who it is; one of another trust domain than `system.<organisation>` is refused.
///
/// # Errors
/// When the socket cannot be used by this runtime.
pub fn serve_tls(
    listener: std::net::TcpListener,
    config: Arc<ArcSwap<ServerConfig>>,
    trust: Arc<Trust>,
    organisation: &TrustDomain,
) -> io::Result<Incoming> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let (door, incoming) = Incoming::channel();
    let system = system::domain(organisation).ok_or_else(|| io::Error::other("the organisation's name is too long"))?;
    let hall = Arc::new(Hall { config, trust, system, places: Places::new(), door });
    tokio::spawn(accept(listener, hall));
    Ok(incoming)
}

/// What accepting needs.
struct Hall {
    config: Arc<ArcSwap<ServerConfig>>,
    trust: Arc<Trust>,
    system: TrustDomain,
    places: Places,
    door: mpsc::Sender<Connection>,
}

/// How many there may be of what.
struct Places {
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl Places {
    fn new() -> Self {
        let of = |limit: limits::Limit| Arc::new(Semaphore::new(limit.default_usize()));
        Self {
            connections: of(limits::WIRE_CONNECTIONS),
            handshakes: of(limits::HANDSHAKES),
            strangers: of(limits::WIRE_STRANGERS),
        }
    }
}

async fn accept(listener: TcpListener, hall: Arc<Hall>) {
    loop {
        let Ok(handshake) = Arc::clone(&hall.places.handshakes).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = hall.door.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, address)) = accepted else {
            sleep(Duration::from_millis(limits::ACCEPT_PAUSE_TIME.default)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&hall.places.connections).try_acquire_owned() else {
            tracing::warn!(%address, most = limits::WIRE_CONNECTIONS.default, "a connection was refused: too many peers");
            continue;
        };
        tokio::spawn(admit(stream, address, Arc::clone(&hall), handshake, place));
    }
}

async fn admit(
    stream: TcpStream,
    address: SocketAddr,
    hall: Arc<Hall>,
    handshake: OwnedSemaphorePermit,
    place: OwnedSemaphorePermit,
) {
    let stream = match shake_hands(stream, hall.config.load_full()).await {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%address, %error, "a handshake of the wire failed"),
    };
    drop(handshake);
    let who = match hall.who(&stream) {
        Ok(who) => who,
        Err(why) => return tracing::warn!(%address, why, "a peer of the wire was refused"),
    };
    let mut places = vec![place];
    if matches!(who, Who::Nobody) {
        let Ok(place) = Arc::clone(&hall.places.strangers).try_acquire_owned() else {
            return tracing::warn!(%address, "a connection without a certificate was refused: too many are joining");
        };
        places.push(place);
    }
    let peer = PeerInfo { who, address: Some(address) };
    let _ = hall.door.send(Connection::new(stream, peer, places)).await;
}

/// A connection that says nothing holds its place for a moment only; one that has begun has time to end.
async fn shake_hands(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<TlsStream<TcpStream>> {
    let _ = stream.set_nodelay(true);
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let begun = timeout(Duration::from_millis(limits::CLIENT_HELLO_TIME.default), hello).await??;
    timeout(Duration::from_millis(limits::HANDSHAKE_TIME.default), begun.into_stream(config)).await?
}

impl Hall {
    fn who(&self, stream: &TlsStream<TcpStream>) -> Result<Who, String> {
        let Some(chain) = stream.get_ref().1.peer_certificates() else { return Ok(Who::Nobody) };
        let peer = self.trust.verify(chain).map_err(|refusal| refusal.to_string())?;
        if *peer.spiffe_id().trust_domain() != self.system {
            return Err(format!("`{}` is no identity of this system", peer.spiffe_id()));
        }
        Ok(Who::System(peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    fn connection(who: Who) -> (tokio::io::DuplexStream, Connection) {
        let (near, far) = tokio::io::duplex(64);
        (near, Connection::new(far, PeerInfo { who, address: None }, Vec::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_has_little_time() {
        let (_near, mut stranger) = connection(Who::Nobody);
        let read = timeout(Duration::from_secs(60), stranger.read_u8()).await.expect("it ends by itself");
        assert_eq!(read.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_stays() {
        let name = Label::parse("edge-1").unwrap();
        let (_near, mut peer) = connection(Who::InProcess { role: Role::Proxy, name });
        assert!(timeout(Duration::from_secs(600), peer.read_u8()).await.is_err());
    }
}
