//! A running system, and how it ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use control::Ledger;
use record::{Log, Recovery};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trustdir::Revision;
use types::facts::Lifecycle;

use crate::term::count;

/// A listener as it was bound.
pub struct Bound {
    /// Its name, address and domains.
    pub status: api::admin::ListenerStatus,
    /// The address that was asked for, where it was taken.
    pub instead_of: Option<std::net::SocketAddr>,
}

/// Everything in one process, up.
pub struct System {
    pub(super) data: PathBuf,
    pub(super) revision: Arc<Revision>,
    pub(super) listeners: Vec<Bound>,
    pub(super) findings: Vec<String>,
    pub(super) proxy: proxy::Running,
    pub(super) finish: watch::Sender<bool>,
    pub(super) servers: Vec<JoinHandle<()>>,
    pub(super) ledger: Arc<Ledger>,
    /// Held so that its lock lives as long as the system.
    pub(super) log: Log,
}

impl System {
    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The listeners.
    pub fn listeners(&self) -> &[Bound] {
        &self.listeners
    }

    /// The revision that it started with.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// What was found when the decision log was opened.
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    /// Takes no more calls, lets those in flight finish, then ends everything else and says so in the log.
    pub async fn stop(self) {
        self.proxy.shutdown().await;
        self.finish.send_replace(true);
        for server in self.servers {
            let _ = server.await;
        }
        let stopped =
            Lifecycle { event: "stopped", version: env!("CARGO_PKG_VERSION"), revision: Some(self.revision.id()) };
        if let Err(error) = self.ledger.lifecycle(&stopped) {
            tracing::warn!(%error, "the stop is not on record");
        }
        drop(self.log);
    }
}

/// What recovery found, in words; nothing after a clean stop.
pub fn findings(recovery: &Recovery) -> Vec<String> {
    let torn = recovery.torn_tails().count();
    let mut found = Vec::new();
    if torn > 0 {
        let lanes = count(torn, "record was", "records were");
        found.push(format!("{lanes} half written when an earlier process died; nothing was answered on their account"));
    }
    let other = recovery.damage.iter().filter(|damage| !matches!(damage.what, record::DamageKind::TornTail { .. }));
    found.extend(other.map(ToString::to_string));
    found
}
