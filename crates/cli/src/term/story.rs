//! The story of one decision, told in the order in which it happened.

use std::io::{self, Write};

use api::admin::{Certificate, Decision, Explanation, Identity, PolicyNote, Step, StepResult};
use types::facts::Outcome;

use super::listing::{caller, route, status_of};
use super::time::Times;
use super::{Palette, Tone, count, duration, harmless, harmless_lines};

/// Where the second column of the steps begins.
const NAME: usize = 9;
/// Where the third does.
const INDENT: &str = "               ";
/// The widest line of prose.
const WIDTH: usize = 100;

/// Tells stories.
#[derive(Clone, Debug)]
pub struct Teller {
    /// Colour or none.
    pub palette: Palette,
    /// The reader's time zone.
    pub times: Times,
}

impl Teller {
    /// The whole story.
    ///
    /// # Errors
    /// The writer's.
    pub fn tell(&self, out: &mut impl Write, story: &Explanation) -> io::Result<()> {
        self.head(out, story)?;
        for step in &story.steps {
            self.step(out, step, &story.decision)?;
        }
        for policy in &story.policies {
            self.policy(out, policy)?;
        }
        for unknown in &story.unknown {
            writeln!(out, "\n  not known: {}", harmless(unknown))?;
        }
        writeln!(out)?;
        paragraph(out, &ending(story))
    }

    /// The short form: the answer, what decided it and what would have to change.
    ///
    /// # Errors
    /// The writer's.
    pub fn tell_shortly(&self, out: &mut impl Write, story: &Explanation) -> io::Result<()> {
        let decision = &story.decision;
        writeln!(out, "{}  {}  {}", self.outcome(decision), asked(decision), decision.id)?;
        for step in story.steps.iter().filter(|step| matches!(step.result, StepResult::Refused | StepResult::Failed)) {
            self.step(out, step, decision)?;
        }
        let by = if decision.outcome == Outcome::Allow { "by" } else { "because of" };
        if let Some((policy, more)) = story.policies.split_first() {
            writeln!(out, "  {by} {}{}", policy.id, place(policy))?;
            writeln!(out, "     {}", harmless(&policy.reason))?;
            if !more.is_empty() {
                writeln!(
                    out,
                    "     and {}; see `countersign explain`",
                    count(more.len(), "more policy", "more policies")
                )?;
            }
        }
        if decision.outcome == Outcome::Deny {
            paragraph(out, &ending(story))?;
        }
        Ok(())
    }

    fn outcome(&self, decision: &Decision) -> String {
        match decision.outcome {
            Outcome::Allow => self.palette.paint(Tone::Good, "allow"),
            Outcome::Deny => self.palette.paint(Tone::Bad, "DENY"),
        }
    }

    fn head(&self, out: &mut impl Write, story: &Explanation) -> io::Result<()> {
        let decision = &story.decision;
        let revision = match &decision.revision {
            None => "no revision".to_owned(),
            Some(id) => {
                let short: String = id.chars().take(7).collect();
                format!("revision {short}{}", if story.revision_in_force { " (in force)" } else { " (replaced since)" })
            }
        };
        let at = self.times.full(decision.at);
        writeln!(out, "{}  {}   {at}   {revision}   enforce\n", self.outcome(decision), decision.id)?;
        writeln!(out, "  {}\n", asked(decision))
    }

    fn step(&self, out: &mut impl Write, step: &Step, decision: &Decision) -> io::Result<()> {
        let (mark, tone) = match step.result {
            StepResult::Passed => ("✓", Some(Tone::Good)),
            StepResult::Refused | StepResult::Failed => ("✗", Some(Tone::Bad)),
            StepResult::NotReached => ("–", Some(Tone::Quiet)),
            StepResult::Pending => ("○", None),
            StepResult::Noted => (" ", None),
        };
        let mark = tone.map_or_else(|| mark.to_owned(), |tone| self.palette.paint(tone, mark));
        let word = match step.result {
            StepResult::Refused => self.palette.paint(Tone::Bad, "REFUSED") + "  ",
            StepResult::Failed => self.palette.paint(Tone::Bad, "FAILED") + "  ",
            StepResult::Passed | StepResult::NotReached | StepResult::Pending | StepResult::Noted => String::new(),
        };
        let summary = harmless(&step.summary);
        writeln!(out, "  {mark}  {:<NAME$} {word}{}", step.name, self.weigh(step.result, &summary))?;
        for fact in step.facts.iter().chain(&self.more(step, decision)) {
            for line in harmless_lines(fact).lines().flat_map(|line| wrapped(line, WIDTH - INDENT.len())) {
                writeln!(out, "{INDENT}{line}")?;
            }
        }
        Ok(())
    }

    fn weigh(&self, result: StepResult, text: &str) -> String {
        if result == StepResult::NotReached { self.palette.paint(Tone::Quiet, text) } else { text.to_owned() }
    }

    /// What the record holds as moments and lengths of time: they are shown in the reader's way.
    fn more(&self, step: &Step, decision: &Decision) -> Vec<String> {
        match (step.name.as_str(), &decision.identity, &decision.completion) {
            ("identity", Identity::Verified(certificate), _) => vec![self.certificate(certificate, decision)],
            ("upstream", _, Some(end)) => {
                vec![format!("{} from decision to end", duration::precise(end.duration_micros))]
            }
            ("policy", ..) if step.result == StepResult::Passed => Vec::new(),
            (_, _, _) if step.result == StepResult::Refused => {
                let status = status_of(&decision.reason);
                vec![if status == "TLS" { "the TLS handshake failed".to_owned() } else { format!("answered {status}") }]
            }
            _ => Vec::new(),
        }
    }

    fn certificate(&self, certificate: &Certificate, decision: &Decision) -> String {
        let serial: String = certificate.serial.chars().take(16).collect();
        let more = if certificate.serial.chars().nth(16).is_some() { "…" } else { "" };
        let from = self.times.minute(certificate.not_before, decision.at);
        let until = self.times.minute(certificate.not_after, decision.at);
        format!("certificate {serial}{more}, valid from {from} to {until}")
    }

    fn policy(&self, out: &mut impl Write, policy: &PolicyNote) -> io::Result<()> {
        let kind = if policy.generated { format!("generated {}", policy.effect) } else { policy.effect.clone() };
        writeln!(out, "\n  {kind} {}{}", self.palette.paint(Tone::Strong, &policy.id), place(policy))?;
        writeln!(out, "    {}", harmless(&policy.reason))?;
        for line in harmless_lines(&policy.source).lines().filter(|line| !line.trim_start().starts_with('@')) {
            writeln!(out, "    {}", self.palette.paint(Tone::Quiet, &format!("| {line}")).trim_end())?;
        }
        Ok(())
    }
}

/// `platform/ci asked hr/payroll for  GET /salaries/{id}`.
fn asked(decision: &Decision) -> String {
    let caller = caller(decision);
    match (decision.service.as_str(), decision.method.as_str()) {
        (_, "") if matches!(decision.identity, Identity::Verified(_)) => {
            format!("{caller} sent {} a request that could not be read", decision.host)
        }
        (_, "") if decision.host.is_empty() => {
            format!("{caller} opened a connection to listener {}", decision.listener)
        }
        (_, "") => format!("{caller} opened a connection to listener {} for {}", decision.listener, decision.host),
        ("", _) => format!("{caller} asked {} for  {}", decision.host, route(decision)),
        (service, _) => format!("{caller} asked {service} for  {}", route(decision)),
    }
}

/// `   domains/hr/policies/payroll.cedar:12`.
fn place(policy: &PolicyNote) -> String {
    match (&policy.path, policy.line) {
        (Some(path), Some(line)) => format!("   {}:{line}", harmless(path)),
        (Some(path), None) => format!("   {}", harmless(path)),
        (None, _) => String::new(),
    }
}

fn ending(story: &Explanation) -> String {
    let forwarded = if story.forwarded { "The call was forwarded." } else { "Nothing was forwarded." };
    if story.to_change.is_empty() { forwarded.to_owned() } else { format!("{} {forwarded}", story.to_change) }
}

fn paragraph(out: &mut impl Write, text: &str) -> io::Result<()> {
    for line in wrapped(&harmless(text), WIDTH) {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

/// Breaks text between words into lines of a width, in characters. A word that is longer stays whole.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let fits = line.chars().count().saturating_add(word.chars().count()) < width;
        if !line.is_empty() && !fits {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::super::listing::tests::decision;
    use super::*;

    fn step(name: &str, result: StepResult, summary: &str, facts: &[&str]) -> Step {
        let facts = facts.iter().map(|fact| (*fact).to_owned()).collect();
        Step { name: name.into(), result, summary: summary.into(), facts }
    }

    fn denied() -> Explanation {
        let decision = decision("platform/ci", ("hr/payroll", "GET", "/salaries/{id}"), "consent.provider", 0xc9);
        Explanation {
            decision,
            steps: vec![
                step("identity", StepResult::Passed, "verified", &["spiffe://platform.acme.internal/ci"]),
                step("risk", StepResult::Noted, "50", &[]),
                step("consent", StepResult::Refused, "the called domain does not accept it", &["consent.provider"]),
                step("policy", StepResult::NotReached, "not reached", &[]),
            ],
            policies: vec![PolicyNote {
                id: "hr/consent.accepts_from.payroll".into(),
                effect: "forbid".into(),
                reason: "hr accepts internal-tools for payroll".into(),
                path: Some("domains/hr/domain.yaml".into()),
                line: Some(7),
                generated: true,
                source: "@id(\"x\")\nforbid (principal, action, resource);\n".into(),
            }],
            revision_in_force: true,
            unknown: Vec::new(),
            forwarded: false,
            to_change: "To allow this call, hr would have to accept platform for hr/payroll.".into(),
        }
    }

    fn told(story: &Explanation) -> String {
        let mut out = Vec::new();
        Teller { palette: Palette::plain(), times: Times::utc() }.tell(&mut out, story).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_denial_is_told_in_order_with_what_would_have_to_change() {
        assert_eq!(
            told(&denied()),
            "DENY  01a207af-0c13-7102-8304-05060708a1c9   2026-11-23 09:14:02.131 UTC   revision 3f9c21e (in force)   enforce

  platform/ci asked hr/payroll for  GET /salaries/{id}

  ✓  identity  verified
               spiffe://platform.acme.internal/ci
               certificate 5c1e08, valid from 08:40 to 09:40
     risk      50
  ✗  consent   REFUSED  the called domain does not accept it
               consent.provider
               answered 403
  –  policy    not reached

  generated forbid hr/consent.accepts_from.payroll   domains/hr/domain.yaml:7
    hr accepts internal-tools for payroll
    | forbid (principal, action, resource);

  To allow this call, hr would have to accept platform for hr/payroll. Nothing was forwarded.
"
        );
    }

    #[test]
    fn the_short_form_says_what_decided() {
        let mut out = Vec::new();
        let teller = Teller { palette: Palette::plain(), times: Times::utc() };
        teller.tell_shortly(&mut out, &denied()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains("✗  consent   REFUSED") && text.contains("because of hr/consent.accepts_from.payroll"),
            "{text}"
        );
        assert!(!text.contains("identity"), "{text}");
    }

    #[test]
    fn escapes_in_notes_do_not_reach_the_terminal() {
        let mut story = denied();
        story.steps[2].facts.push("\u{1b}[2Jnote".into());
        story.policies[0].reason = "\u{1b}]0;x\u{7}".into();
        assert!(!told(&story).contains('\u{1b}'));
    }

    #[test]
    fn long_text_is_broken_between_words() {
        assert_eq!(wrapped("aa bb cc", 6), ["aa bb", "cc"]);
        assert_eq!(wrapped("aaaaaaaaaa b", 6), ["aaaaaaaaaa", "b"]);
        assert_eq!(wrapped("", 6), [""]);
    }
}
