//! `proxy -c FILE`: the gateway. It starts with the last good state of its disk, follows control, and goes on without it.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::admin::Role;
use arc_swap::ArcSwap;
use runtime::clock::SystemClock;
use trustdir::Revision;
use trustdir::node::Listener;
use types::{Clock, Label};
use wire::ship::Shipper;
use wire::{Config, Peer};

use super::enforcer::{self, Bound, Taken};
use super::log::Opened;
use super::plan::ProxyPlan;
use super::reload::{self, Settings};
use super::serving::{self, Serving};
use super::signals::Signals;
use super::{banner, follow, place};
use crate::args::RunPeer;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::manager;

/// Runs the command.
///
/// # Errors
/// Whatever keeps it from starting, in one message.
pub fn run(args: &RunPeer, env: &Env) -> Outcome {
    let plan = ProxyPlan::new(&args.config, env)?;
    crate::tasks::serve(async {
        let mut signals = Signals::new()?;
        let Some(mut running) = start(plan, &mut signals).await? else { return Ok(Exit::Yes) };
        banner::proxy(&running, env)?;
        manager::ready(&running.words());
        let alive = tokio::spawn(manager::keep_alive(|| std::future::ready(true)));
        serving::until_stopped(&mut running, &mut signals).await;
        serving::stop(running, &mut signals).await;
        alive.abort();
        Ok(Exit::Yes)
    })?
}

/// A proxy alone.
pub struct Running {
    pub(super) name: Label,
    pub(super) listeners: Vec<Bound>,
    pub(super) revision: Arc<ArcSwap<Revision>>,
    pub(super) peer: Peer,
    pub(super) opened: Opened,
    settings: Settings,
    proxy: ::proxy::Running,
}

/// `None` when it was told to stop before there was anything to enforce.
async fn start(plan: ProxyPlan, signals: &mut Signals) -> Result<Option<Running>, Failed> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    place::prepare(&plan.data)?;
    let opened = Opened::new(&plan.data, &plan.name, "proxy", plan.log_bytes, enforcer::workers(), &clock)?;
    let stats = Arc::new(::proxy::Stats::new());
    let shipper = Shipper::new(Arc::clone(&opened.log));
    let (counted, log, shipped) = (Arc::clone(&stats), Arc::clone(&opened.log), Arc::clone(&shipper));
    let peer = follow::start(Config {
        role: Role::Proxy,
        name: plan.name.clone(),
        data: plan.data.clone(),
        control: plan.control.clone(),
        served: served(&plan.listeners),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        clock: Arc::clone(&clock),
        load: Arc::new(move || enforcer::load(&counted, &log, shipped.unshipped_bytes())),
        shipper: Some(shipper),
    })?;
    let settings = plan.settings;
    let Some(state) = follow::first(&peer, signals, peer.state(), || reload::peer(&settings, &peer)).await? else {
        peer.finish().await;
        return Ok(None);
    };
    let revision = Arc::clone(&state.revision);
    opened.started(revision.load().id())?;
    let (listeners, sockets) = enforcer::bind(&plan.listeners, &revision.load(), Taken::Refused)?;
    let beside = enforcer::Beside { node: &plan.name, log: &opened.log, stats: &stats, clock: &clock };
    let proxy = enforcer::start(sockets, state, beside).await?;
    Ok(Some(Running { name: plan.name, listeners, revision, peer, opened, settings, proxy }))
}

/// The domains that the listeners name; `None` where one serves whatever control lets it.
fn served(listeners: &[Listener]) -> Option<BTreeSet<Label>> {
    let named: Option<Vec<&BTreeSet<Label>>> = listeners.iter().map(|listener| listener.domains.as_ref()).collect();
    named.map(|sets| sets.into_iter().flatten().cloned().collect())
}

impl Serving for Running {
    fn words(&self) -> String {
        let revision = self.revision.load();
        format!("{} enforces revision {} of {}", self.name, revision.id().short(), revision.model().organisation)
    }

    async fn reload(&mut self) {
        reload::peer(&self.settings, &self.peer);
    }

    /// Takes no more calls, lets those in flight finish, then ends the rest and says so in the log.
    async fn stop(self) {
        self.proxy.shutdown().await;
        self.opened.stopped(self.revision.load().id());
        self.peer.finish().await;
    }
}
