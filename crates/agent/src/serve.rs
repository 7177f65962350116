//! Running the agent: connections in, the Workload API on each, an orderly end.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::issuance::Issuance;
use api::workload::spiffe_workload_api_server::SpiffeWorkloadApiServer;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use types::{Clock, limits};

use crate::attest::Attestor;
use crate::pin::Pinned;
use crate::quota::{Share, Shares};
use crate::service::{Workloads, check_header};
use crate::socket::{BindError, Socket};
use crate::state::Source;
use crate::wallet::Wallet;

/// How long open connections get to end by themselves.
const DRAIN: Duration = Duration::from_secs(2); // tidy: at the end of the process only

/// The pause after a failed accept, such as one without file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50); // tidy: a pause, not a limit

/// Requests of the Workload API are all but empty.
const REQUEST_BYTES: usize = 16 * 1024;

/// A bound on header fields of a request.
const HEADER_BYTES: u32 = 8 * 1024;

/// Why the agent does not run.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The data directory.
    #[error("cannot use the data directory `{}`", path.display())]
    Data {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The server itself.
    #[error("the workload socket failed")]
    Server(#[source] tonic::transport::Error),
}

/// Serves the Workload API on a Unix socket until `shutdown` resolves. `data_dir` is what `$DATA/…` in rules means.
///
/// # Errors
/// [`ServeError`] when the socket cannot be bound or the data directory does not exist.
pub async fn serve(
    socket_path: &Path,
    data_dir: &Path,
    issuance: Arc<dyn Issuance>,
    clock: Arc<dyn Clock>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_on(Socket::bind(socket_path)?, data_dir, issuance, clock, shutdown).await
}

/// As [`serve`], on a socket that was bound before: callers may connect already.
///
/// # Errors
/// [`ServeError`] when the data directory does not exist.
pub async fn serve_on(
    socket: Socket,
    data_dir: &Path,
    issuance: Arc<dyn Issuance>,
    clock: Arc<dyn Clock>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let attestor = Attestor::new(data_dir).map_err(|source| ServeError::Data { path: data_dir.to_owned(), source })?;
    let wallet = Wallet::new(Arc::clone(&issuance), Arc::clone(&clock));
    let (stop, stopping) = watch::channel(false);
    let workloads = Workloads::new(Arc::new(Source { issuance, clock, wallet }), attestor, stopping.clone());
    let service = SpiffeWorkloadApiServer::new(workloads).max_decoding_message_size(REQUEST_BYTES);
    let (sender, connections) = mpsc::channel(1);
    let mut ended = stopping;
    let server = Server::builder()
        .max_concurrent_streams(Some(limits::WORKLOAD_STREAMS.default as u32))
        .http2_max_header_list_size(Some(HEADER_BYTES))
        .add_service(InterceptedService::new(service, check_header))
        .serve_with_incoming_shutdown(ReceiverStream::new(connections), async move {
            let _ = ended.wait_for(|stopping| *stopping).await;
        });
    tracing::info!(socket = %socket.path().display(), "the workload socket is open");
    tokio::pin!(server);
    tokio::select! {
        outcome = &mut server => return outcome.map_err(ServeError::Server),
        () = accept(&socket, &sender) => {}
        () = shutdown => {}
    }
    drop(sender);
    stop.send_replace(true);
    match tokio::time::timeout(DRAIN, server).await {
        Ok(outcome) => outcome.map_err(ServeError::Server),
        // Whoever did not hang up is hung up on.
        Err(_) => Ok(()),
    }
}

/// Takes connections until nobody wants them. Each is pinned to its process at once.
async fn accept(socket: &Socket, sender: &mpsc::Sender<io::Result<Connection>>) {
    let room = Arc::new(Semaphore::new(limits::WORKLOAD_CONNECTIONS.default_usize()));
    let shares = Shares::default();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match socket.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match Pinned::open(&stream) {
            Err(error) => tracing::debug!(%error, "a connection without a process"),
            Ok(process) => {
                // Beyond its share a process is hung up on; nobody else is kept waiting.
                let Some(share) = shares.take(process.pid) else { continue };
                let connection = Connection { stream, process, _share: share, _permit: permit };
                if sender.send(Ok(connection)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// A connection with the process at its other end.
struct Connection {
    stream: UnixStream,
    process: Pinned,
    _share: Share,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = Pinned;

    fn connect_info(&self) -> Pinned {
        self.process.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
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
