//! The console of this process: its socket, and its end with the others.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use api::admin::Admin;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use types::Clock;

use super::start::words;
use crate::exit::Failed;

/// A console that is bound and not yet served.
pub struct Console {
    /// Where.
    pub address: SocketAddr,
    listener: TcpListener,
}

/// Binds the address, or the next free port where it is taken.
///
/// # Errors
/// When the address is not loopback, or nothing can be bound there.
pub fn bind(wanted: SocketAddr, notices: &mut Vec<String>) -> Result<Console, Failed> {
    let hint = "give `admin.address` another value in node.yaml";
    if !wanted.ip().is_loopback() {
        let message = format!("the console is plain HTTP and is not served on {wanted}, which others can reach");
        return Err(Failed::new(message).hint("use a loopback address, such as 127.0.0.1:8441, and a tunnel"));
    }
    let bound = proxy::bind(wanted);
    let (listener, address) = bound.map_err(|error| {
        Failed::new(format!("the console cannot be served on {wanted}: {}", words(&error))).hint(hint)
    })?;
    if wanted.port() != 0 && wanted.port() != address.port() {
        notices.push(format!("port {} is taken; the console is on {}", wanted.port(), address.port()));
    }
    Ok(Console { address, listener })
}

impl Console {
    /// Serves it until the system ends.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub fn serve(
        self,
        admin: Arc<dyn Admin>,
        clock: Arc<dyn Clock>,
        finishing: watch::Receiver<bool>,
    ) -> Result<JoinHandle<()>, Failed> {
        let listener = tokio::net::TcpListener::from_std(self.listener)
            .map_err(|error| Failed::new(format!("the console cannot be served: {error}")))?;
        Ok(tokio::spawn(async move {
            if let Err(error) = console::serve(listener, admin, clock, finishing).await {
                tracing::error!(%error, "the console ended");
            }
        }))
    }
}
