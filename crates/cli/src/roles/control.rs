//! `control -c FILE`: the issuer, the publisher and the console, and the door that proxies and agents follow.

use tokio::sync::watch;

use super::core::{Core, Ground};
use super::current::Source;
use super::plan::ControlPlan;
use super::reload::Settings;
use super::serving::{self, Serving};
use super::signals::Signals;
use super::{banner, memory};
use crate::admin_client::AdminClient;
use crate::args::RunControl;
use crate::env::Env;
use crate::exit::{Exit, Outcome};
use crate::{load, manager};

/// Runs the command.
///
/// # Errors
/// Whatever keeps it from starting, in one message.
pub fn run(args: &RunControl, env: &Env) -> Outcome {
    memory::keep_pages_small();
    let source = match &args.dir {
        None => None,
        Some(dir) => {
            let (revision, loaded) = load::revision(dir, env)?;
            load::tell_warnings(&loaded);
            Some(Source::new(dir.clone(), revision, loaded))
        }
    };
    let plan = ControlPlan::new(&args.config, env, source)?;
    crate::tasks::serve(async {
        let mut signals = Signals::new()?;
        let mut running = start(plan)?;
        banner::control(&running.core, env)?;
        manager::ready(&running.words());
        let client = AdminClient::new(running.core.data());
        let alive = tokio::spawn(manager::keep_alive(move || manager::admin_answers(client.clone())));
        serving::until_stopped(&mut running, &mut signals).await;
        serving::stop(running, &mut signals).await;
        alive.abort();
        Ok(Exit::Yes)
    })?
}

/// Control alone.
struct Running {
    core: Core,
    settings: Settings,
    finish: watch::Sender<bool>,
}

fn start(plan: ControlPlan) -> Result<Running, crate::exit::Failed> {
    let (finish, finishing) = watch::channel(false);
    let core = Ground::open(plan.core)?.serve(Vec::new(), None, &finishing)?;
    Ok(Running { core, settings: plan.settings, finish })
}

impl Serving for Running {
    fn words(&self) -> String {
        self.core.words()
    }

    /// Nothing of node.yaml is taken over while control runs; the trust directory is, where it was started with one.
    async fn reload(&mut self) {
        if let Some(now) = self.settings.read_again() {
            self.settings.tell(&now, &[]);
        }
        if !self.core.reread().await {
            tracing::info!("there is no trust directory to read again: publish with `countersign publish DIR`");
        }
    }

    async fn stop(self) {
        self.core.control.drain();
        self.finish.send_replace(true);
        self.core.finish().await;
    }
}
