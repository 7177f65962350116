//! Running the agent: connections in, the Workload API on each, an orderly end.

use core::future::Future;
use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::issuance::Issuance;
use api::workload::spiffe_workload_api_server::SpiffeWorkloadApiServer;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use types::{Clock, limits};

use crate::attest::Attestor;
use crate::callers::Callers;
use crate::connection::accept;
use crate::hands::Hands;
use crate::k8s::{ClusterError, Keys};
use crate::service::{Workloads, check_header};
use crate::socket::{BindError, Socket};
use crate::state::Source;
use crate::tell::keep_telling;

/// How long open connections get to end by themselves.
const DRAIN: Duration = Duration::from_secs(2); // tidy: at the end of the process only

/// A request holds a token at most, or audiences; how long those are is checked on their own.
const REQUEST_BYTES: usize = 64 * 1024;

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
    /// A Kubernetes cluster; see [`ClusterError::hint`].
    #[error("the Kubernetes cluster `{name}` cannot be used")]
    Cluster {
        /// Which.
        name: String,
        /// Why not.
        source: ClusterError,
    },
    /// The server itself.
    #[error("the workload socket failed")]
    Server(#[source] tonic::transport::Error),
}

/// What an agent needs to know about its machine.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What `$DATA/…` in rules means. It must exist.
    pub data_dir: PathBuf,
    /// The Kubernetes clusters whose tokens are believed, in the order in which they are tried.
    pub clusters: Vec<Cluster>,
}

/// A Kubernetes cluster whose projected service account tokens are believed (docs/attestation.md).
#[derive(Clone, Debug)]
pub struct Cluster {
    /// As rules name it.
    pub name: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// What must be among their `aud`.
    pub audience: String,
    /// Its public keys: a JWK Set, as `/openid/v1/jwks` of its API server answers.
    pub jwks_json: String,
    /// Where its pods have the token, absolute, as they see it.
    pub token_path: PathBuf,
}

/// Serves the Workload API on a Unix socket until `shutdown` resolves.
///
/// # Errors
/// [`ServeError`] when the socket cannot be bound or the data directory does not exist.
pub async fn serve(
    socket_path: &Path,
    options: Options,
    issuance: Arc<dyn Issuance>,
    clock: Arc<dyn Clock>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_on(Socket::bind(socket_path)?, options, issuance, clock, shutdown).await
}

/// As [`serve`], on a socket that was bound before: callers may connect already.
///
/// # Errors
/// [`ServeError`] when the data directory does not exist.
pub async fn serve_on(
    socket: Socket,
    options: Options,
    issuance: Arc<dyn Issuance>,
    clock: Arc<dyn Clock>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let source = Arc::new(Source::new(issuance, clock));
    let hands = Arc::new(Hands::default());
    let (stop, stopping) = watch::channel(false);
    let callers = Callers::new(Arc::clone(&source), attestor(options)?, stopping.clone());
    let service = SpiffeWorkloadApiServer::new(Workloads(callers)).max_decoding_message_size(REQUEST_BYTES);
    let (sender, connections) = mpsc::channel(limits::WORKLOAD_CONNECTIONS.default_usize());
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
        () = accept(&socket, &hands, &sender) => {}
        never = keep_telling(source, Arc::clone(&hands)) => match never {},
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

/// Takes the options apart; everything that is wrong with them is known before anybody is answered.
fn attestor(options: Options) -> Result<Attestor, ServeError> {
    let Options { data_dir, clusters } = options;
    let keys = clusters.into_iter().map(|cluster| {
        let name = cluster.name.clone();
        Keys::new(cluster).map_err(|source| ServeError::Cluster { name, source })
    });
    let keys = keys.collect::<Result<_, _>>()?;
    Attestor::new(&data_dir, keys).map_err(|source| ServeError::Data { path: data_dir, source })
}
