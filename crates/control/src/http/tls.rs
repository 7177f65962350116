//! The admin API and the console over TLS, for operators elsewhere. A certificate is asked for and may be left out: a
//! browser has a session instead, which opens the console and nothing below `/v1`.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::{Extension, Router};
use runtime::tls::Trust;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use types::limits::{self, Limit};

use super::door::Door;
use super::{Service, asked, drain, table, talk};
use crate::service::Control;

/// A listener for operators elsewhere.
pub struct AdminTls {
    /// Where it listens.
    pub listener: TcpListener,
    /// The server's side of TLS as it is now, looked at for each connection. It asks for a client's certificate and does
    /// not require one.
    pub config: Arc<ArcSwap<ServerConfig>>,
    /// What clients' certificates are held against: the roots of the system's own identities.
    pub trust: Arc<Trust>,
}

/// Serves `/v1` to operators, and `pages` to browsers, until `finishing` becomes true or its sender is gone.
pub async fn serve_tls(tls: AdminTls, control: Arc<Control>, pages: Option<Router>, finishing: watch::Receiver<bool>) {
    let routes = table::router(Service { control, finishing: finishing.clone() });
    let routes = match pages {
        Some(pages) => routes.fallback_service(pages),
        None => routes,
    };
    let all = Arc::new(Semaphore::new(limits::ADMIN_CONNECTIONS.default_usize()));
    // whoever has a certificate finds room, however many come without
    let nobodies = Arc::new(Semaphore::new(limits::ADMIN_CONNECTIONS.default_usize() / 2));
    let mut talks = JoinSet::new();
    loop {
        let (stream, address, permit) = tokio::select! {
            (stream, address, permit) = accept(&tls.listener, &all) => (stream, address, permit),
            () = asked(finishing.clone()) => break,
        };
        while talks.try_join_next().is_some() {}
        let guests = Guests {
            config: tls.config.load_full(),
            trust: Arc::clone(&tls.trust),
            nobodies: Arc::clone(&nobodies),
            routes: routes.clone(),
        };
        let finishing = finishing.clone();
        talks.spawn(async move {
            if let Err(error) = guests.receive(stream, permit, finishing).await {
                tracing::debug!(%error, %address, "a connection to the admin listener came to nothing");
            }
        });
    }
    drain(talks).await;
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // the semaphore is never closed
    let permit = Arc::clone(room).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (stream, address, permit),
            Err(error) => {
                tracing::warn!(%error, "the admin listener was given no connection");
                sleep(millis(&limits::ACCEPT_PAUSE_TIME)).await;
            }
        }
    }
}

const fn millis(limit: &Limit) -> Duration {
    Duration::from_millis(limit.default)
}

/// What a new connection needs.
struct Guests {
    config: Arc<ServerConfig>,
    trust: Arc<Trust>,
    nobodies: Arc<Semaphore>,
    routes: Router,
}

impl Guests {
    async fn receive(
        self,
        stream: TcpStream,
        _permit: Option<OwnedSemaphorePermit>,
        finishing: watch::Receiver<bool>,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let shaking = TlsAcceptor::from(Arc::new(config)).accept(stream);
        let stream = timeout(millis(&limits::HANDSHAKE_TIME), shaking).await??;
        let chain = stream.get_ref().1.peer_certificates().map(<[_]>::to_vec).unwrap_or_default();
        if chain.is_empty() {
            let room = self.nobodies.try_acquire_owned();
            let _room = room.map_err(|_| io::Error::other("too many connections without a certificate"))?;
            talk(Guest::new(stream), self.routes.layer(Extension(Door::Nobody)), finishing).await;
            return Ok(());
        }
        let peer = self.trust.verify(&chain).map_err(io::Error::other)?;
        talk(stream, self.routes.layer(Extension(Door::Peer(peer))), finishing).await;
        Ok(())
    }
}

/// A connection of somebody without a certificate, which ends after a while without a byte in either direction.
struct Guest {
    stream: TlsStream<TcpStream>,
    silence: Pin<Box<Sleep>>,
}

impl Guest {
    fn new(stream: TlsStream<TcpStream>) -> Self {
        Self { stream, silence: Box::pin(sleep(millis(&limits::KEEP_ALIVE_TIME))) }
    }

    /// Something moved, or nothing has for too long.
    fn heard<T>(&mut self, moved: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.silence.as_mut().reset(Instant::now() + millis(&limits::KEEP_ALIVE_TIME));
            return moved;
        }
        ready!(self.silence.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guest {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.heard(moved, cx)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.heard(moved, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
