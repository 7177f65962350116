//! `explain ID`: why one call was allowed or refused.

use std::io::{self, Write};

use crate::admin_client::AdminClient;
use crate::args::Explain;
use crate::env::Env;
use crate::exit::{Exit, Outcome};
use crate::paths;
use crate::term::Palette;
use crate::term::story::Teller;
use crate::term::time::Times;

/// Runs the command.
///
/// # Errors
/// When no process runs, or it knows no such decision.
pub fn run(args: &Explain, env: &Env) -> Outcome {
    let data = paths::running(env, args.target.data.as_deref())?;
    let story = crate::tasks::block_on(AdminClient::new(&data).explain(&args.id))??;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&story).map_err(io::Error::from)?)?;
    } else {
        Teller { palette: Palette::stdout(env), times: Times::local() }.tell(&mut out, &story)?;
    }
    Ok(Exit::Yes)
}
