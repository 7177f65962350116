//! `revisions` and `rollback`: what was published, and the way back.

use std::io::{self, Write};

use api::admin::{Publication, PublicationKind, Published, Rollback};
use runtime::clock::SystemClock;
use types::{Clock, Timestamp};

use crate::admin_client::AdminClient;
use crate::args;
use crate::env::Env;
use crate::exit::{Exit, Outcome};
use crate::publish::short;
use crate::term::table::{Cell, Table};
use crate::term::time::Times;
use crate::term::{Palette, Tone, count, harmless, json};
use crate::{proposals, publish, tasks};

/// How many changes of one publication a listing shows.
const CHANGES_SHOWN: usize = 4;

/// Runs `revisions`.
///
/// # Errors
/// When no process runs.
pub fn run(args: &args::Revisions, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
    let publications = tasks::block_on(client.publications(args.limit))??;
    let mut out = io::stdout().lock();
    if args.json {
        json::lines(&mut out, &publications)?;
    } else {
        show(&mut out, Palette::stdout(env), &Times::local(), SystemClock.now(), &publications)?;
    }
    Ok(Exit::Yes)
}

/// Runs `rollback`.
///
/// # Errors
/// When no process runs, or there is no such revision.
pub fn rollback(args: args::Rollback, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
    let request = Rollback { revision: args.revision, why: args.why };
    let before = tasks::block_on(client.status())??.revision;
    let published = tasks::block_on(client.rollback(&request))??;
    let (palette, mut out) = (Palette::stdout(env), io::stdout().lock());
    if args.json {
        json::line(&mut out, &published)?;
    } else {
        show_rollback(&mut out, palette, &published, &before)?;
    }
    Ok(publish::exit_of(&published))
}

/// Going back to what is current goes nowhere, and says so.
fn show_rollback(out: &mut impl Write, palette: Palette, published: &Published, before: &str) -> io::Result<()> {
    match published {
        Published::Proposed { proposal } => proposals::show_proposed(out, palette, proposal),
        Published::Current { publication, .. } if publication.revision == before => {
            let revision = palette.paint(Tone::Strong, short(&publication.revision));
            writeln!(out, "revision {revision} is current already; nothing was rolled back")
        }
        Published::Current { publication, reach } => {
            publish::show_current(out, palette, publication, reach, "is current again")
        }
    }
}

fn show(
    out: &mut impl Write,
    palette: Palette,
    times: &Times,
    now: Timestamp,
    publications: &[Publication],
) -> io::Result<()> {
    if publications.is_empty() {
        return writeln!(out, "nothing was published yet; `countersign publish DIR` does");
    }
    let mut table = Table::default();
    for one in publications {
        let mark = if one.current { Cell::new("current").tone(Tone::Good) } else { "".into() };
        table.row([
            Cell::number(&one.number.to_string()),
            Cell::new(short(&one.revision)).tone(Tone::Strong),
            mark,
            times.minute(one.at, now).into(),
            kind(one.kind).into(),
            one.operator.as_str().into(),
            one.why.as_str().into(),
        ]);
    }
    // a line of the table, then what that publication changed
    for (line, one) in table.render(palette).lines().zip(publications) {
        writeln!(out, "{line}")?;
        show_changes(out, one, CHANGES_SHOWN)?;
    }
    Ok(())
}

const fn kind(kind: PublicationKind) -> &'static str {
    match kind {
        PublicationKind::First => "first",
        PublicationKind::Publish => "publish",
        PublicationKind::Rollback => "rollback",
    }
}

/// What a publication changed, one sentence a line.
///
/// # Errors
/// The writer's.
pub fn show_changes(out: &mut impl Write, publication: &Publication, most: usize) -> io::Result<()> {
    for change in publication.changes.iter().take(most) {
        writeln!(out, "     {}", harmless(change))?;
    }
    match publication.changes.len().saturating_sub(most) {
        0 => Ok(()),
        more => writeln!(out, "     and {}; --json has all", count(more, "more change", "more changes")),
    }
}

#[cfg(test)]
mod tests {
    use api::admin::Reach;

    use super::*;

    fn publication(number: u64, kind: PublicationKind, why: &str, changes: &[&str]) -> Publication {
        Publication {
            number,
            revision: format!("{number}f9c21e").repeat(8),
            kind,
            at: Timestamp::from_seconds(1_795_425_242),
            operator: "local".into(),
            why: why.into(),
            changes: changes.iter().map(ToString::to_string).collect(),
            approvals: Vec::new(),
            current: number == 2,
        }
    }

    #[test]
    fn a_rollback_to_what_is_current_says_that_nothing_happened() {
        let back = publication(3, PublicationKind::Rollback, "", &["policy finance/freeze removed"]);
        let shown = |before: &str| {
            let mut out = Vec::new();
            let reach = Reach { in_force: 1, enforcers: 1, waiting: Vec::new() };
            let back = Published::Current { publication: back.clone(), reach };
            show_rollback(&mut out, Palette::plain(), &back, before).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(&back.revision), "revision 3f9c21e is current already; nothing was rolled back\n");
        let other = "2f9c21e".repeat(8);
        assert_eq!(
            shown(&other),
            "revision 3f9c21e is current again: publication 3\n     policy finance/freeze removed\n  \
             in force at the one enforcer\n"
        );
    }

    #[test]
    fn publications_say_when_who_why_and_what() {
        let changes = ["a", "b", "c", "d", "e", "f\u{1b}[2J"];
        let listed = [
            publication(2, PublicationKind::Publish, "month end", &["policy finance/freeze added"]),
            publication(1, PublicationKind::First, "", &changes),
        ];
        let mut out = Vec::new();
        let now = Timestamp::from_seconds(1_795_425_300);
        show(&mut out, Palette::plain(), &Times::utc(), now, &listed).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
2  2f9c21e  current  09:14  publish  local  month end
     policy finance/freeze added
1  1f9c21e           09:14  first    local
     a
     b
     c
     d
     and 2 more changes; --json has all
"
        );
    }
}
