//! Control's part of a process: log, store, issuer, and the doors.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::admin::{Admin, ListenerStatus, Publish, Published};
use api::issuance::Issuance;
use arc_swap::ArcSwap;
use control::{BundleEndpoint, Control, Intake, Parts, Store};
use issuer::{Issuer, NotRecorded, Recorder};
use runtime::clock::SystemClock;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trustdir::Revision;
use types::Clock;
use wire::memory::Connector;

use super::beside::{self, Beside};
use super::doors::{self, AdminDoor};
use super::log::Opened;
use super::plan::CorePlan;
use super::system_tls::SystemTls;
use super::{current, enforcer, place};
use crate::exit::Failed;
use crate::paths::WORKLOAD_SOCKET;
use crate::term::causes;

/// Everything that control stands on, open and not yet serving.
pub struct Ground {
    pub(super) plan: CorePlan,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) opened: Opened,
    pub(super) store: Arc<Store>,
    /// What is current.
    pub(super) revision: Arc<Revision>,
    pub(super) signals: Arc<ArcSwap<signal::State>>,
    pub(super) issuer: Arc<Issuer>,
    /// What the operator should know, one sentence each.
    pub(super) notices: Vec<String>,
}

impl Ground {
    /// Opens log, store and issuer, in this order.
    ///
    /// # Errors
    /// What kept one of them from being opened, and what to do.
    pub fn open(plan: CorePlan) -> Result<Self, Failed> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        place::prepare(&plan.data)?;
        let opened = Opened::new(&plan.data, &plan.name, "control", plan.log_bytes, enforcer::workers(), &clock)?;
        let store = Arc::new(Store::open(&plan.data).map_err(|error| Failed::new(causes(&error)).hint(error.hint()))?);
        let mut notices = Vec::new();
        let revision = current::revision(&plan, &store, &opened.ledger, clock.as_ref(), &mut notices)?;
        let signals = current::signals(&store, &revision)?;
        let issuer = Arc::new(open_issuer(&plan, &revision, &clock, &opened)?);
        issuer.set_signals(signals.load_full());
        opened.started(revision.id())?;
        Ok(Self { plan, clock, opened, store, revision, signals, issuer, notices })
    }

    /// Answers operators and peers, from here on.
    ///
    /// # Errors
    /// What kept it from that, and what to do.
    pub fn serve(
        mut self,
        listeners: Vec<ListenerStatus>,
        stats: Option<Arc<::proxy::Stats>>,
        finishing: &watch::Receiver<bool>,
    ) -> Result<Core, Failed> {
        let doors = Doors::bind(&self.plan, &mut self.notices)?;
        let organisation = self.revision.model().organisation.clone();
        let (name, names) = (&self.plan.name, &self.plan.admin.names);
        let tls = SystemTls::new(name, names, &organisation, &self.issuer, &self.clock)?;
        let revision = Arc::new(ArcSwap::new(Arc::clone(&self.revision)));
        let control = self.control(&doors, &revision, listeners, stats)?;
        let mut servers = Vec::new();
        if let Some(listener) = doors.wire {
            let incoming = wire::server::serve_tls(listener, tls.config(), tls.trust(), &organisation)
                .map_err(|error| Failed::new(format!("peers cannot be served: {error}")))?;
            servers.push(doors::serve_wire(incoming, Arc::clone(&control), finishing.clone()));
        }
        let (connector, incoming) = wire::memory::pair();
        servers.push(doors::serve_wire(incoming, Arc::clone(&control), finishing.clone()));
        servers.push(doors::serve_socket(&self.plan.data, Arc::clone(&control), finishing.clone())?);
        servers.push(tokio::spawn(control::keep_rotating(Arc::clone(&control), finishing.clone())));
        servers.push(tokio::spawn(control::keep_federated(Arc::clone(&control), finishing.clone())));
        if let Some(endpoint) = doors.bundle {
            servers.push(tokio::spawn(control::serve_bundles(endpoint, Arc::clone(&control), finishing.clone())));
        }
        let console = doors.admin.at.clone();
        servers.push(doors.admin.serve(&control, &tls, Arc::clone(&self.clock), finishing.clone())?);
        servers.push(tokio::spawn(tls.keep(finishing.clone())));
        Ok(Core {
            read: tokio::sync::Mutex::new(self.plan.source.as_ref().map(Read::of)),
            dir: self.plan.source.map(|source| source.dir),
            data: self.plan.data,
            root: self.issuer.system_root(),
            revision,
            console,
            wire: doors.wire_address,
            bundle: doors.bundle_address,
            notices: self.notices,
            opened: self.opened,
            control,
            connector,
            servers,
        })
    }

    fn control(
        &self,
        doors: &Doors,
        revision: &Arc<ArcSwap<Revision>>,
        listeners: Vec<ListenerStatus>,
        stats: Option<Arc<::proxy::Stats>>,
    ) -> Result<Arc<Control>, Failed> {
        let issuance: Arc<dyn Issuance> = Arc::<Issuer>::clone(&self.issuer);
        let beside = Beside { issuer: Arc::clone(&self.issuer), signals: Arc::clone(&self.signals), stats };
        let intake = Intake::open(&self.plan.data, self.plan.intake_bytes)
            .map_err(|error| Failed::new(causes(&error)).hint(error.hint()))?;
        let control = Control::new(Parts {
            intake,
            version: env!("CARGO_PKG_VERSION"),
            node: self.plan.name.clone(),
            data: self.plan.data.clone(),
            source: self.plan.source.as_ref().map(|source| source.dir.clone()),
            workload_socket: self.plan.data.join(WORKLOAD_SOCKET),
            log: Arc::clone(&self.opened.log),
            log_findings: self.opened.findings.clone(),
            listeners,
            console: Some(doors.admin.at.clone()),
            wire: doors.wire_address,
            revision: Arc::clone(revision),
            signals: Arc::clone(&self.signals),
            store: Arc::clone(&self.store),
            issuance,
            roles: Arc::new(beside),
            ledger: Arc::clone(&self.opened.ledger),
            clock: Arc::clone(&self.clock),
        });
        control.map(Arc::new).map_err(|error| Failed::new(format!("counting cannot start: {error}")))
    }
}

/// Sockets that are bound and not yet served.
struct Doors {
    admin: AdminDoor,
    wire: Option<TcpListener>,
    wire_address: Option<SocketAddr>,
    bundle: Option<BundleEndpoint>,
    bundle_address: Option<SocketAddr>,
}

impl Doors {
    fn bind(plan: &CorePlan, notices: &mut Vec<String>) -> Result<Self, Failed> {
        let admin = doors::bind_admin(&plan.admin, notices)?;
        let (wire, wire_address) = plan.wire.as_ref().map(doors::bind_wire).transpose()?.unzip();
        let (bundle, bundle_address) = plan.bundle.as_ref().map(doors::bind_bundle).transpose()?.unzip();
        Ok(Self { admin, wire, wire_address, bundle, bundle_address })
    }
}

/// Control, serving.
pub struct Core {
    pub(super) dir: Option<PathBuf>,
    /// The files of it as they were last read.
    read: tokio::sync::Mutex<Option<Read>>,
    pub(super) data: PathBuf,
    /// DER of the system root.
    pub(super) root: Vec<u8>,
    pub(super) revision: Arc<ArcSwap<Revision>>,
    pub(super) console: control::ConsoleAt,
    pub(super) wire: Option<SocketAddr>,
    pub(super) bundle: Option<SocketAddr>,
    pub(super) notices: Vec<String>,
    pub(super) opened: Opened,
    pub(super) control: Arc<Control>,
    /// The way to it for roles of this process.
    pub(super) connector: Connector,
    servers: Vec<JoinHandle<()>>,
}

impl Core {
    /// Who answers operators.
    pub fn admin(&self) -> Arc<dyn Admin> {
        Arc::<Control>::clone(&self.control)
    }

    /// The organisation, and the revision that is current, for `systemctl status`.
    pub fn words(&self) -> String {
        let revision = self.revision.load();
        format!("{} runs revision {}", revision.model().organisation, revision.id().short())
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Reads the trust directory that it was started with again, and publishes what it holds where that has changed since
    /// it was read last: who asks for a reload does not ask to undo what others published meanwhile. What came of it is in
    /// the log. `false` where it was started without one.
    pub async fn reread(&self) -> bool {
        let Some(dir) = self.dir.clone() else { return false };
        let mut read = self.read.lock().await;
        let shown = dir.display().to_string();
        match publish(dir, self.admin(), &mut read).await {
            Ok(None) => {
                let current = self.revision.load().id().to_string();
                if read.as_ref().is_some_and(|read| read.revision != current) {
                    let revision = crate::publish::short(&current);
                    tracing::warn!(
                        revision,
                        "`{shown}` has not changed since it was read; what was published since goes on. To make it current: \
                         countersign publish {shown}"
                    );
                }
            }
            Ok(Some(Published::Current { publication, .. })) => {
                let revision = crate::publish::short(&publication.revision);
                tracing::info!(revision, publication = publication.number, "read the trust directory again");
            }
            Ok(Some(Published::Proposed { proposal })) => {
                let revision = crate::publish::short(&proposal.revision);
                tracing::warn!(
                    revision,
                    proposal = proposal.number,
                    "read the trust directory again; it waits for approval, and what ran goes on"
                );
            }
            Err(failed) => {
                let why = failed.message.unwrap_or_default();
                // which file and line; several of them in one line, as logs are read
                let details = failed.hint.unwrap_or_default().replace('\n', "; ");
                tracing::error!(why, details, "the trust directory was read again and not published; what ran goes on");
            }
        }
        true
    }

    /// Waits for everything that was told to finish, and says so in the log.
    pub async fn finish(self) {
        for server in self.servers {
            let _ = server.await;
        }
        self.opened.stopped(self.revision.load().id());
    }
}

/// A trust directory as it was read, and what it was the revision of.
struct Read {
    files: BTreeMap<String, String>,
    revision: String,
}

impl Read {
    fn of(source: &current::Source) -> Self {
        Self { files: source.sources.clone(), revision: source.revision.id().to_string() }
    }
}

/// Publishes a directory. `None` where it is as it was read last.
async fn publish(dir: PathBuf, admin: Arc<dyn Admin>, read: &mut Option<Read>) -> Result<Option<Published>, Failed> {
    let last = read.as_ref().map(|read| read.files.clone());
    let publish = move || {
        let shown = dir.display();
        let files = control::texts(&dir).map_err(|error| Failed::new(format!("`{shown}` cannot be read: {error}")))?;
        if last.is_some_and(|last| last == files) {
            return Ok(None);
        }
        let request = Publish { files, why: "SIGHUP".to_owned(), after: None };
        let published = admin.publish("local", &request);
        let published = published.map_err(|failure| Failed::new(failure.message).hint(failure.hint))?;
        Ok(Some((published, request.files)))
    };
    let published = tokio::task::spawn_blocking(publish).await;
    let published = published.unwrap_or_else(|_| Err(Failed::new("reading the trust directory failed")))?;
    Ok(published.map(|(published, files)| {
        let revision = match &published {
            Published::Current { publication, .. } => publication.revision.clone(),
            Published::Proposed { proposal } => proposal.revision.clone(),
        };
        *read = Some(Read { files, revision });
        published
    }))
}

fn open_issuer(
    plan: &CorePlan,
    revision: &Revision,
    clock: &Arc<dyn Clock>,
    opened: &Opened,
) -> Result<Issuer, Failed> {
    let ledger = Arc::clone(&opened.ledger);
    let recorder: Recorder =
        Arc::new(move |facts| ledger.issuance(&facts).map_err(|error| NotRecorded(error.to_string())));
    let (keys, domains) = (plan.data.join("keys"), beside::domains(revision));
    let organisation = &revision.model().organisation;
    let opened = Issuer::open(&keys, organisation, &domains, Arc::clone(clock), recorder, plan.passphrase.open()?);
    let issuer = opened.map_err(|error| Failed::new(causes(&error)).hint(error.hint()))?;
    issuer.set_registrations(beside::registrations(revision));
    Ok(issuer)
}
