//! The callers of the example organisation as processes: each gets its certificate from the Workload API, like any
//! workload, and calls other services through the gateway, gently and for as long as it lives.

mod client;
mod dice;
mod intruder;
mod script;

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use self::{
    client::{Client, Source},
    dice::Dice,
    script::Script,
};
use super::serve::{log, stop_requested};

pub use intruder::LOOKED_AROUND;
pub use script::SCRIPTS;

/// What an executable of the example is to be, by its path and its first argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// `calls`: does what the workload does all day.
    Calls,
    /// `takeover`: does what an intruder does who runs as the workload.
    Takeover,
}

impl Role {
    /// The first argument that asks for it.
    pub const fn argument(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Takeover => "takeover",
        }
    }

    /// The role that a first argument asks for.
    pub(super) fn of(argument: &OsString) -> Option<Self> {
        [Self::Calls, Self::Takeover].into_iter().find(|role| argument == role.argument())
    }
}

/// Where a caller finds what it needs.
struct Setting {
    /// The Workload API's socket; for the prober, who is no workload, a file with the roots to trust.
    trust: PathBuf,
    gateway: SocketAddr,
}

/// The whole program of a caller: reads `TRUST GATEWAY` behind the role, runs until stopped, and says on stderr what went
/// wrong. Exit code 0 when stopped, 2 when it could not run, 64 for wrong usage.
pub fn caller_main(name: &str, role: Role, arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(setting) = read_arguments(arguments) else {
        log(&format!("usage: acme-{name} {} TRUST GATEWAY", role.argument()));
        return ExitCode::from(64);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ran = runtime.and_then(|runtime| runtime.block_on(until_stopped(name, role, setting)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(&format!("acme-{name} cannot run: {error}"));
            ExitCode::from(2)
        }
    }
}

fn read_arguments(mut arguments: impl Iterator<Item = OsString>) -> Option<Setting> {
    let trust = PathBuf::from(arguments.next()?);
    let gateway = arguments.next()?.to_str()?.parse().ok()?;
    arguments.next().is_none().then_some(Setting { trust, gateway })
}

async fn until_stopped(name: &str, role: Role, setting: Setting) -> std::io::Result<()> {
    let stop = stop_requested()?;
    let work = async {
        match role {
            Role::Calls => calls(name, &setting).await,
            Role::Takeover => intruder::run(&setting.trust, setting.gateway).await,
        }
    };
    tokio::select! {
        () = stop => Ok(()),
        ended = work => ended.map_err(std::io::Error::other),
    }
}

/// One step after the other, from any of them on, with pauses that are never quite the same.
async fn calls(name: &str, setting: &Setting) -> Result<(), String> {
    let script = Script::of(name).ok_or_else(|| format!("nobody wrote down what `{name}` calls"))?;
    let mut client = Client::new(source(name, &setting.trust), setting.gateway);
    let mut dice = Dice::new();
    tokio::time::sleep(dice.part_of(script.pause())).await;
    let first = dice.below(script.steps.len());
    for step in script.steps.iter().cycle().skip(first) {
        if let Err(error) = client.call(&step.fill(&mut dice)).await {
            log(&format!("acme-{name}: {} {}: {error}", step.method, step.service));
        }
        tokio::time::sleep(dice.about(script.pause())).await;
    }
    Ok(())
}

fn source(name: &str, trust: &Path) -> Source {
    if name == super::catalogue::PROBER {
        Source::Roots(trust.to_owned())
    } else {
        Source::WorkloadApi(trust.to_owned())
    }
}

#[cfg(test)]
mod tests;
