//! `doctor`: what works, and what somebody should look at.

use std::io::{self, Write};

use api::admin::{Finding, Severity};

use crate::admin_client::AdminClient;
use crate::args::Asking;
use crate::env::Env;
use crate::exit::{Exit, Outcome};
use crate::tasks;
use crate::term::{Palette, Tone, count, harmless, json};

/// Runs the command.
///
/// # Errors
/// When no process runs.
pub fn run(args: &Asking, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
    let mut findings = tasks::block_on(client.doctor())??;
    findings.sort_by_key(|finding| finding.severity);
    let mut out = io::stdout().lock();
    if args.json {
        json::lines(&mut out, &findings)?;
    } else {
        show(&mut out, Palette::stdout(env), &findings)?;
    }
    let ill = findings.iter().any(|finding| finding.severity == Severity::Problem);
    Ok(if ill { Exit::No } else { Exit::Yes })
}

fn show(out: &mut impl Write, palette: Palette, findings: &[Finding]) -> io::Result<()> {
    let width = findings.iter().map(|finding| finding.subject.chars().count()).max().unwrap_or_default();
    for finding in findings {
        let (word, tone) = match finding.severity {
            Severity::Problem => ("✗ problem", Tone::Bad),
            Severity::Warning => ("– warning", Tone::Caution),
            Severity::Good => ("✓ good   ", Tone::Good),
        };
        let (subject, message) = (harmless(&finding.subject), harmless(&finding.message));
        writeln!(out, "{}  {subject:<width$}  {message}", palette.paint(tone, word))?;
        if !finding.hint.is_empty() {
            writeln!(out, "{:11}{:width$}  {}", "", "", harmless(&finding.hint))?;
        }
    }
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let problems = match of(Severity::Problem) {
        0 => "no problem".to_owned(),
        some => count(some, "problem", "problems"),
    };
    let warnings = count(of(Severity::Warning), "warning", "warnings");
    writeln!(out, "\n{problems}, {warnings}, {} as it should be", of(Severity::Good))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_say_what_was_looked_at_what_was_found_and_what_to_do() {
        let one = |severity, subject: &str, message: &str, hint: &str| Finding {
            severity,
            subject: subject.into(),
            message: message.into(),
            hint: hint.into(),
        };
        let findings = [
            one(Severity::Problem, "decision log", "full in 2 hours", "raise `max_size` in node.yaml"),
            one(Severity::Good, "store", "writes in 2 ms", ""),
        ];
        let mut out = Vec::new();
        show(&mut out, Palette::plain(), &findings).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
✗ problem  decision log  full in 2 hours
                         raise `max_size` in node.yaml
✓ good     store         writes in 2 ms

1 problem, 0 warnings, 1 as it should be
"
        );
    }
}
