//! Starting and stopping a proxy: credentials first, then one worker per core, each with its own lane.

use std::{
    io,
    net::TcpListener,
    rc::Rc,
    sync::{Arc, atomic::AtomicUsize},
    thread::JoinHandle,
    time::Duration,
};

use api::issuance::Issuance;
use arc_swap::ArcSwap;
use record::{Log, OpenError};
use runtime::{
    freshness::Freshness,
    shutdown::{self, Shutdown, Trigger},
    tls::UnusableKey,
    workers,
};
use signal::State;
use thiserror::Error;
use tokio::{
    sync::watch,
    time::{interval, timeout},
};
use trustdir::Revision;
use types::{Clock, Label, limits};

use crate::{
    credentials::{CredentialError, Keeper, Served, ServerNames},
    gateway::{Door, Gateway, listen},
    ids::IdSource,
    rejudge::follow,
    stats::Stats,
    trusted::Trusted,
    worker::{Shared, Worker},
};

/// What a proxy is configured with.
#[derive(Debug)]
pub struct Config {
    /// The node's name; its gateway identities are `spiffe://<domain>.<organisation>/_gateway/<node>`.
    pub node: Label,
    /// Worker threads; see [`workers::default_count`].
    pub workers: usize,
    /// The listeners.
    pub listeners: Vec<Listener>,
}

/// A listening socket and what it serves.
#[derive(Debug)]
pub struct Listener {
    /// The name in records.
    pub name: Label,
    /// The socket, non-blocking; see [`crate::bind`].
    pub listener: TcpListener,
    /// The domains whose hosts it serves; `None` for those of whatever revision is in force.
    pub domains: Option<Vec<Label>>,
    /// Whether it takes HTTP/1.1 without TLS, for callers that cannot speak it yet. It then serves only domains that do
    /// not enforce `requires.identity`.
    pub plaintext: bool,
}

/// What a proxy works with.
pub struct Parts<'a> {
    /// The revision in force; may be replaced at any time.
    pub revision: Arc<ArcSwap<Revision>>,
    /// What is held against whom; may be replaced at any time.
    pub signals: Arc<ArcSwap<State>>,
    /// When control was last heard, so how old both may be.
    pub freshness: Arc<Freshness>,
    /// Bumped after the revision or the signals were replaced: what is open is then judged again.
    pub changes: watch::Receiver<u64>,
    /// Where to count.
    pub stats: Arc<Stats>,
    /// The decision log.
    pub log: &'a Log,
    /// Where certificates and bundles come from.
    pub issuance: Arc<dyn Issuance>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// Why a proxy did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// No certificates.
    #[error("the gateway has no usable certificate")]
    Credentials(#[from] CredentialError),
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[from] UnusableKey),
    /// No lane in the decision log.
    #[error("the decision log gives no lane")]
    Log(#[from] OpenError),
    /// A socket or thread could not be made.
    #[error("a worker could not be started")]
    Worker(#[from] io::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// A proxy at work. Dropping it stops it without draining.
pub struct Running {
    trigger: Trigger,
    threads: Vec<JoinHandle<()>>,
}

/// Starts a proxy. Nothing is listened to before a served domain has a certificate and every worker a lane; hosts of domains
/// that have none yet are answered with a TLS alert. Where the issuer is away and no certificate is kept, it waits.
///
/// # Errors
/// See [`StartError`].
pub async fn start(config: Config, parts: Parts<'_>) -> Result<Running, StartError> {
    let trusted = Trusted::nobody(Arc::clone(&parts.clock));
    let mut keeper = Keeper::new(
        config.node.clone(),
        Arc::clone(&parts.issuance),
        Arc::clone(&parts.revision),
        Arc::clone(&trusted),
        Arc::clone(&parts.clock),
        Arc::clone(&parts.stats),
    );
    let (served, gateways) = gateways(&config, &keeper)?;
    // before anything is taken from the issuer: what changes after that is heard of
    let issued = parts.issuance.changes();
    let missing = keeper.begin(&served).await?;
    let (trigger, shutdown) = shutdown::channel();
    let shared = Shared {
        revision: parts.revision,
        signals: parts.signals,
        freshness: parts.freshness,
        trusted: Arc::clone(&trusted),
        clock: parts.clock,
    };
    let shared = Arc::new(shared);
    let mut threads = Vec::new();
    for index in 0..config.workers.max(1) {
        let lane = parts.log.lane(&format!("worker-{index}"))?;
        let ids = IdSource::new().map_err(|_| StartError::Random)?;
        let sockets = gateways
            .iter()
            .zip(&config.listeners)
            .map(|(gateway, listener)| Ok((Arc::clone(gateway), listener.listener.try_clone()?)))
            .collect::<io::Result<Vec<_>>>()?;
        let (shared, changes, counters) = (Arc::clone(&shared), parts.changes.clone(), parts.stats.worker());
        let shutdown = shutdown.clone();
        let work = move || run(Worker::new(shared, lane, ids, counters), sockets, changes, shutdown);
        threads.push(workers::start(format!("proxy-{index}"), work)?);
    }
    tokio::spawn(trusted.follow(parts.issuance, issued.clone(), shutdown.clone()));
    tokio::spawn(keeper.run(served, parts.changes, issued, missing, shutdown));
    Ok(Running { trigger, threads })
}

fn gateways(config: &Config, keeper: &Keeper) -> Result<(Vec<Served>, Vec<Arc<Gateway>>), StartError> {
    let mut served = Vec::new();
    let mut gateways = Vec::new();
    for listener in &config.listeners {
        let names = Arc::new(ServerNames::from_pointee(keeper.empty_table()?));
        if !listener.plaintext {
            served.push(Served { domains: listener.domains.clone(), names: Arc::clone(&names) });
        }
        gateways.push(Arc::new(Gateway {
            name: Arc::from(listener.name.as_str()),
            port: listener.listener.local_addr()?.port(),
            door: if listener.plaintext { Door::Plaintext } else { Door::Tls(names) },
            domains: listener.domains.as_deref().map(Arc::from),
            connections: AtomicUsize::new(0),
        }));
    }
    Ok((served, gateways))
}

/// One worker's life: its listeners, and once a second the refusals that were only counted. At the end what is in flight
/// may finish within the drain time; the rest is cut, with its completions recorded.
async fn run(
    worker: Rc<Worker>,
    sockets: Vec<(Arc<Gateway>, TcpListener)>,
    changes: watch::Receiver<u64>,
    mut asked: Shutdown,
) {
    tokio::task::spawn_local(follow(Rc::clone(&worker), changes));
    let (trigger, shutdown) = shutdown::channel();
    for (gateway, socket) in sockets {
        match tokio::net::TcpListener::from_std(socket) {
            Ok(listener) => {
                tokio::task::spawn_local(listen(worker.clone(), gateway, listener, shutdown.clone()));
            }
            Err(error) => tracing::error!(listener = %gateway.name, %error, "a worker cannot use the listener"),
        }
    }
    drop(shutdown);
    let mut second = interval(Duration::from_secs(1)); // tidy: the unit of counting, not a limit
    loop {
        tokio::select! {
            () = asked.asked() => break,
            _ = second.tick() => worker.flush_early(),
        }
    }
    trigger.ask();
    if timeout(Duration::from_millis(limits::DRAIN_TIME.default), trigger.finished()).await.is_err() {
        tracing::warn!("some exchanges were cut at the end of the drain");
        worker.cut();
    }
    worker.flush_early();
}

impl Running {
    /// Takes no more connections, lets what is in flight finish within the drain time, and returns when all is recorded.
    pub async fn shutdown(self) {
        self.trigger.ask();
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        if joined.await.is_err() {
            tracing::error!("a worker ended badly");
        }
    }
}
