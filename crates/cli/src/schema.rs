//! `schema DIR`: the Cedar schema that the policies of a trust directory are checked against; `schema --node`: the JSON
//! Schema of node.yaml.

use std::io::{self, Write};
use std::path::Path;

use crate::args::Schema;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::load;

/// Runs the command.
///
/// # Errors
/// When the directory does not validate, or the output cannot be written.
pub fn run(args: &Schema, env: &Env) -> Outcome {
    let text = match &args.dir {
        Some(dir) => of_policies(dir, args.admin, env)?,
        // the grammar lets it be absent only with --node
        None => trustdir::node::schema().to_owned(),
    };
    let mut out = io::stdout().lock();
    out.write_all(text.trim_end().as_bytes())?;
    out.write_all(b"\n")?;
    Ok(Exit::Yes)
}

fn of_policies(dir: &Path, admin: bool, env: &Env) -> Result<String, Failed> {
    let (revision, _) = load::revision(dir, env)?;
    Ok(if admin { policy::admin_schema().to_owned() } else { policy::schema(revision.model()) })
}
