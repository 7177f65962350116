//! `demo`: the example organisation alive, and one of its workloads taken over. It leaves nothing behind.

mod folder;
mod live;
mod show;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::acme::callers::{Callers, Setting};
use crate::acme::catalogue::PROBED;
use crate::acme::processes::{Services, SpawnError};
use crate::acme::{self, Ports};
use crate::admin_client::AdminClient;
use crate::args::Up;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::load;
use crate::roles::Signals;
use crate::roles::serving::{self, Serving};
use crate::roles::up::{self, Plan, System};

use folder::Folder;

/// How often ports are chosen anew when another program takes one between its choice and its use.
const CHOICES: usize = 5;

/// Runs the command.
///
/// # Errors
/// Whatever keeps it from starting, in one message.
pub fn run(env: &Env) -> Outcome {
    writeln!(io::stdout(), "starting the example organisation …")?;
    crate::tasks::serve(async {
        // from here on Ctrl-C is ours to answer, before there is anything to leave behind
        let mut signals = Signals::new()?;
        let folder = Folder::make(env)?;
        let mut starting = std::pin::pin!(start(&folder, env));
        let demo = tokio::select! {
            started = &mut starting => started?,
            () = signals.any() => {
                // what is half started would write into the directory that is being removed
                if let Ok(demo) = starting.await {
                    demo.stop(&mut signals).await;
                }
                return Ok(Exit::Yes);
            }
        };
        demo.run(&folder, &mut signals, env).await
    })?
}

/// Everything that runs.
struct Demo {
    services: Services,
    system: System,
    callers: Callers,
    setting: Setting,
}

/// Services first, since the trust directory names their ports; then Countersign; then those who call.
async fn start(folder: &Folder, env: &Env) -> Result<Demo, Failed> {
    let (services, ports) = services(folder).await?;
    let system = up::start(plan(folder, &ports, env)?).await?;
    match callers(folder, &system).await {
        Ok((callers, setting)) => Ok(Demo { services, system, callers, setting }),
        Err(failed) => {
            system.stop().await;
            Err(failed)
        }
    }
}

/// Starts the services as processes of their own, each from its own path, on ports that are free.
async fn services(folder: &Folder) -> Result<(Services, Ports), Failed> {
    let data = folder.path().to_owned();
    let start = move || {
        let own =
            std::env::current_exe().map_err(|error| Failed::new(format!("this program cannot be found: {error}")))?;
        acme::install(&data, &own).map_err(|error| Failed::new(crate::term::causes(&error)))?;
        let _turn = turn(&own);
        let mut left = CHOICES;
        loop {
            left = left.saturating_sub(1);
            let ports =
                Ports::available().map_err(|error| Failed::new(format!("no ports for the services: {error}")))?;
            match acme::spawn_services(&data, &ports) {
                Ok(services) => return Ok((services, ports)),
                Err(error) if left > 0 && error.is_port_taken() => {}
                Err(error) => return Err(not_started(&error)),
            }
        }
    };
    let started = tokio::task::spawn_blocking(start).await;
    started.unwrap_or_else(|error| Err(Failed::new(format!("starting the services failed: {error}"))))
}

/// Demos that start together choose their ports one after the other: each holds a lock on the program's own file from
/// the choice of its ports until its services have them. Without the lock (a file system that has none) a port that is
/// taken in between is chosen anew.
fn turn(program: &Path) -> Option<File> {
    let file = File::open(program).ok()?;
    flock(&file, FlockOperation::LockExclusive).ok()?;
    Some(file)
}

fn not_started(error: &SpawnError) -> Failed {
    Failed::new(crate::term::causes(error))
}

/// A copy of the example, with its services on the ports that they have here.
fn plan(folder: &Folder, ports: &Ports, env: &Env) -> Result<Plan, Failed> {
    let dir = folder.trust();
    acme::files::write_to(&dir, ports).map_err(|error| Failed::new(error.to_string()))?;
    let (revision, loaded) = load::revision(&dir, env)?;
    let args = Up { dir, data: Some(folder.path().to_owned()), node: None, decisions: true };
    Plan::new(&args, env, revision, loaded)
}

/// Starts everyone who calls.
async fn callers(folder: &Folder, system: &System) -> Result<(Callers, Setting), Failed> {
    let status = AdminClient::new(folder.path()).status().await?;
    let listener = system.listeners().first().ok_or_else(|| Failed::new("the example has no gateway"))?;
    let roots = folder.roots(PROBED).await?;
    let setting = Setting {
        data: folder.path().to_owned(),
        workload_socket: status.workload_socket.into(),
        gateway: listener.status.address,
        roots,
    };
    let callers = Callers::start(&setting).map_err(|error| not_started(&error))?;
    Ok((callers, setting))
}

impl Demo {
    /// Shows what there is and what happens, until a signal or the end of the output.
    async fn run(mut self, folder: &Folder, signals: &mut Signals, env: &Env) -> Outcome {
        let shown = match show::opening(folder, &self.services, &self.system, env).await {
            Ok(words) => live::watch(&mut self, folder, &words, signals, env).await,
            Err(failed) => Err(failed),
        };
        self.stop(signals).await;
        shown.map(|()| Exit::Yes)
    }

    /// Callers first, so that nobody is refused for want of a gateway; a second signal does not wait for calls in flight.
    async fn stop(self, signals: &mut Signals) {
        drop(self.callers);
        serving::stop(self.system, signals).await;
        drop(self.services);
    }
}
