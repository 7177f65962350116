//! Starting everything in order: log, issuer, agent, gateway, control. Whatever fails says so in one message.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use api::admin::ListenerStatus;
use api::issuance::Issuance;
use arc_swap::ArcSwap;
use control::{AdminSocket, Control, Ledger, Parts, Store};
use issuer::{Issuer, NotRecorded, Recorder};
use record::{Log, LogConfig};
use runtime::clock::SystemClock;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trustdir::Revision;
use trustdir::node::Listener;
use types::facts::Lifecycle;
use types::{Clock, Label, limits};

use super::beside::{self, Beside};
use super::plan::Plan;
use super::system::{Bound, System, findings};
use super::{console, current, place};
use crate::exit::Failed;
use crate::paths::{ADMIN_SOCKET, WORKLOAD_SOCKET};
use crate::term::harmless;

/// Starts everything.
///
/// # Errors
/// What kept it from starting, and what to do.
pub async fn start(plan: Plan) -> Result<System, Failed> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    place::prepare(&plan.data)?;
    let log = Arc::new(open_log(&plan, &clock)?);
    let findings = findings(log.recovery());
    let ledger = Arc::new(Ledger::new(log.lane("control").map_err(|error| log_failed(&error))?));
    let store = Arc::new(Store::open(&plan.data).map_err(|error| Failed::new(words(&error)).hint(error.hint()))?);
    let mut notices = Vec::new();
    let current = current::revision(&plan, &store, &ledger, clock.as_ref(), &mut notices)?;
    let signals = current::signals(&store, &current)?;
    let issuer = Arc::new(open_issuer(&plan, &current, &clock, &ledger)?);
    issuer.set_signals(signals.load_full());
    record_start(&ledger, &current)?;
    let issuance: Arc<dyn Issuance> = issuer.clone();
    let (finish, finishing) = watch::channel(false);
    let workload_socket = plan.data.join(WORKLOAD_SOCKET);
    let agent = agent(&plan, &workload_socket, &issuance, &clock, finishing.clone())?;
    let (listeners, sockets) = bind(&plan, &current)?;
    let console = console::bind(plan.console, &mut notices)?;
    let revision = Arc::new(ArcSwap::new(current));
    let (changes, changed) = watch::channel(0);
    let stats = Arc::new(proxy::Stats::new());
    let seen = Seen { revision: &revision, signals: &signals, changes: changed, stats: &stats };
    let proxy = gateway(&plan, sockets, seen.parts(&log, &issuance, &clock)).await?;
    let beside = Beside { issuer, signals: Arc::clone(&signals), stats };
    let control = Control::new(Parts {
        version: env!("CARGO_PKG_VERSION"),
        node: plan.node.clone(),
        data: plan.data.clone(),
        source: Some(plan.dir.clone()),
        workload_socket,
        log: Arc::clone(&log),
        log_findings: findings.clone(),
        listeners: listeners.iter().map(Bound::listed).collect(),
        console: Some(console.address),
        revision: Arc::clone(&revision),
        signals,
        changes,
        store,
        issuance,
        roles: Arc::new(beside),
        ledger: Arc::clone(&ledger),
        clock: Arc::clone(&clock),
    });
    let control = Arc::new(control.map_err(|error| Failed::new(format!("counting cannot start: {error}")))?);
    let admin = serve_admin(&plan.data, Arc::clone(&control), finishing.clone())?;
    let console_address = console.address;
    let pages = console.serve(Arc::<Control>::clone(&control), clock, finishing)?;
    Ok(System {
        dir: plan.dir,
        data: plan.data,
        revision,
        listeners,
        console: console_address,
        notices,
        findings,
        control,
        proxy,
        finish,
        servers: vec![agent, admin, pages],
        ledger,
        log,
    })
}

/// What the gateway reads and others change.
struct Seen<'a> {
    revision: &'a Arc<ArcSwap<Revision>>,
    signals: &'a Arc<ArcSwap<signal::State>>,
    changes: watch::Receiver<u64>,
    stats: &'a Arc<proxy::Stats>,
}

impl Seen<'_> {
    fn parts<'l>(self, log: &'l Log, issuance: &Arc<dyn Issuance>, clock: &Arc<dyn Clock>) -> proxy::Parts<'l> {
        proxy::Parts {
            revision: Arc::clone(self.revision),
            signals: Arc::clone(self.signals),
            changes: self.changes,
            stats: Arc::clone(self.stats),
            log,
            issuance: Arc::clone(issuance),
            clock: Arc::clone(clock),
        }
    }
}

fn workers() -> usize {
    runtime::workers::default_count()
}

fn open_log(plan: &Plan, clock: &Arc<dyn Clock>) -> Result<Log, Failed> {
    let dir = plan.data.join("log");
    let segment_bytes = segment_bytes(plan.log_bytes, workers());
    let config = LogConfig { max_bytes: plan.log_bytes, segment_bytes, ..LogConfig::new(dir, plan.node.clone()) };
    Log::open(config, Arc::clone(clock)).map_err(|error| log_failed(&error))
}

/// Each worker and control have a lane of their own, and each lane has one segment in use and one prepared. All of them
/// take half of the log at most, also where there are many workers and the log is small.
fn segment_bytes(log_bytes: u64, workers: usize) -> u64 {
    const UNIT: u64 = 64 * 1024;
    let lanes = u64::try_from(workers).unwrap_or(u64::MAX).saturating_add(1);
    let share = log_bytes.checked_div(lanes.saturating_mul(4)).unwrap_or(UNIT);
    (share / UNIT * UNIT).clamp(UNIT, limits::SEGMENT_BYTES.default)
}

fn log_failed(error: &record::OpenError) -> Failed {
    Failed::new(words(error)).hint(error.hint())
}

/// An error with what caused it, in one line.
pub(super) fn words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// That it starts, and with which revision: what an act that was cut short by a crash came to, the record says here.
fn record_start(ledger: &Ledger, revision: &Revision) -> Result<(), Failed> {
    let started = Lifecycle { event: "started", version: env!("CARGO_PKG_VERSION"), revision: Some(revision.id()) };
    ledger.lifecycle(&started).map_err(|error| {
        Failed::new(error.to_string())
            .hint("make room: raise `max_size` in node.yaml, or move old segments to an archive")
    })
}

fn open_issuer(
    plan: &Plan,
    revision: &Revision,
    clock: &Arc<dyn Clock>,
    ledger: &Arc<Ledger>,
) -> Result<Issuer, Failed> {
    let ledger = Arc::clone(ledger);
    let recorder: Recorder =
        Arc::new(move |facts| ledger.issuance(&facts).map_err(|error| NotRecorded(error.to_string())));
    let domains: Vec<Label> = revision.domains().keys().cloned().collect();
    let organisation = &revision.model().organisation;
    let opened = Issuer::open(&plan.data.join("keys"), organisation, &domains, Arc::clone(clock), recorder);
    let issuer = opened.map_err(|error| Failed::new(words(&error)).hint(error.hint()))?;
    issuer.set_registrations(beside::registrations(revision));
    Ok(issuer)
}

/// Resolves when the system is to end, also when it is dropped.
async fn asked(mut finishing: watch::Receiver<bool>) {
    let _ = finishing.wait_for(|finish| *finish).await;
}

fn agent(
    plan: &Plan,
    path: &Path,
    issuance: &Arc<dyn Issuance>,
    clock: &Arc<dyn Clock>,
    finishing: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, Failed> {
    let socket = agent::Socket::bind(path).map_err(|error| Failed::new(words(&error)).hint(error.hint()))?;
    let (data, issuance, clock) = (plan.data.clone(), Arc::clone(issuance), Arc::clone(clock));
    Ok(tokio::spawn(async move {
        if let Err(error) = agent::serve_on(socket, &data, issuance, clock, asked(finishing)).await {
            tracing::error!(error = words(&error), "the Workload API ended");
        }
    }))
}

/// Binds every listener before any is served, so that a start either takes calls everywhere or nowhere.
fn bind(plan: &Plan, revision: &Revision) -> Result<(Vec<Bound>, Vec<proxy::Listener>), Failed> {
    let bind_one = |listener: &Listener| {
        let (socket, address) = proxy::bind(listener.address).map_err(|error| not_bound(listener, &error))?;
        let domains = listener.domains.as_ref().map(|domains| domains.iter().cloned().collect::<Vec<Label>>());
        let all = || revision.domains().keys().map(Label::to_string).collect();
        let status = ListenerStatus {
            name: listener.name.to_string(),
            address,
            domains: domains.as_ref().map_or_else(all, |some| some.iter().map(Label::to_string).collect()),
            plaintext: listener.insecure_plaintext,
        };
        let wanted = listener.address.port();
        let instead_of = (wanted != 0 && wanted != address.port()).then_some(listener.address);
        let plaintext = listener.insecure_plaintext;
        let bound = proxy::Listener { name: listener.name.clone(), listener: socket, domains, plaintext };
        Ok((Bound { status, instead_of, all: listener.domains.is_none() }, bound))
    };
    let bound: Result<Vec<_>, Failed> = plan.listeners.iter().map(bind_one).collect();
    Ok(bound?.into_iter().unzip())
}

fn not_bound(listener: &Listener, error: &io::Error) -> Failed {
    let (name, address) = (&listener.name, listener.address);
    let (what, hint) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            format!("no port is free from {address} on, {} were tried", limits::PORTS_TRIED.default.saturating_add(1)),
            "free one, or give the listener another address in node.yaml",
        ),
        io::ErrorKind::PermissionDenied => (
            format!("listening on {address} is not permitted"),
            "use a port from 1024 on, or grant CAP_NET_BIND_SERVICE",
        ),
        io::ErrorKind::AddrNotAvailable => {
            (format!("{address} is no address of this machine"), "give the listener another address in node.yaml")
        }
        _ => (format!("listening on {address} failed: {error}"), "give the listener another address in node.yaml"),
    };
    Failed::new(format!("listener `{name}`: {what}")).hint(hint)
}

async fn gateway(
    plan: &Plan,
    listeners: Vec<proxy::Listener>,
    parts: proxy::Parts<'_>,
) -> Result<proxy::Running, Failed> {
    let config = proxy::Config { node: plan.node.clone(), workers: workers(), listeners };
    proxy::start(config, parts).await.map_err(|error| {
        let failed = Failed::new(format!("the gateway did not start: {}", words(&error)));
        match &error {
            proxy::StartError::Log(error) => failed.hint(error.hint()),
            _ => failed.hint("see what stands above; COUNTERSIGN_LOG=info says more"),
        }
    })
}

fn serve_admin(data: &Path, control: Arc<Control>, finishing: watch::Receiver<bool>) -> Result<JoinHandle<()>, Failed> {
    let socket = AdminSocket::bind(&data.join(ADMIN_SOCKET))
        .map_err(|error| Failed::new(harmless(&words(&error))).hint("check that the data directory is writable"))?;
    Ok(tokio::spawn(async move {
        let served = control::serve(socket, control, finishing).await;
        if let Err(error) = served {
            tracing::error!(%error, "the admin socket ended");
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lanes_fit_twice_into_the_log() {
        let mebi = 1024 * 1024;
        assert_eq!(segment_bytes(4096 * mebi, 2), limits::SEGMENT_BYTES.default);
        for (log, workers) in [(64 * mebi, 2), (64 * mebi, 16), (1024 * mebi, 128), (64 * mebi, 3)] {
            let lanes = u64::try_from(workers).unwrap() + 1;
            let segment = segment_bytes(log, workers);
            assert!(segment * lanes * 4 <= log && segment >= 64 * 1024, "{log} {workers}: {segment}");
        }
        assert_eq!(segment_bytes(64 * mebi, 100_000), 64 * 1024);
    }
}
