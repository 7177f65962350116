//! `identity fetch --jwt`: a JWT-SVID of this process, from the agent of its machine.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::admin_client::AdminClient;
use crate::args::Fetch;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::tasks;
use crate::term::{harmless, json};

/// Runs the command. The token is alone on standard output, so that other commands can take it from there.
///
/// # Errors
/// When no agent answers, or it has no identity for this process.
pub fn run(args: &Fetch, env: &Env) -> Outcome {
    let socket = tasks::block_on(socket(args, env))??;
    let fetched = tasks::block_on(agent::fetch_jwt(&socket, &args.audience, None))?;
    let fetched = fetched.map_err(|error| super::fetch::refused(&error))?;
    let first = fetched.into_iter().next().ok_or_else(|| Failed::new("the Workload API gave no JWT-SVID"))?;
    let mut out = io::stdout().lock();
    if args.json {
        let spiffe_id = first.spiffe_id.to_string();
        json::line(&mut out, &Json { kind: "jwt-svid", spiffe_id, audience: &args.audience, token: &first.token })?;
    } else {
        writeln!(out, "{}", harmless(&first.token))?;
    }
    Ok(Exit::Yes)
}

async fn socket(args: &Fetch, env: &Env) -> Result<PathBuf, Failed> {
    if let Some(socket) = &args.socket {
        return Ok(socket.clone());
    }
    let client = AdminClient::to(env, &args.target)?;
    if client.is_elsewhere() {
        return Err(super::fetch::no_agent_there("name the agent's socket with `--socket PATH`"));
    }
    Ok(client.status().await?.workload_socket.into())
}

#[derive(Serialize)]
struct Json<'a> {
    kind: &'static str,
    spiffe_id: String,
    audience: &'a [String],
    token: &'a str,
}
