//! `check DIR`: everything that is wrong with a trust directory, at once.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use trustdir::Revision;

use crate::args::Listing;
use crate::env::Env;
use crate::exit::{Exit, Outcome};
use crate::load::{counts, in_words, load};
use crate::term::{Palette, Tone, harmless, json, problems};

/// The last line of `--json`.
#[derive(Serialize)]
struct Valid {
    kind: &'static str,
    organisation: String,
    revision: String,
    #[serde(flatten)]
    counts: api::admin::Counts,
    /// What does not enforce, by domain.
    relaxed: BTreeMap<String, Vec<String>>,
}

/// Runs the command.
///
/// # Errors
/// When the directory is not there, or the output cannot be written.
pub fn run(args: &Listing, env: &Env) -> Outcome {
    let loaded = load(&args.dir)?;
    let (palette, mut out) = (Palette::stdout(env), io::stdout().lock());
    if args.json {
        problems::show_json(&mut out, &loaded.problems, &loaded.sources)?;
    } else if !loaded.problems.is_empty() {
        problems::show(&mut out, palette, &loaded.problems, &loaded.sources)?;
    }
    let Some(revision) = loaded.revision else { return Ok(Exit::No) };
    let organisation = revision.model().organisation.to_string();
    if args.json {
        let valid = Valid {
            kind: "revision",
            organisation,
            revision: revision.id().to_string(),
            counts: counts(&revision),
            relaxed: relaxed(&revision),
        };
        json::line(&mut out, &valid)?;
        return Ok(Exit::Yes);
    }
    let valid = palette.paint(Tone::Good, "valid");
    writeln!(out, "{organisation} is {valid}: revision {}", revision.id().short())?;
    writeln!(out, "  {}", in_words(counts(&revision)))?;
    for (domain, what) in relaxed(&revision) {
        let word = palette.paint(Tone::Caution, "relaxed");
        writeln!(out, "  {word} in {domain}: {}", harmless(&what.join(", ")))?;
    }
    Ok(Exit::Yes)
}

/// What each domain relaxes; domains in which everything enforces are left out.
fn relaxed(revision: &Revision) -> BTreeMap<String, Vec<String>> {
    let all = revision.domains().keys().map(|domain| (domain.to_string(), revision.relaxed(domain)));
    all.filter(|(_, what)| !what.is_empty()).collect()
}
