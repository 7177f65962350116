//! `login`: a link that opens the console in a browser, once.

use std::io::{self, Write};

use crate::admin_client::AdminClient;
use crate::args::Asking;
use crate::env::Env;
use crate::exit::{Exit, Outcome};
use crate::tasks;
use crate::term::time::Times;
use crate::term::{harmless, json};

/// Runs the command.
///
/// # Errors
/// When no process runs, or it serves no console.
pub fn run(args: &Asking, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
    let link = tasks::block_on(client.login_link())??;
    let mut out = io::stdout().lock();
    if args.json {
        json::line(&mut out, &link)?;
    } else {
        writeln!(out, "{}", harmless(&link.url))?;
        writeln!(out, "opens the console once, until {}", Times::local().second(link.until))?;
    }
    Ok(Exit::Yes)
}
