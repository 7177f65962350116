//! Policies in a story, clause by clause.

use std::io::{self, Write};

use api::admin::{Clause, NearPermit, PolicyNote};

use super::{INDENT, Teller, WIDTH, place, wrapped};
use crate::term::{Palette, Tone, harmless, harmless_lines};

/// The longest clause that has its value beside it.
const BESIDE: usize = 56;

impl Teller {
    /// The permits that came near, within the step of the policies: the first with all of its clauses, of the others what
    /// failed.
    pub(super) fn nearest(&self, out: &mut impl Write, nearest: &[NearPermit]) -> io::Result<()> {
        for (at, permit) in nearest.iter().enumerate() {
            let which = if at == 0 { "nearest:" } else { "then:" };
            let name = self.palette.paint(Tone::Strong, &harmless(&permit.id));
            writeln!(out, "{INDENT}{which} {name}{}", place(permit.path.as_deref(), permit.line))?;
            let shown: Vec<&Clause> =
                permit.clauses.iter().filter(|clause| at == 0 || clause.holds != Some(true)).collect();
            self.clauses(out, &format!("{INDENT}  "), &shown)?;
        }
        Ok(())
    }

    /// A policy that decided, or would have. Of what is generated the step says everything.
    pub(super) fn policy(&self, out: &mut impl Write, policy: &PolicyNote) -> io::Result<()> {
        if policy.generated {
            return Ok(());
        }
        let name = self.palette.paint(Tone::Strong, &harmless(&policy.id));
        let place = place(policy.path.as_deref(), policy.line);
        writeln!(out, "\n  {} {name}{place}", harmless(&policy.effect))?;
        for line in wrapped(&harmless(&policy.reason), WIDTH - 4) {
            writeln!(out, "    {line}")?;
        }
        if policy.clauses.is_empty() {
            return self.source(out, &policy.source);
        }
        if policy.effect == "permit" {
            return self.clauses(out, "    ", &policy.clauses.iter().collect::<Vec<_>>());
        }
        let matches = policy.clauses.iter().all(|clause| clause.holds == Some(true));
        let words = if matches { "it matches, because" } else { "as far as it could be evaluated:" };
        writeln!(out, "    {words}")?;
        self.clauses(out, "      ", &policy.clauses.iter().collect::<Vec<_>>())
    }

    fn source(&self, out: &mut impl Write, source: &str) -> io::Result<()> {
        for line in harmless_lines(source).lines().filter(|line| !line.trim_start().starts_with('@')) {
            writeln!(out, "    {}", self.palette.paint(Tone::Quiet, &format!("| {line}")).trim_end())?;
        }
        Ok(())
    }

    /// One clause a line, the values in a column of their own.
    fn clauses(&self, out: &mut impl Write, indent: &str, clauses: &[&Clause]) -> io::Result<()> {
        let texts: Vec<String> = clauses.iter().map(|clause| harmless(&clause.text).into_owned()).collect();
        let lengths = texts.iter().map(|text| text.chars().count()).filter(|length| *length <= BESIDE);
        let width = lengths.max().unwrap_or_default();
        for (clause, text) in clauses.iter().zip(&texts) {
            let (mark, was) = (mark(self.palette, clause.holds), value(clause));
            if text.chars().count() <= width && indent.len() + width + was.chars().count() < WIDTH + BESIDE / 2 {
                writeln!(out, "{}", format!("{indent}{mark} {text:<width$}   {was}").trim_end())?;
                continue;
            }
            for (at, line) in wrapped(text, WIDTH - indent.len()).iter().enumerate() {
                let before = if at == 0 { mark.as_str() } else { " " };
                writeln!(out, "{indent}{before} {line}")?;
            }
            for line in wrapped(&was, WIDTH - indent.len()).iter().filter(|line| !line.is_empty()) {
                writeln!(out, "{indent}    {line}")?;
            }
        }
        Ok(())
    }
}

fn mark(palette: Palette, holds: Option<bool>) -> String {
    match holds {
        Some(true) => palette.paint(Tone::Good, "✓"),
        Some(false) => palette.paint(Tone::Bad, "✗"),
        None => palette.paint(Tone::Quiet, "–"),
    }
}

/// `was 50` of a clause that failed, `50` of one that held and does not say so itself.
fn value(clause: &Clause) -> String {
    let was = harmless(&clause.was);
    let is_word = was.starts_with("no ") || was.starts_with("nobody ");
    let said = clause.text.contains(&format!("\"{}\"", clause.was.trim_matches('"')));
    match clause.holds {
        None if was.is_empty() => "not asked".to_owned(),
        None => format!("could not be evaluated: {was}"),
        Some(false) if !was.is_empty() && !is_word => format!("was {was}"),
        Some(true) if clause.text.starts_with("unless ") && !was.is_empty() && !is_word => format!("but was {was}"),
        Some(true) if said => String::new(),
        Some(_) => was.into_owned(),
    }
}
