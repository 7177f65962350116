//! `identity rotate-root`: a new root, or a new JWT key, for a domain; each step, and whom it waits for.

use std::io::{self, Write};
use std::time::Duration;

use api::admin::{Keys, Rotate, Rotation, RotationAct, RotationPhase};
use runtime::clock::SystemClock;
use types::{Clock, Label, Timestamp};

use super::span;
use crate::admin_client::AdminClient;
use crate::args::RotateRoot;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::term::table::{Cell, Table};
use crate::term::time::Times;
use crate::term::{Palette, Tone, count, harmless, json};
use crate::{publish, tasks};

/// How often it is looked how far the rotation has come.
const LOOK: Duration = Duration::from_millis(500);
/// Digits of a key that are shown: enough to tell two apart.
const DIGITS: usize = 16;
/// How many of those that are waited for are named.
const NAMED: usize = 12;

/// Runs the command.
///
/// # Errors
/// When nothing runs, there is no such domain, the step cannot be taken from where it is, or policy refuses.
pub fn run(args: &RotateRoot, env: &Env) -> Outcome {
    if args.reason.as_deref().is_some_and(|reason| reason.trim().is_empty()) {
        let hint = "say what happened: it stands in the record, and in what whoever asks later will read";
        return Err(Failed::usage("the reason is empty").hint(hint));
    }
    if args.domain.is_none() && args.reason.is_some() {
        return Err(Failed::usage("a reason without a domain").hint("name the domain whose root is to be replaced"));
    }
    let client = AdminClient::to(env, &args.target)?;
    let screen = Screen { palette: Palette::stdout(env), times: Times::local(), json: args.json };
    match &args.domain {
        None => list(&client, &screen),
        Some(domain) => tasks::block_on(rotate(args, domain, &client, &screen))?,
    }
}

fn list(client: &AdminClient, screen: &Screen) -> Outcome {
    let all = tasks::block_on(client.rotations())??;
    let mut out = io::stdout().lock();
    if screen.json {
        json::lines(&mut out, &all)?;
        return Ok(Exit::Yes);
    }
    screen.list(&mut out, &all, SystemClock.now())?;
    Ok(Exit::Yes)
}

async fn rotate(args: &RotateRoot, domain: &Label, client: &AdminClient, screen: &Screen) -> Outcome {
    let keys = if args.jwt { Keys::Jwt } else { Keys::X509 };
    let act = match (args.back, args.emergency) {
        (true, _) => RotationAct::Back,
        (_, true) => RotationAct::Emergency,
        _ => RotationAct::Start,
    };
    let reason = args.reason.clone().unwrap_or_default();
    let mut now = client.rotate(&Rotate { domain: domain.to_string(), keys, act, reason }).await?;
    screen.step(&mut io::stdout().lock(), &now)?;
    let waits = act == RotationAct::Start && !args.no_wait;
    while waits && is_waited_for(&now) {
        tokio::time::sleep(LOOK).await;
        let all = client.rotations().await.map_err(goes_on)?;
        let found = all.into_iter().find(|one| one.domain == now.domain && one.keys == keys);
        let found = found.ok_or_else(|| Failed::new(format!("domain `{domain}` is gone")))?;
        if differs(&now, &found) {
            screen.step(&mut io::stdout().lock(), &found)?;
        }
        now = found;
    }
    screen.end(&mut io::stdout().lock(), &now, act)?;
    // who waited for a key that signs, and sees it taken back by somebody else, was not given what they asked for
    Ok(if waits && now.held { Exit::No } else { Exit::Yes })
}

/// Until the new key signs. What follows takes as long as the old one's last signature is good.
const fn is_waited_for(rotation: &Rotation) -> bool {
    let before =
        matches!(rotation.phase, RotationPhase::Prepared | RotationPhase::Published | RotationPhase::Acknowledged);
    before && !rotation.held
}

/// Whether there is something new to say.
fn differs(then: &Rotation, now: &Rotation) -> bool {
    (then.phase, then.held) != (now.phase, now.held)
        || then.waiting_for != now.waiting_for
        || then.given_up != now.given_up
}

fn goes_on(failed: Failed) -> Failed {
    failed.hint("the rotation goes on by itself in control; `countersign identity rotate-root` says how far it is")
}

/// `the root of finance`.
fn name(rotation: &Rotation) -> String {
    let what = match rotation.keys {
        Keys::X509 => "root",
        Keys::Jwt => "JWT key",
    };
    format!("the {what} of {}", rotation.domain)
}

/// What has happened when a phase is reached, in words.
const fn word(phase: RotationPhase) -> &'static str {
    match phase {
        RotationPhase::Idle => "at rest",
        RotationPhase::Prepared => "prepared",
        RotationPhase::Published => "published",
        RotationPhase::Acknowledged => "acknowledged",
        RotationPhase::Signing => "signing",
    }
}

/// Where it is shown, and how.
struct Screen {
    palette: Palette,
    times: Times,
    json: bool,
}

impl Screen {
    fn list(&self, out: &mut impl Write, all: &[Rotation], now: Timestamp) -> io::Result<()> {
        if all.is_empty() {
            return writeln!(out, "no domain has a key yet; `countersign publish DIR` makes them");
        }
        let mut table = Table::default();
        for one in all {
            let (state, tone) = match (one.phase, one.held) {
                (RotationPhase::Idle, _) => ("at rest".to_owned(), Tone::Quiet),
                (phase, true) => (format!("taken back to {}", word(phase)), Tone::Caution),
                (phase, false) => (word(phase).to_owned(), Tone::Strong),
            };
            let since = one.since.map(|at| format!("since {}", self.times.minute(at, now))).unwrap_or_default();
            let ends = one.not_after.map(|end| format!("ends in {}", span(end.micros_since(now) / 1_000_000)));
            table.row([
                one.domain.as_str().into(),
                if one.keys == Keys::X509 { "root" } else { "JWT key" }.into(),
                Cell::new(&state).tone(tone),
                since.into(),
                one.current.chars().take(DIGITS).collect::<String>().into(),
                one.key.as_str().into(),
                ends.unwrap_or_default().into(),
            ]);
        }
        out.write_all(table.render(self.palette).as_bytes())?;
        all.iter().filter(|one| one.phase != RotationPhase::Idle).try_for_each(|one| self.laggards(out, one))
    }

    /// One line for what was reached, and below it whom it waits for.
    fn step(&self, out: &mut impl Write, rotation: &Rotation) -> io::Result<()> {
        if self.json {
            return json::line(out, rotation);
        }
        let clock = rotation.since.map(|at| self.times.clock(at)).unwrap_or_default();
        // steps are taken in whole seconds
        let at = clock.split('.').next().unwrap_or_default();
        let digits = |text: &str| harmless(&text.chars().take(DIGITS).collect::<String>()).into_owned();
        let (current, other) = (digits(&rotation.current), digits(&rotation.other));
        let said = match rotation.phase {
            RotationPhase::Idle => format!("{current} signs, and nothing else does"),
            RotationPhase::Prepared => format!("{other} is made; nobody knows it yet"),
            RotationPhase::Published => format!("{other} is in the bundle; {current} signs"),
            RotationPhase::Acknowledged => format!("everybody has {other}; {current} signs"),
            RotationPhase::Signing => format!("{current} signs; {other} is still believed"),
        };
        let tone = if rotation.held { Tone::Caution } else { Tone::Good };
        let word = self.palette.paint(tone, &format!("{:<12}", word(rotation.phase)));
        writeln!(out, "{at:<8}  {word}  {}: {said}", harmless(&name(rotation)))?;
        self.laggards(out, rotation)
    }

    fn laggards(&self, out: &mut impl Write, rotation: &Rotation) -> io::Result<()> {
        let name = name(rotation);
        for (words, whom) in [("waits for", &rotation.waiting_for), ("does not wait for", &rotation.given_up)] {
            if whom.is_empty() {
                continue;
            }
            let head = self.palette.paint(Tone::Caution, words);
            writeln!(out, "  {} {head}", harmless(&name))?;
            for one in whom.iter().take(NAMED) {
                writeln!(out, "     {}", harmless(one))?;
            }
            match whom.len().saturating_sub(NAMED) {
                0 => {}
                more => writeln!(out, "     and {}; `countersign fleet` has all", count(more, "more", "more"))?,
            }
        }
        Ok(())
    }

    /// What comes next, and what to do.
    fn end(&self, out: &mut impl Write, rotation: &Rotation, act: RotationAct) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        if let Some(reach) = rotation.reach.as_ref().filter(|_| act == RotationAct::Emergency) {
            publish::show_reach(out, self.palette, reach)?;
        }
        let domain = crate::shell::quote(&harmless(&rotation.domain));
        let jwt = if rotation.keys == Keys::Jwt { " --jwt" } else { "" };
        match (act, rotation.phase) {
            (RotationAct::Emergency, _) => {
                let what = "what the old key signed is good no more; agents and proxies fetch anew at once";
                writeln!(out, "  {what}, and `countersign identity list` shows who has")
            }
            (_, RotationPhase::Idle) => Ok(()),
            _ if rotation.held => {
                writeln!(out, "  it stays there; `countersign identity rotate-root {domain}{jwt}` lets it go on")
            }
            (_, RotationPhase::Signing) => {
                let until = rotation.retires_at.map(|at| format!(", at {}", self.times.second(at))).unwrap_or_default();
                writeln!(out, "  the old one leaves the bundle when nothing that it signed is good any more{until}")
            }
            _ => writeln!(
                out,
                "  it goes on by itself; `countersign identity rotate-root` says how far it is, \
                 `countersign identity rotate-root {domain}{jwt} --back` takes it back"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
