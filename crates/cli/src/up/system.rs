//! A running system, and how it ends.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::admin::{Admin, Publication, Publish};
use arc_swap::ArcSwap;
use control::{Control, Ledger};
use record::{Log, Recovery};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trustdir::Revision;
use types::facts::Lifecycle;

use crate::exit::Failed;
use crate::term::count;

/// A listener as it was bound.
pub struct Bound {
    /// Its name, address and domains.
    pub status: api::admin::ListenerStatus,
    /// The address that was asked for, where it was taken.
    pub instead_of: Option<SocketAddr>,
    /// Whether it serves the domains of whatever revision is in force.
    pub all: bool,
}

impl Bound {
    /// For control, which fills in the domains of a listener that serves all.
    pub fn listed(&self) -> api::admin::ListenerStatus {
        let domains = if self.all { Vec::new() } else { self.status.domains.clone() };
        api::admin::ListenerStatus { domains, ..self.status.clone() }
    }
}

/// Everything in one process, up.
pub struct System {
    pub(super) dir: PathBuf,
    pub(super) data: PathBuf,
    pub(super) revision: Arc<ArcSwap<Revision>>,
    pub(super) listeners: Vec<Bound>,
    pub(super) console: SocketAddr,
    pub(super) notices: Vec<String>,
    pub(super) findings: Vec<String>,
    pub(super) control: Arc<Control>,
    pub(super) proxy: proxy::Running,
    pub(super) finish: watch::Sender<bool>,
    pub(super) servers: Vec<JoinHandle<()>>,
    pub(super) ledger: Arc<Ledger>,
    /// Held so that its lock lives as long as the system.
    pub(super) log: Arc<Log>,
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

    /// The revision in force.
    pub fn revision(&self) -> Arc<Revision> {
        self.revision.load_full()
    }

    /// Where the console is served.
    pub const fn console(&self) -> Option<SocketAddr> {
        Some(self.console)
    }

    /// What the operator should know beside what is up, one sentence each.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Who answers operators.
    pub fn admin(&self) -> Arc<dyn Admin> {
        Arc::clone(&self.control) as Arc<dyn Admin>
    }

    /// Reads the trust directory that it was started with again, and publishes what it holds: what SIGHUP does.
    ///
    /// # Errors
    /// Why what ran goes on.
    pub async fn reread(&self) -> Result<Publication, Failed> {
        let (dir, admin) = (self.dir.clone(), self.admin());
        let publish = move || {
            let shown = dir.display();
            let files =
                control::texts(&dir).map_err(|error| Failed::new(format!("`{shown}` cannot be read: {error}")))?;
            let request = Publish { files, why: "SIGHUP".to_owned(), after: None };
            admin.publish("local", &request).map_err(|failure| Failed::new(failure.message).hint(failure.hint))
        };
        let published = tokio::task::spawn_blocking(publish).await;
        published.unwrap_or_else(|_| Err(Failed::new("reading the trust directory failed")))
    }

    /// What was found when the decision log was opened.
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    /// Takes no more calls, lets those in flight finish, then ends everything else and says so in the log.
    pub async fn stop(self) {
        self.control.drain();
        self.proxy.shutdown().await;
        self.finish.send_replace(true);
        for server in self.servers {
            let _ = server.await;
        }
        let stopped = Lifecycle {
            event: "stopped",
            version: env!("CARGO_PKG_VERSION"),
            revision: Some(self.revision.load().id()),
        };
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
