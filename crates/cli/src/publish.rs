//! `publish DIR`: checks and tests a trust directory here, then makes it what runs.

use std::io::{self, Write};

use api::admin::{Publication, Publish, Published, Reach};
use trustdir::{Loaded, Revision};

use crate::admin_client::AdminClient;
use crate::args;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::revisions::show_changes;
use crate::term::{Palette, Tone, count, harmless, json, problems};
use crate::{load, proposals, tests_command};

/// Runs the command.
///
/// # Errors
/// When no process runs, or what runs does not take the revision.
pub fn run(args: args::Publish, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
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
        show(&mut out, Palette::stdout(env), &published, &before)?;
    }
    Ok(exit_of(&published))
}

/// What waits for approval is not current, and scripts have to know.
pub const fn exit_of(published: &Published) -> Exit {
    match published {
        Published::Current { .. } => Exit::Yes,
        Published::Proposed { .. } => Exit::No,
    }
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
    let failed = count(results.len(), "test fails", "tests fail");
    let message = format!("{failed} of {all}; what runs goes on");
    let hint = format!("`countersign test {}` shows all of them", args.dir.display());
    Err(Failed { exit: Exit::No, ..Failed::new(message).hint(hint) })
}

fn show(out: &mut impl Write, palette: Palette, published: &Published, before: &str) -> io::Result<()> {
    match published {
        Published::Proposed { proposal } => proposals::show_proposed(out, palette, proposal),
        Published::Current { publication, .. } if publication.revision == before => {
            let revision = palette.paint(Tone::Strong, short(&publication.revision));
            writeln!(out, "revision {revision} is current already; nothing was published")
        }
        Published::Current { publication, reach } => show_current(out, palette, publication, reach, "is current"),
    }
}

/// What is current now, what that changed, and where it is in force.
///
/// # Errors
/// The writer's.
pub fn show_current(
    out: &mut impl Write,
    palette: Palette,
    publication: &Publication,
    reach: &Reach,
    is: &str,
) -> io::Result<()> {
    let revision = palette.paint(Tone::Strong, short(&publication.revision));
    writeln!(out, "revision {revision} {is}: publication {}", publication.number)?;
    show_changes(out, publication, usize::MAX)?;
    show_reach(out, palette, reach)
}

/// How many of those that are missing are named.
const MISSING_SHOWN: usize = 8;

/// `in force at 2 of 3 enforcers`, and who is missing.
///
/// # Errors
/// The writer's.
pub fn show_reach(out: &mut impl Write, palette: Palette, reach: &Reach) -> io::Result<()> {
    let all = reach.in_force >= reach.enforcers;
    let words = match reach.enforcers {
        0 => "no enforcer joined yet".to_owned(),
        1 if all => "in force at the one enforcer".to_owned(),
        enforcers => {
            let of = count(enforcers, "enforcer", "enforcers");
            format!("in force at {} of {of}", reach.in_force)
        }
    };
    let tone = if all && reach.enforcers > 0 { Tone::Good } else { Tone::Caution };
    writeln!(out, "  {}", palette.paint(tone, &words))?;
    for one in reach.waiting.iter().take(MISSING_SHOWN) {
        writeln!(out, "     {}", harmless(one))?;
    }
    match reach.waiting.len().saturating_sub(MISSING_SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "     and {}; `countersign fleet` has all", count(more, "more", "more")),
    }
}

/// A revision as listings print it.
pub fn short(revision: &str) -> &str {
    revision.get(..7).unwrap_or(revision)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(reach: &Reach) -> String {
        let mut out = Vec::new();
        show_reach(&mut out, Palette::plain(), reach).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_says_where_it_is_in_force_and_who_is_missing() {
        let reach = |in_force, enforcers, missing: usize| Reach {
            in_force,
            enforcers,
            waiting: (1..=missing).map(|number| format!("edge-{number} is not connected since 09:14")).collect(),
        };
        assert_eq!(told(&reach(0, 0, 0)), "  no enforcer joined yet\n");
        assert_eq!(told(&reach(1, 1, 0)), "  in force at the one enforcer\n");
        assert_eq!(told(&reach(0, 1, 1)), "  in force at 0 of 1 enforcer\n     edge-1 is not connected since 09:14\n");
        assert_eq!(told(&reach(3, 3, 0)), "  in force at 3 of 3 enforcers\n");
        let many = told(&reach(1, 12, 11));
        assert!(
            many.ends_with("     edge-8 is not connected since 09:14\n     and 3 more; `countersign fleet` has all\n")
        );
    }
}
