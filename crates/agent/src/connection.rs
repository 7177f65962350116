//! Connections of the socket: taken at once, each pinned to its process, none beyond anybody's share.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tonic::transport::server::Connected;
use types::limits;

use crate::authority::Requests;
use crate::callers::Peer;
use crate::hands::Hands;
use crate::pin::Pinned;
use crate::quota::{Share, Shares};
use crate::socket::Socket;

/// The pause after a failed accept, such as one without file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50); // tidy: a pause, not a limit

/// Read at once.
const READ_BYTES: usize = 4096;

/// A connection with the process at its other end.
pub(crate) struct Connection {
    stream: UnixStream,
    requests: Requests,
    /// Read and not yet taken: see [`Requests`].
    ready: BytesMut,
    peer: Peer,
    _shares: [Share; 3],
}

/// Who may have how many connections.
struct Room {
    all: Shares,
    of_user: Shares,
    of_process: Shares,
}

/// Takes connections until nobody wants them.
///
/// INVARIANT: this never waits for anything but the next connection, because a process is pinned the more surely the
/// sooner. Who has its share is hung up on, and nobody else is kept waiting.
pub(crate) async fn accept(socket: &Socket, hands: &Arc<Hands>, sender: &mpsc::Sender<io::Result<Connection>>) {
    let room = Room {
        all: Shares::of(&limits::WORKLOAD_CONNECTIONS),
        of_user: Shares::of(&limits::WORKLOAD_USER_CONNECTIONS),
        of_process: Shares::of(&limits::WORKLOAD_STREAMS),
    };
    loop {
        let stream = match socket.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(connection) = room.take(stream, hands) else { continue };
        if sender.try_send(Ok(connection)).is_err_and(|error| matches!(error, mpsc::error::TrySendError::Closed(_))) {
            return;
        }
    }
}

impl Room {
    fn take(&self, stream: UnixStream, hands: &Arc<Hands>) -> Option<Connection> {
        let process = Pinned::open(&stream)
            .inspect_err(|error| tracing::debug!(%error, "a connection without a process"))
            .ok()?;
        let Pinned { pid, uid, .. } = process;
        let taken = || Some([self.of_process.take(pid)?, self.of_user.take(uid)?, self.all.take(0)?]);
        let Some(shares) = taken() else {
            tracing::info!(pid, uid, "too many connections; hung up");
            return None;
        };
        let peer = Peer { process, hand: Arc::new(hands.open()) };
        let (requests, ready) = (Requests::default(), BytesMut::new());
        Some(Connection { stream, requests, ready, peer, _shares: shares })
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.ready.is_empty() {
            let mut space = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            let Self { requests, ready, .. } = &mut *self;
            if read.filled().is_empty() {
                requests.finish(ready);
                break;
            }
            requests.push(read.filled(), ready);
        }
        let count = self.ready.len().min(buffer.remaining());
        buffer.put_slice(&self.ready.split_to(count));
        if self.ready.is_empty() {
            // An idle connection keeps no buffer.
            self.ready = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
