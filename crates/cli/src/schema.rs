//! `schema DIR`: the Cedar schema that the policies of a trust directory are checked against.

use std::io::{self, Write};

use crate::args::Schema;
use crate::env::Env;
use crate::exit::{Exit, Outcome};
use crate::load;

/// Runs the command.
///
/// # Errors
/// When the directory does not validate, or the output cannot be written.
pub fn run(args: &Schema, env: &Env) -> Outcome {
    let (revision, _) = load::revision(&args.dir, env)?;
    let text = if args.admin { policy::admin_schema().to_owned() } else { policy::schema(revision.model()) };
    let mut out = io::stdout().lock();
    out.write_all(text.trim_end().as_bytes())?;
    out.write_all(b"\n")?;
    Ok(Exit::Yes)
}
