//! `publish DIR`: checks and tests a trust directory here, then makes it what runs.

use std::io::{self, Write};

use api::admin::{Publication, Publish};
use trustdir::{Loaded, Revision};

use crate::admin_client::AdminClient;
use crate::args;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::revisions::show_changes;
use crate::term::{Palette, Tone, json, problems};
use crate::{load, paths, tests_command};

/// Runs the command.
///
/// # Errors
/// When no process runs, or what runs does not take the revision.
pub fn run(args: args::Publish, env: &Env) -> Outcome {
    let data = paths::running(env, args.target.data.as_deref())?;
    let client = AdminClient::new(&data);
    // what is current before anything is looked at: whoever publishes meanwhile is not overridden
    let before = crate::tasks::block_on(client.status())??.revision;
    let mut loaded = load::load(&args.dir)?;
    let Some(revision) = loaded.revision.take() else { return does_not_validate(&args, &loaded, env) };
    if !args.json {
        load::tell_warnings(&loaded);
    }
    if !tests_pass(&args, &revision, env)? {
        return Ok(Exit::No);
    }
    let after = Some(args.after.clone().unwrap_or_else(|| before.clone()));
    let files = control::texts(&args.dir).map_err(|error| Failed::new(error.to_string()))?;
    let request = Publish { files, why: args.why.clone(), after };
    let published = crate::tasks::block_on(client.publish(&request))??;
    let mut out = io::stdout().lock();
    if args.json {
        json::line(&mut out, &published)?;
    } else {
        show(&mut out, Palette::stdout(env), &published, before == published.revision)?;
    }
    Ok(Exit::Yes)
}

fn does_not_validate(args: &args::Publish, loaded: &Loaded, env: &Env) -> Outcome {
    if args.json {
        problems::show_json(&mut io::stdout().lock(), &loaded.problems, &loaded.sources)?;
        return Ok(Exit::No);
    }
    let _ = problems::show(&mut io::stderr().lock(), Palette::stderr(env), &loaded.problems, &loaded.sources);
    let message = format!("`{}` does not validate; what runs goes on", args.dir.display());
    Err(Failed { exit: Exit::No, ..Failed::new(message) })
}

/// Whether all pass; those that do not are shown.
fn tests_pass(args: &args::Publish, revision: &Revision, env: &Env) -> Result<bool, Failed> {
    let mut results = trustdir::run_tests(revision);
    let all = results.len();
    results.retain(|result| !result.passed);
    if results.is_empty() {
        return Ok(true);
    }
    if args.json {
        tests_command::show_json(&mut io::stdout().lock(), &results)?;
        return Ok(false);
    }
    let _ = tests_command::show_files(&mut io::stderr().lock(), Palette::stderr(env), &results);
    let failed = crate::term::count(results.len(), "test fails", "tests fail");
    let message = format!("{failed} of {all}; what runs goes on");
    let hint = format!("`countersign test {}` shows all of them", args.dir.display());
    Err(Failed { exit: Exit::No, ..Failed::new(message).hint(hint) })
}

fn show(out: &mut impl Write, palette: Palette, published: &Publication, unchanged: bool) -> io::Result<()> {
    let revision = palette.paint(Tone::Strong, short(&published.revision));
    if unchanged {
        return writeln!(out, "revision {revision} is current already; nothing was published");
    }
    writeln!(out, "revision {revision} is current: publication {}", published.number)?;
    show_changes(out, published, usize::MAX)
}

/// A revision as listings print it.
pub fn short(revision: &str) -> &str {
    revision.get(..7).unwrap_or(revision)
}
