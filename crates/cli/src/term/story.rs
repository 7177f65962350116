//! The story of one decision, told in the order in which it happened.

mod clauses;

use std::io::{self, Write};

use api::admin::{
    Answer, Certificate, Completion, Decision, Explanation, Identity, NearPermit, PolicyNote, Step, StepResult,
};
use types::facts::{Outcome, Protocol};
use types::{Reason, Timestamp};

use super::listing::{answered, caller, route, word};
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
        let mut passed_over: Vec<&str> = Vec::new();
        for step in &story.steps {
            if says_nothing(step, story) {
                passed_over.push(&step.name);
                continue;
            }
            self.not_reached(out, &std::mem::take(&mut passed_over))?;
            self.step(out, step, &story.decision)?;
            if step.name == "policy" {
                self.nearest(out, near(story))?;
            }
        }
        self.not_reached(out, &passed_over)?;
        for policy in &story.policies {
            self.policy(out, policy)?;
        }
        for unknown in &story.unknown {
            writeln!(out)?;
            paragraph(out, &format!("not known: {unknown}"))?;
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
        let speaks =
            |step: &&Step| matches!(step.result, StepResult::Refused | StepResult::Failed | StepResult::WouldRefuse);
        for step in story.steps.iter().filter(speaks) {
            self.step(out, step, decision)?;
            if step.name == "policy" {
                self.nearest(out, near(story).get(..1).unwrap_or_default())?;
            }
        }
        let by = if decision.outcome == Outcome::Allow { "by" } else { "because of" };
        let determining = |policy: &&PolicyNote| decision.determining.contains(&policy.id);
        let policies: Vec<&PolicyNote> = story.policies.iter().filter(determining).collect();
        if let Some((policy, more)) = policies.split_first() {
            writeln!(out, "  {by} {}{}", harmless(&policy.id), place(policy.path.as_deref(), policy.line))?;
            writeln!(out, "     {}", harmless(&policy.reason))?;
            if !more.is_empty() {
                let more = count(more.len(), "more policy", "more policies");
                writeln!(out, "     and {more}; see `countersign explain`")?;
            }
        }
        if decision.answer() != Answer::Allow {
            paragraph(out, &ending(story))?;
        }
        Ok(())
    }

    /// Steps to which the call did not get, on one line.
    fn not_reached(&self, out: &mut impl Write, names: &[&str]) -> io::Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let text = format!("–  not reached: {}", harmless(&names.join(", ")));
        writeln!(out, "  {}", self.palette.paint(Tone::Quiet, &text))
    }

    fn outcome(&self, decision: &Decision) -> String {
        let (word, tone) = word(decision.answer());
        self.palette.paint(tone, word)
    }

    fn head(&self, out: &mut impl Write, story: &Explanation) -> io::Result<()> {
        let decision = &story.decision;
        let mut parts = vec![self.times.full(decision.at), revision(story)];
        parts.extend(story.mode.map(|mode| mode.to_string()));
        writeln!(out, "{}  {}   {}\n", self.outcome(decision), decision.id, parts.join("   "))?;
        writeln!(out, "  {}\n", asked(decision))
    }

    fn step(&self, out: &mut impl Write, step: &Step, decision: &Decision) -> io::Result<()> {
        let (mark, tone) = match step.result {
            StepResult::Passed => ("✓", Some(Tone::Good)),
            StepResult::Refused | StepResult::Failed => ("✗", Some(Tone::Bad)),
            StepResult::NotReached => ("–", Some(Tone::Quiet)),
            StepResult::WouldRefuse => ("◐", Some(Tone::Caution)),
            StepResult::Pending => ("○", None),
            StepResult::Noted => (" ", None),
        };
        let mark = tone.map_or_else(|| mark.to_owned(), |tone| self.palette.paint(tone, mark));
        let word = match step.result {
            StepResult::Refused => self.palette.paint(Tone::Bad, "REFUSED") + "  ",
            StepResult::Failed => self.palette.paint(Tone::Bad, "FAILED") + "  ",
            StepResult::WouldRefuse => self.palette.paint(Tone::Caution, "WOULD REFUSE") + "  ",
            StepResult::Passed | StepResult::NotReached | StepResult::Pending | StepResult::Noted => String::new(),
        };
        let name = harmless(&step.name);
        writeln!(out, "  {mark}  {name:<NAME$} {word}{}", self.weigh(step.result, &harmless(&step.summary)))?;
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

    /// What the record holds as moments and lengths of time: they are shown in the reader's way. And what the answer was.
    fn more(&self, step: &Step, decision: &Decision) -> Vec<String> {
        let mut more = match (step.name.as_str(), &decision.identity, &decision.completion) {
            ("identity", Identity::Verified(certificate), _) => vec![self.certificate(certificate, decision)],
            ("upstream", _, Some(end)) => vec![lasted(end)],
            _ => Vec::new(),
        };
        if step.result == StepResult::Refused {
            let status = answered(decision);
            let answer =
                if status == "TLS" { "the TLS handshake failed".to_owned() } else { format!("answered {status}") };
            more.push(format!("{}, {answer}", decision.reason));
        }
        more
    }

    fn certificate(&self, certificate: &Certificate, decision: &Decision) -> String {
        let serial: String = certificate.serial.chars().take(16).collect();
        let more = if certificate.serial.chars().nth(16).is_some() { "…" } else { "" };
        let from = self.times.minute(certificate.not_before, decision.at);
        let until = self.times.minute(certificate.not_after, decision.at);
        format!("certificate {serial}{more}, valid from {from} to {until}")
    }
}

/// Whether a step has nothing to say but that it was not reached.
fn says_nothing(step: &Step, story: &Explanation) -> bool {
    let has_more = step.name == "policy" && !story.nearest.is_empty();
    step.result == StepResult::NotReached && step.facts.is_empty() && !has_more
}

/// The permits to show: all of them where it is for want of one that the call is or would be refused, else the first.
fn near(story: &Explanation) -> &[NearPermit] {
    let decision = &story.decision;
    let code = Reason::PolicyNoPermit.code();
    let all = decision.reason == code || decision.noted.iter().any(|noted| noted.reason == code);
    story.nearest.get(..if all { story.nearest.len() } else { 1 }).unwrap_or_default()
}

fn lasted(end: &Completion) -> String {
    format!("{} from decision to end", duration::precise(end.duration_micros))
}

/// `revision 3f9c21e (2 min old)`.
fn revision(story: &Explanation) -> String {
    let Some(id) = &story.decision.revision else { return "no revision".to_owned() };
    let short: String = id.chars().take(7).collect();
    let age = story.revision_since.map(|since| format!("{} old", age(since, story.decision.at)));
    let place = if story.revision_in_force { "in force" } else { "replaced since" };
    let words: Vec<String> = age.into_iter().chain([place.to_owned()]).collect();
    format!("revision {} ({})", harmless(&short), words.join(", "))
}

/// A length of time to one unit.
fn age(since: Timestamp, at: Timestamp) -> String {
    let seconds = at.micros_since(since) / 1_000_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `platform/ci asked hr/payroll for  GET /salaries/{id}`.
fn asked(decision: &Decision) -> String {
    let caller = caller(decision);
    let (host, listener) = (harmless(&decision.host), harmless(&decision.listener));
    match (decision.service.as_str(), decision.method.as_str()) {
        (_, "") if matches!(decision.identity, Identity::Verified(_)) => {
            format!("{caller} sent {host} a request that could not be read")
        }
        (_, "") if host.is_empty() => format!("{caller} opened a connection to listener {listener}"),
        (_, "") => format!("{caller} opened a connection to listener {listener} for {host}"),
        ("", _) => format!("{caller} asked {host} for  {}", route(decision)),
        (service, _) => format!("{caller} asked {} for  {}", harmless(service), route(decision)),
    }
}

/// `   domains/hr/policies/payroll.cedar:12`.
fn place(path: Option<&str>, line: Option<usize>) -> String {
    match (path, line) {
        (Some(path), Some(line)) => format!("   {}:{line}", harmless(path)),
        (Some(path), None) => format!("   {}", harmless(path)),
        (None, _) => String::new(),
    }
}

/// What would have to change, whether anything was forwarded, and what the caller got to know.
fn ending(story: &Explanation) -> String {
    let forwarded = if story.forwarded { "The call was forwarded" } else { "Nothing was forwarded" };
    // a handshake that fails tells nothing, whatever its reason is answered with later
    let is_handshake = story.decision.protocol == Protocol::Tls;
    let told = match story.told.as_str() {
        _ if is_handshake => String::new(),
        "" => String::new(),
        told => format!("; the caller was told `{told}`"),
    };
    let end = format!("{forwarded}{told}.");
    match story.to_change.as_str() {
        "" => end,
        list if list.contains('\n') => format!("{list}\n{end}"),
        sentence => format!("{sentence} {end}"),
    }
}

fn paragraph(out: &mut impl Write, text: &str) -> io::Result<()> {
    for line in harmless_lines(text).lines() {
        let hang = if line.starts_with("– ") { "  " } else { "" };
        for (at, line) in wrapped(line, WIDTH - hang.len()).iter().enumerate() {
            writeln!(out, "  {}{line}", if at == 0 { "" } else { hang })?;
        }
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
mod denials;
#[cfg(test)]
mod tests;
