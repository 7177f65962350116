//! `up DIR`: everything in one process.

mod banner;
mod beside;
mod console;
mod current;
mod figures;
mod place;
mod plan;
mod start;
mod system;

use tokio::signal::unix::{Signal as Incoming, SignalKind, signal};

use crate::admin_client::AdminClient;
use crate::args::Up;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::{load, manager};

pub use plan::Plan;
pub use start::start;
pub use system::System;

/// Runs the command.
///
/// # Errors
/// Whatever keeps it from starting, in one message.
pub fn run(args: &Up, env: &Env) -> Outcome {
    let (revision, loaded) = load::revision(&args.dir, env)?;
    load::tell_warnings(&loaded);
    let plan = Plan::new(args, env, revision, loaded)?;
    crate::tasks::serve(async {
        let mut signals = Signals::new()?;
        let system = start(plan).await?;
        banner::show(&system, env)?;
        manager::ready(&words(&system));
        let watching =
            args.decisions.then(|| tokio::spawn(crate::decisions::stream(system.data().to_owned(), env.clone())));
        let alive = tokio::spawn(manager::keep_alive(AdminClient::new(system.data())));
        until_stopped(&system, &mut signals).await;
        manager::stopping();
        if let Some(watching) = watching {
            watching.abort();
        }
        stop(system, &mut signals).await;
        alive.abort();
        Ok(Exit::Yes)
    })?
}

/// Serves until it is told to stop, and reads the trust directory again whenever it is told to.
async fn until_stopped(system: &System, signals: &mut Signals) {
    while signals.next().await == Signal::Hangup {
        manager::reloading();
        match system.reread().await {
            Ok(publication) => {
                let revision = crate::publish::short(&publication.revision);
                tracing::info!(revision, publication = publication.number, "read the trust directory again");
            }
            Err(failed) => {
                let why = failed.message.unwrap_or_default();
                // which file and line; several of them in one line, as logs are read
                let details = failed.hint.unwrap_or_default().replace('\n', "; ");
                tracing::error!(why, details, "the trust directory was read again and not published; what ran goes on");
            }
        }
        manager::ready(&words(system));
    }
}

/// What runs, for `systemctl status`.
fn words(system: &System) -> String {
    let revision = system.revision();
    format!("{} runs revision {}", revision.model().organisation, revision.id().short())
}

/// Stops in order; a second signal does not wait for what is in flight.
pub async fn stop(system: System, signals: &mut Signals) {
    tokio::select! {
        () = system.stop() => {}
        () = signals.stop() => {}
    }
}

/// What a process is told from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGINT or SIGTERM.
    Stop,
    /// SIGHUP.
    Hangup,
}

/// SIGINT, SIGTERM and SIGHUP.
pub struct Signals {
    interrupt: Incoming,
    terminate: Incoming,
    hangup: Incoming,
}

impl Signals {
    /// From now on they no longer end the process by themselves.
    ///
    /// # Errors
    /// When the system does not let us listen.
    pub fn new() -> Result<Self, Failed> {
        let listen = |kind| signal(kind).map_err(|error| Failed::new(format!("signals cannot be received: {error}")));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Hangup,
        }
    }

    /// The next SIGINT or SIGTERM.
    pub async fn stop(&mut self) {
        while self.next().await != Signal::Stop {}
    }

    /// The next one, for those to whom a terminal that is closed is the end.
    #[cfg(feature = "demo")]
    pub async fn any(&mut self) {
        self.next().await;
    }
}
