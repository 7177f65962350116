//! `up DIR`: everything in one process.

mod banner;
mod place;
mod plan;
mod start;
mod system;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::Up;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::load;

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
        let watching =
            args.decisions.then(|| tokio::spawn(crate::decisions::stream(system.data().to_owned(), env.clone())));
        signals.first().await;
        if let Some(watching) = watching {
            watching.abort();
        }
        stop(system, &mut signals).await;
        Ok(Exit::Yes)
    })?
}

/// Stops in order; a second signal does not wait for what is in flight.
pub async fn stop(system: System, signals: &mut Signals) {
    tokio::select! {
        () = system.stop() => {}
        () = signals.first() => {}
    }
}

/// SIGINT and SIGTERM.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on they no longer end the process by themselves.
    ///
    /// # Errors
    /// When the system does not let us listen.
    pub fn new() -> Result<Self, Failed> {
        let failed = |error| Failed::new(format!("signals cannot be received: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    /// The next one.
    pub async fn first(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
