//! The enforcement point of a process: its listeners, and the workers that take calls there.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use api::admin::ListenerStatus;
use api::wire::Load;
use control::Certificate;
use record::Log;
use trustdir::Revision;
use trustdir::node::Listener;
use types::{Clock, Label, limits};

use crate::exit::Failed;
use crate::term::causes;

/// A listener as it was bound.
pub struct Bound {
    /// Its name, address and domains.
    pub status: ListenerStatus,
    /// The address that was asked for, where it was taken.
    pub instead_of: Option<SocketAddr>,
    /// Whether it serves the domains of whatever revision is in force.
    pub all: bool,
}

impl Bound {
    /// For control, which fills in the domains of a listener that serves all.
    pub fn listed(&self) -> ListenerStatus {
        let domains = if self.all { Vec::new() } else { self.status.domains.clone() };
        ListenerStatus { domains, ..self.status.clone() }
    }
}

/// What it means that a port is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// The next free one is as good, and it is said.
    Next,
    /// Others know this address: no other will do.
    Refused,
}

/// Binds every listener before any is served, so that a start either takes calls everywhere or nowhere.
///
/// # Errors
/// When one cannot be bound.
pub fn bind(
    listeners: &[Listener],
    revision: &Revision,
    taken: Taken,
) -> Result<(Vec<Bound>, Vec<::proxy::Listener>), Failed> {
    let bound: Result<Vec<_>, Failed> = listeners.iter().map(|listener| bind_one(listener, revision, taken)).collect();
    Ok(bound?.into_iter().unzip())
}

fn bind_one(listener: &Listener, revision: &Revision, taken: Taken) -> Result<(Bound, ::proxy::Listener), Failed> {
    let (socket, address) = ::proxy::bind(listener.address).map_err(|error| not_bound(listener, &error))?;
    let wanted = listener.address.port();
    let instead_of = (wanted != 0 && wanted != address.port()).then_some(listener.address);
    if let (Some(wanted), Taken::Refused) = (instead_of, taken) {
        return Err(Failed::new(format!("listener `{}`: port {} is taken", listener.name, wanted.port()))
            .hint("stop what listens there, or give the listener another address in node.yaml"));
    }
    let domains = listener.domains.as_ref().map(|domains| domains.iter().cloned().collect::<Vec<Label>>());
    let all = || revision.domains().keys().map(Label::to_string).collect();
    let status = ListenerStatus {
        name: listener.name.to_string(),
        address,
        domains: domains.as_ref().map_or_else(all, |some| some.iter().map(Label::to_string).collect()),
        plaintext: listener.insecure_plaintext,
    };
    let plaintext = listener.insecure_plaintext;
    let bound = ::proxy::Listener { name: listener.name.clone(), listener: socket, domains, plaintext };
    Ok((Bound { status, instead_of, all: listener.domains.is_none() }, bound))
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

/// How many threads take calls.
pub fn workers() -> usize {
    runtime::workers::default_count()
}

/// What the enforcement point works with beside the state that it follows.
pub struct Beside<'a> {
    /// The node's name.
    pub node: &'a Label,
    /// The decision log.
    pub log: &'a Log,
    /// Where to count.
    pub stats: &'a Arc<::proxy::Stats>,
    /// The clock.
    pub clock: &'a Arc<dyn Clock>,
}

/// Takes calls, from here on.
///
/// # Errors
/// What kept it from that, and what to do.
pub async fn start(
    listeners: Vec<::proxy::Listener>,
    state: wire::State,
    beside: Beside<'_>,
) -> Result<::proxy::Running, Failed> {
    let config = ::proxy::Config { node: beside.node.clone(), workers: workers(), listeners };
    let parts = ::proxy::Parts {
        revision: state.revision,
        signals: state.signals,
        freshness: state.freshness,
        changes: state.changes,
        stats: Arc::clone(beside.stats),
        log: beside.log,
        issuance: state.issuance,
        clock: Arc::clone(beside.clock),
    };
    ::proxy::start(config, parts).await.map_err(|error| {
        let failed = Failed::new(format!("the gateway did not start: {}", causes(&error)));
        match &error {
            ::proxy::StartError::Log(error) => failed.hint(error.hint()),
            _ => failed.hint("see what stands above; COUNTERSIGN_LOG=info says more"),
        }
    })
}

/// The certificates that a gateway serves with.
pub fn certificates(stats: &::proxy::Stats) -> impl Iterator<Item = Certificate> {
    stats.certificates().into_iter().map(|(domain, not_after)| Certificate {
        name: format!("the gateway's certificate for {domain}"),
        domain: domain.to_string(),
        is_root: false,
        not_after,
    })
}

/// The figures that an enforcer tells control once a second.
pub fn load(stats: &::proxy::Stats, log: &Log, unshipped_bytes: u64) -> Load {
    let counted = stats.snapshot();
    let health = log.health();
    Load {
        allowed: counted.allowed,
        would_deny: counted.would_deny,
        refused: counted.refused.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count)),
        open_exchanges: counted.open_exchanges,
        open_connections: counted.open_connections,
        log_bytes: health.used_bytes,
        log_unshipped_bytes: unshipped_bytes,
        log_max_bytes: health.max_bytes,
    }
}
