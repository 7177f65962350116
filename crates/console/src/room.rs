//! Who may be connected: so many at once, and nobody for long without a byte in either direction. Anybody on the machine
//! can connect before any page asks for a session, and each connection takes a descriptor that the enforcement beside us
//! needs as well.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use types::limits;

/// A listener with room for so many; whoever comes later waits in the system's queue.
pub(crate) struct Room {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

/// A connection that counts until it is dropped.
pub(crate) struct Guest {
    stream: TcpStream,
    silence: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// A room of the size that the registry of limits says.
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(limits::ADMIN_CONNECTIONS.default_usize())) }
    }
}

impl Listener for Room {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        // the semaphore is never closed
        let permit = Arc::clone(&self.room).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Guest { stream, silence: Box::pin(sleep(patience())), _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

const fn patience() -> Duration {
    Duration::from_millis(limits::KEEP_ALIVE_TIME.default)
}

impl Guest {
    /// Something moved, or nothing has for too long.
    fn heard<T>(&mut self, moved: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.silence.as_mut().reset(Instant::now() + patience());
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    async fn connected(room: &mut Room) -> (TcpStream, Guest) {
        let caller = TcpStream::connect(room.local_addr().unwrap()).await.unwrap();
        (caller, room.accept().await.0)
    }

    #[tokio::test]
    async fn whoever_comes_when_the_room_is_full_waits_until_somebody_leaves() {
        let mut room = Room::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let all = limits::ADMIN_CONNECTIONS.default_usize();
        room.room.forget_permits(all - 1);
        let (_caller, guest) = connected(&mut room).await;
        let mut late = TcpStream::connect(room.local_addr().unwrap()).await.unwrap();
        assert!(timeout(Duration::from_millis(50), room.accept()).await.is_err(), "there is room for one");
        drop(guest);
        let (mut guest, _) = room.accept().await;
        late.write_all(b"x").await.unwrap();
        assert_eq!(guest.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_says_nothing_is_hung_up_on() {
        let mut room = Room::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (mut caller, mut guest) = connected(&mut room).await;
        // a byte buys time
        for byte in b"xy" {
            tokio::time::advance(patience() / 2).await;
            caller.write_all(&[*byte]).await.unwrap();
            assert_eq!(guest.read_u8().await.unwrap(), *byte);
        }
        let started = Instant::now();
        assert_eq!(guest.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let waited = started.elapsed();
        assert!(waited >= patience() && waited < 2 * patience(), "{waited:?}");
    }
}
