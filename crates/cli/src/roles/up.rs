//! `up DIR`: everything in one process. Control serves the wire over memory, and the proxy and the agent of the process
//! follow it as they would from elsewhere.

use std::path::Path;
use std::sync::Arc;

use api::admin::Role;
use api::wire::Load;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trustdir::Revision;
use types::Clock;
use wire::{Config, ControlAt, Peer};

use super::core::{Core, Ground};
use super::enforcer::{self, Bound, Taken};
use super::serving::{self, Serving};
use super::signals::Signals;
use super::{banner, clusters, follow, workloads};
use crate::admin_client::AdminClient;
use crate::args;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::paths::WORKLOAD_SOCKET;
use crate::{load, manager};

pub use super::plan::UpPlan as Plan;

/// Runs the command.
///
/// # Errors
/// Whatever keeps it from starting, in one message.
pub fn run(args: &args::Up, env: &Env) -> Outcome {
    let (revision, loaded) = load::revision(&args.dir, env)?;
    load::tell_warnings(&loaded);
    let plan = Plan::new(args, env, revision, loaded)?;
    crate::tasks::serve(async {
        let mut signals = Signals::new()?;
        let mut system = start(plan).await?;
        banner::up(&system, env)?;
        manager::ready(&system.words());
        let watching =
            args.decisions.then(|| tokio::spawn(crate::decisions::stream(system.data().to_owned(), env.clone())));
        let client = AdminClient::new(system.data());
        let alive = tokio::spawn(manager::keep_alive(move || manager::admin_answers(client.clone())));
        serving::until_stopped(&mut system, &mut signals).await;
        if let Some(watching) = watching {
            watching.abort();
        }
        serving::stop(system, &mut signals).await;
        alive.abort();
        Ok(Exit::Yes)
    })?
}

/// Everything in one process, up.
pub struct System {
    pub(super) core: Core,
    pub(super) listeners: Vec<Bound>,
    proxy: ::proxy::Running,
    peers: [Peer; 2],
    agent: JoinHandle<()>,
    finish: watch::Sender<bool>,
}

/// Starts everything in order: control, then who follows it. Whatever fails says so in one message.
///
/// # Errors
/// What kept it from starting, and what to do.
pub async fn start(plan: Plan) -> Result<System, Failed> {
    let clusters = clusters::read(&plan.clusters)?;
    let ground = Ground::open(plan.core)?;
    let (finish, finishing) = watch::channel(false);
    let socket = workloads::bind(&ground.plan.data.join(WORKLOAD_SOCKET))?;
    let (listeners, sockets) = enforcer::bind(&plan.listeners, &ground.revision, Taken::Next)?;
    let stats = Arc::new(::proxy::Stats::new());
    let (node, clock) = (ground.plan.name.clone(), Arc::clone(&ground.clock));
    let listed = listeners.iter().map(Bound::listed).collect();
    let core = ground.serve(listed, Some(Arc::clone(&stats)), &finishing)?;
    let peer = |role, load| follow::start(here(&core, &node, role, &clock, load));
    let log = Arc::clone(&core.opened.log);
    let counted = Arc::clone(&stats);
    let enforcing = peer(Role::Proxy, Arc::new(move || enforcer::load(&counted, &log, 0)))?;
    let placing = peer(Role::Agent, Arc::new(Load::default))?;
    let issuance = follow::within(&placing, placing.issuance()).await?;
    let options = ::agent::Options { data_dir: core.data().to_owned(), clusters };
    let agent = workloads::serve(socket, options, issuance, Arc::clone(&clock), finishing);
    let state = follow::within(&enforcing, enforcing.state()).await?;
    let beside = enforcer::Beside { node: &node, log: &core.opened.log, stats: &stats, clock: &clock };
    let proxy = enforcer::start(sockets, state, beside).await?;
    Ok(System { core, listeners, proxy, peers: [enforcing, placing], agent, finish })
}

/// A role of this very process.
fn here(
    core: &Core,
    node: &types::Label,
    role: Role,
    clock: &Arc<dyn Clock>,
    load: Arc<dyn Fn() -> Load + Send + Sync>,
) -> Config {
    let control = ControlAt::Memory {
        connector: core.connector.clone(),
        organisation: core.revision.load().model().organisation.clone(),
        root: core.root.clone(),
    };
    Config {
        role,
        name: node.clone(),
        data: core.data().to_owned(),
        control,
        served: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        clock: Arc::clone(clock),
        load,
        // the decision log of this process is control's own
        shipper: None,
    }
}

impl System {
    /// The data directory.
    pub fn data(&self) -> &Path {
        self.core.data()
    }

    /// The listeners.
    pub fn listeners(&self) -> &[Bound] {
        &self.listeners
    }

    /// The revision that is current.
    pub fn revision(&self) -> Arc<Revision> {
        self.core.revision.load_full()
    }
}

impl Serving for System {
    fn words(&self) -> String {
        self.core.words()
    }

    async fn reload(&mut self) {
        self.core.reread().await;
    }

    /// Takes no more calls, lets those in flight finish, then ends everything else and says so in the log.
    async fn stop(self) {
        self.core.control.drain();
        self.proxy.shutdown().await;
        for peer in self.peers {
            peer.finish().await;
        }
        self.finish.send_replace(true);
        let _ = self.agent.await;
        self.core.finish().await;
    }
}
