//! `proposals`, `approve`, `withdraw`: publications that wait for the owners of what they touch.

use std::io::{self, Write};

use api::admin::{Approve, Need, Proposal, PublicationKind, Published, Withdraw};
use runtime::clock::SystemClock;
use types::{Clock, Timestamp};

use crate::admin_client::AdminClient;
use crate::args;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::publish::{short, show_current};
use crate::tasks;
use crate::term::time::Times;
use crate::term::{Palette, Tone, count, harmless, json};

/// How many changes, or reasons of one need, are shown.
const SHOWN: usize = 6;

/// Runs `proposals`.
///
/// # Errors
/// When nothing runs.
pub fn run(args: &args::Asking, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
    let (proposals, running) = tasks::block_on(async {
        let proposals = client.proposals().await?;
        Ok::<_, Failed>((proposals, client.status().await?.revision))
    })??;
    let mut out = io::stdout().lock();
    if args.json {
        json::lines(&mut out, &proposals)?;
    } else {
        list(&mut out, Palette::stdout(env), &Times::local(), SystemClock.now(), &proposals, &running)?;
    }
    Ok(Exit::Yes)
}

/// Runs `approve`.
///
/// # Errors
/// When nothing runs, or the proposal is not what the operator looked at, or not theirs to approve.
pub fn approve(args: args::Approve, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
    let request = Approve { number: args.number, revision: args.revision, why: args.why };
    let published = tasks::block_on(client.approve(&request))??;
    let (palette, mut out) = (Palette::stdout(env), io::stdout().lock());
    match &published {
        _ if args.json => json::line(&mut out, &published)?,
        Published::Current { publication, reach } => show_current(&mut out, palette, publication, reach, "is current")?,
        Published::Proposed { proposal } => {
            writeln!(out, "proposal {} has your approval and waits for others", proposal.number)?;
            show_needs(&mut out, palette, &proposal.needs)?;
        }
    }
    Ok(Exit::Yes)
}

/// Runs `withdraw`.
///
/// # Errors
/// When nothing runs, or the proposal is not the operator's to take back.
pub fn withdraw(args: args::Withdraw, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
    let withdrawn = tasks::block_on(client.withdraw(&Withdraw { number: args.number, why: args.why }))??;
    let mut out = io::stdout().lock();
    if args.json {
        json::line(&mut out, &withdrawn)?;
    } else {
        writeln!(out, "proposal {} is withdrawn; what runs goes on", withdrawn.number)?;
    }
    Ok(Exit::Yes)
}

fn list(
    out: &mut impl Write,
    palette: Palette,
    times: &Times,
    now: Timestamp,
    proposals: &[Proposal],
    running: &str,
) -> io::Result<()> {
    if proposals.is_empty() {
        return writeln!(out, "nothing waits for approval; `countersign publish DIR` proposes where owners have a say");
    }
    writeln!(out, "{} for approval", count(proposals.len(), "publication waits", "publications wait"))?;
    for one in proposals {
        let what = if one.kind == PublicationKind::Rollback { "rollback to" } else { "publish" };
        let why = if one.why.is_empty() { String::new() } else { format!(": {}", one.why) };
        writeln!(
            out,
            "\n{:>3}  {} {}   {} by {}{}",
            one.number,
            what,
            palette.paint(Tone::Strong, short(&one.revision)),
            times.minute(one.at, now),
            harmless(&one.operator),
            harmless(&why)
        )?;
        if one.base == running {
            show_body(out, palette, one)?;
        } else {
            show_over(out, palette, one)?;
        }
    }
    Ok(())
}

/// One that nobody can approve any more.
fn show_over(out: &mut impl Write, palette: Palette, proposal: &Proposal) -> io::Result<()> {
    let over = palette.paint(Tone::Caution, "over");
    writeln!(out, "     {over}: it was made while revision {} ran; publish the files again", short(&proposal.base))?;
    writeln!(out, "     countersign withdraw {}", proposal.number)
}

/// What became of files that have to wait: what they change, who has to say yes, and the commands for it.
///
/// # Errors
/// The writer's.
pub fn show_proposed(out: &mut impl Write, palette: Palette, proposal: &Proposal) -> io::Result<()> {
    let waits = palette.paint(Tone::Caution, "waits for approval");
    let revision = palette.paint(Tone::Strong, short(&proposal.revision));
    writeln!(out, "revision {revision} {waits}: proposal {}; what ran goes on", proposal.number)?;
    show_body(out, palette, proposal)
}

fn show_body(out: &mut impl Write, palette: Palette, proposal: &Proposal) -> io::Result<()> {
    for change in proposal.changes.iter().take(SHOWN) {
        writeln!(out, "     {}", harmless(change))?;
    }
    more(out, proposal.changes.len(), "change")?;
    show_needs(out, palette, &proposal.needs)?;
    writeln!(out, "     countersign approve {} {}", proposal.number, short(&proposal.revision))?;
    writeln!(out, "     countersign withdraw {}", proposal.number)
}

/// Who approved what, and who has to: `missing  domains/finance   operator:alice or operator:bob`.
fn show_needs(out: &mut impl Write, palette: Palette, needs: &[Need]) -> io::Result<()> {
    let width = needs.iter().map(|need| folder(need).chars().count()).max().unwrap_or_default();
    for need in needs {
        let folder = folder(need);
        let (word, tone, who) = if need.approved_by.is_empty() {
            ("missing ", Tone::Caution, format!("one of {}", need.owners.join(", ")))
        } else {
            ("approved", Tone::Good, format!("by {}", need.approved_by))
        };
        let who = if need.owners.len() == 1 { who.replacen("one of ", "", 1) } else { who };
        writeln!(
            out,
            "     {}  {}  {}",
            palette.paint(tone, word),
            harmless(&format!("{folder:<width$}")),
            harmless(&who)
        )?;
        for because in need.because.iter().take(SHOWN) {
            writeln!(out, "               {}", palette.paint(Tone::Quiet, &harmless(because)))?;
        }
        more(out, need.because.len(), "reason")?;
    }
    Ok(())
}

/// `.` is the organisation's own.
fn folder(need: &Need) -> &str {
    if need.folder == "." { "organisation" } else { &need.folder }
}

fn more(out: &mut impl Write, all: usize, what: &str) -> io::Result<()> {
    match all.saturating_sub(SHOWN) {
        0 => Ok(()),
        left => {
            writeln!(out, "     and {}; --json has all", count(left, &format!("more {what}"), &format!("more {what}s")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(folder: &str, owners: &[&str], because: &[&str], approved_by: &str) -> Need {
        let texts = |some: &[&str]| some.iter().map(ToString::to_string).collect();
        Need { folder: folder.into(), owners: texts(owners), because: texts(because), approved_by: approved_by.into() }
    }

    fn proposal(kind: PublicationKind) -> Proposal {
        Proposal {
            number: 3,
            revision: "3f9c21e".repeat(9),
            base: "2f9c21e".repeat(9),
            kind,
            at: Timestamp::from_seconds(1_795_425_242),
            operator: "carol".into(),
            why: "month end\u{1b}[2J".into(),
            changes: vec!["policy finance/freeze added".into(), "finance: mode goes from enforce to shadow".into()],
            needs: vec![
                need("domains/finance", &["operator:alice", "operator:bob"], &["domains/finance/domain.yaml"], "bob"),
                need(".", &["operator:root"], &["finance: mode goes from enforce to shadow"], ""),
            ],
        }
    }

    fn told(show: impl Fn(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        show(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_proposal_says_what_it_changes_who_is_missing_and_what_to_type() {
        let told = told(|out| show_proposed(out, Palette::plain(), &proposal(PublicationKind::Publish)));
        insta::assert_snapshot!(told, @r"
        revision 3f9c21e waits for approval: proposal 3; what ran goes on
             policy finance/freeze added
             finance: mode goes from enforce to shadow
             approved  domains/finance  by bob
                       domains/finance/domain.yaml
             missing   organisation     operator:root
                       finance: mode goes from enforce to shadow
             countersign approve 3 3f9c21e
             countersign withdraw 3
        ");
    }

    #[test]
    fn what_waits_is_listed_with_when_who_and_why() {
        let now = Timestamp::from_seconds(1_795_425_300);
        let list =
            |some: &[Proposal]| told(|out| list(out, Palette::plain(), &Times::utc(), now, some, &"2f9c21e".repeat(9)));
        let mut back = proposal(PublicationKind::Rollback);
        back.needs = vec![need("domains/hr", &["operator:alice", "operator:bob"], &["domains/hr/domain.yaml"], "")];
        back.changes = (1..=8).map(|number| format!("change {number}")).collect();
        insta::assert_snapshot!(list(&[back]), @r"
        1 publication waits for approval

          3  rollback to 3f9c21e   09:14 by carol: month end�[2J
             change 1
             change 2
             change 3
             change 4
             change 5
             change 6
             and 2 more changes; --json has all
             missing   domains/hr  one of operator:alice, operator:bob
                       domains/hr/domain.yaml
             countersign approve 3 3f9c21e
             countersign withdraw 3
        ");
        let over = Proposal { base: "0a".repeat(32), ..proposal(PublicationKind::Publish) };
        let told = list(&[over]);
        assert!(told.contains("over: it was made while revision 0a0a0a0 ran; publish the files again"), "{told}");
        assert!(told.contains("countersign withdraw 3") && !told.contains("countersign approve"), "{told}");
        assert!(list(&[]).starts_with("nothing waits for approval"));
    }
}
