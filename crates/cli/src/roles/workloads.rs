//! The Workload API of a process, on its Unix socket.

use std::path::Path;
use std::sync::Arc;

use api::issuance::Issuance;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use types::Clock;

use crate::exit::Failed;
use crate::term::causes;

/// Makes the socket, on which nobody is answered yet.
///
/// # Errors
/// When it cannot be made.
pub fn bind(path: &Path) -> Result<::agent::Socket, Failed> {
    ::agent::Socket::bind(path).map_err(|error| Failed::new(causes(&error)).hint(error.hint()))
}

/// Answers there until it is told to finish.
pub fn serve(
    socket: ::agent::Socket,
    options: ::agent::Options,
    issuance: Arc<dyn Issuance>,
    clock: Arc<dyn Clock>,
    finishing: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = ::agent::serve_on(socket, options, issuance, clock, asked(finishing)).await {
            tracing::error!(error = causes(&error), "the Workload API ended");
        }
    })
}

/// Resolves when the process is to end, also when whoever would tell is gone.
pub async fn asked(mut finishing: watch::Receiver<bool>) {
    let _ = finishing.wait_for(|finish| *finish).await;
}
