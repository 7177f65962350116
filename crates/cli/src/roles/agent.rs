//! `agent -c FILE`: identities for the workloads of its machine.

use std::path::PathBuf;
use std::sync::Arc;

use api::admin::Role;
use api::wire::Load;
use runtime::clock::SystemClock;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use types::{Clock, Label};
use wire::{Config, Peer};

use super::plan::AgentPlan;
use super::reload::{self, Settings};
use super::serving::{self, Serving};
use super::signals::Signals;
use super::{banner, clusters, follow, memory, place, workloads};
use crate::args::RunPeer;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::manager;

/// Runs the command.
///
/// # Errors
/// Whatever keeps it from starting, in one message.
pub fn run(args: &RunPeer, env: &Env) -> Outcome {
    memory::keep_pages_small();
    let plan = AgentPlan::new(&args.config, env)?;
    crate::tasks::serve(async {
        let mut signals = Signals::new()?;
        let Some(mut running) = start(plan, &mut signals).await? else { return Ok(Exit::Yes) };
        banner::agent(&running, env)?;
        manager::ready(&running.words());
        let alive = tokio::spawn(manager::keep_alive(|| std::future::ready(true)));
        serving::until_stopped(&mut running, &mut signals).await;
        serving::stop(running, &mut signals).await;
        alive.abort();
        Ok(Exit::Yes)
    })?
}

/// An agent alone.
pub struct Running {
    pub(super) name: Label,
    pub(super) socket: PathBuf,
    pub(super) peer: Peer,
    settings: Settings,
    server: JoinHandle<()>,
    finish: watch::Sender<bool>,
}

/// `None` when it was told to stop before it could hand out anything.
async fn start(plan: AgentPlan, signals: &mut Signals) -> Result<Option<Running>, Failed> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    place::prepare(&plan.data)?;
    let options = ::agent::Options { data_dir: plan.data.clone(), clusters: clusters::read(&plan.clusters)? };
    let peer = follow::start(Config {
        role: Role::Agent,
        name: plan.name.clone(),
        data: plan.data.clone(),
        control: plan.control.clone(),
        served: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        clock: Arc::clone(&clock),
        load: Arc::new(Load::default),
        shipper: None,
    })?;
    let settings = plan.settings;
    let Some(issuance) = follow::first(&peer, signals, peer.issuance(), || reload::peer(&settings, &peer)).await?
    else {
        peer.finish().await;
        return Ok(None);
    };
    // who asks before there is anything to hand out is not answered, and tries again
    let socket = workloads::bind(&plan.socket)?;
    let (finish, finishing) = watch::channel(false);
    let server = workloads::serve(socket, options, issuance, clock, finishing);
    Ok(Some(Running { name: plan.name, socket: plan.socket, peer, settings, server, finish }))
}

impl Serving for Running {
    fn words(&self) -> String {
        format!("{} hands out identities on {}", self.name, self.socket.display())
    }

    async fn reload(&mut self) {
        reload::peer(&self.settings, &self.peer);
    }

    async fn stop(self) {
        self.finish.send_replace(true);
        let _ = self.server.await;
        self.peer.finish().await;
    }
}
