//! `revoke`, `restore`, `subjects`: trust that is taken away, and given back.

use std::io::{self, Write};

use api::admin::{Restore, Revocation, Revoke};
use runtime::clock::SystemClock;
use types::{Clock, Timestamp};

use crate::admin_client::AdminClient;
use crate::args;
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::term::table::{Cell, Table};
use crate::term::time::Times;
use crate::term::{Palette, Tone, duration, harmless, json};
use crate::{publish, tasks};

/// Runs `revoke`.
///
/// # Errors
/// When no process runs, or the subject is unknown or may not be revoked.
pub fn revoke(args: args::Revoke, env: &Env) -> Outcome {
    if args.reason.trim().is_empty() {
        let hint = "it is what whoever finds the subject refused will read";
        return Err(Failed::usage("a revocation needs a reason").hint(hint));
    }
    let seconds = args.time.map(duration::whole_seconds).transpose()?;
    let client = AdminClient::to(env, &args.target)?;
    let request = Revoke { subject: args.subject, reason: args.reason, seconds };
    let revoked = tasks::block_on(client.revoke(&request))??;
    let (palette, mut out) = (Palette::stdout(env), io::stdout().lock());
    if args.json {
        json::line(&mut out, &revoked)?;
        return Ok(Exit::Yes);
    }
    let subject = harmless(&revoked.subject).into_owned();
    writeln!(out, "{subject} is {} {}", palette.paint(Tone::Bad, "revoked"), until(&revoked, &Times::local()))?;
    note(&mut out, &revoked)?;
    writeln!(out, "  every call of it is refused from now on, and what it had open is cut (epoch {})", revoked.epoch)?;
    reach(&mut out, palette, &revoked)?;
    writeln!(out, "  `countersign restore {}` gives it back", crate::shell::quote(&subject))?;
    Ok(Exit::Yes)
}

/// Runs `restore`.
///
/// # Errors
/// When no process runs, or the subject is not revoked.
pub fn restore(args: args::Restore, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
    let request = Restore { subject: args.subject, reason: args.reason };
    let restored = tasks::block_on(client.restore(&request))??;
    let (palette, mut out) = (Palette::stdout(env), io::stdout().lock());
    if args.json {
        json::line(&mut out, &restored)?;
        return Ok(Exit::Yes);
    }
    let subject = harmless(&restored.subject).into_owned();
    writeln!(out, "{subject} is {}: policies decide about it again", palette.paint(Tone::Good, "restored"))?;
    note(&mut out, &restored)?;
    reach(&mut out, palette, &restored)?;
    Ok(Exit::Yes)
}

/// Runs `subjects`.
///
/// # Errors
/// When no process runs.
pub fn subjects(args: &args::Asking, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
    let revoked = tasks::block_on(client.revocations())??;
    let mut out = io::stdout().lock();
    if args.json {
        json::lines(&mut out, &revoked)?;
    } else {
        show(&mut out, Palette::stdout(env), &Times::local(), SystemClock.now(), &revoked)?;
    }
    Ok(Exit::Yes)
}

fn show(
    out: &mut impl Write,
    palette: Palette,
    times: &Times,
    now: Timestamp,
    revoked: &[Revocation],
) -> io::Result<()> {
    if revoked.is_empty() {
        return writeln!(out, "nobody's trust is taken away; `countersign revoke SUBJECT --reason TEXT` does");
    }
    let mut table = Table::default();
    for one in revoked {
        let until = one.until.map_or_else(|| "for good".to_owned(), |end| format!("until {}", times.minute(end, now)));
        table.row([
            Cell::new(&one.subject).tone(Tone::Bad),
            format!("since {}", times.minute(one.at, now)).into(),
            until.into(),
            one.operator.as_str().into(),
            one.reason.as_str().into(),
        ]);
    }
    out.write_all(table.render(palette).as_bytes())
}

fn until(revoked: &Revocation, times: &Times) -> String {
    revoked.until.map_or_else(|| "until it is restored".to_owned(), |end| format!("until {}", times.second(end)))
}

/// Where it is in force, as far as control waited for it.
fn reach(out: &mut impl Write, palette: Palette, changed: &Revocation) -> io::Result<()> {
    changed.reach.as_ref().map_or(Ok(()), |reach| publish::show_reach(out, palette, reach))
}

fn note(out: &mut impl Write, revocation: &Revocation) -> io::Result<()> {
    if revocation.note.is_empty() { Ok(()) } else { writeln!(out, "  {}", harmless(&revocation.note)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_say_since_when_until_when_who_and_why() {
        let at = Timestamp::from_seconds(1_795_425_242);
        let one = |subject: &str, until| Revocation {
            subject: subject.into(),
            reason: "runner taken over\u{202e}".into(),
            operator: "local".into(),
            at,
            until,
            epoch: 3,
            note: String::new(),
            reach: None,
        };
        let listed =
            [one("spiffe://platform.acme.internal/ci", None), one("serial:5c1e08", Some(at.plus_seconds(3_600)))];
        let mut out = Vec::new();
        show(&mut out, Palette::plain(), &Times::utc(), at, &listed).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
spiffe://platform.acme.internal/ci  since 09:14  for good     local  runner taken over\u{fffd}
serial:5c1e08                       since 09:14  until 10:14  local  runner taken over\u{fffd}
"
        );
    }
}
