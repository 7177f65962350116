//! `fleet` and `retire`: who joined, what runs where, and why not.

mod list;

use std::io::{self, Write};

use api::admin::Retire;
use runtime::clock::SystemClock;
use types::Clock;

use crate::admin_client::AdminClient;
use crate::args;
use crate::env::Env;
use crate::exit::{Exit, Outcome};
use crate::tasks;
use crate::term::time::Times;
use crate::term::{Palette, Tone, harmless, json};

/// Runs `fleet`.
///
/// # Errors
/// When nothing runs.
pub fn run(args: &args::Asking, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
    let peers = tasks::block_on(client.fleet())??;
    let mut out = io::stdout().lock();
    if args.json {
        json::lines(&mut out, &peers)?;
    } else {
        list::show(&mut out, Palette::stdout(env), &Times::local(), SystemClock.now(), &peers)?;
    }
    Ok(Exit::Yes)
}

/// Runs `retire`.
///
/// # Errors
/// When nothing runs, or nobody of that name joined.
pub fn retire(args: args::Retire, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
    let (role, name) = args.peer;
    let retired = tasks::block_on(client.retire(&Retire { role, name: name.to_string(), why: args.why }))??;
    let (palette, mut out) = (Palette::stdout(env), io::stdout().lock());
    if args.json {
        json::line(&mut out, &retired)?;
        return Ok(Exit::Yes);
    }
    let (role, name) = (retired.role.as_str(), harmless(&retired.name).into_owned());
    writeln!(out, "{role}/{name} is {}: its certificate is refused from now on", palette.paint(Tone::Bad, "retired"))?;
    writeln!(out, "  its name is free; `countersign join-token --{role} {name}` lets one join under it again")?;
    Ok(Exit::Yes)
}
