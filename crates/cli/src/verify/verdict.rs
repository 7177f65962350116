//! What came of a verification, as people and programs read it.

use std::io::{self, Write};

use serde::Serialize;
use types::Timestamp;

use super::rules;
use crate::env::Env;
use crate::exit::{Exit, Outcome};
use crate::term::{Palette, Tone, count, harmless, json};

/// Accepted, or every rule that fails.
pub struct Verdict {
    /// What was verified, such as `x509-svid`.
    pub kind: &'static str,
    /// Who it is: proven where nothing fails, claimed otherwise. `""` where it names nobody.
    pub subject: String,
    /// At which moment, where that matters.
    pub at: Option<Timestamp>,
    /// What else is known of one that is accepted.
    pub facts: Vec<(&'static str, String)>,
    /// What fails; empty for accepted.
    pub failed: Vec<Failing>,
}

/// A rule that fails.
pub struct Failing {
    /// Its id, such as `XS-1`.
    pub rule: &'static str,
    /// What exactly is wrong.
    pub detail: String,
}

#[derive(Serialize)]
struct Json<'a> {
    kind: &'static str,
    verdict: &'static str,
    subject: Option<&'a str>,
    at: Option<String>,
    failed: Vec<JsonFailing<'a>>,
    #[serde(flatten)]
    facts: std::collections::BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
struct JsonFailing<'a> {
    rule: &'static str,
    requirement: &'static str,
    detail: &'a str,
}

impl Verdict {
    /// Prints it. Accepted is a yes, refused a no.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tell(&self, is_json: bool, env: &Env) -> Outcome {
        let mut out = io::stdout().lock();
        if is_json {
            self.json(&mut out)?
        } else {
            self.show(&mut out, Palette::stdout(env))?
        }
        Ok(if self.failed.is_empty() { Exit::Yes } else { Exit::No })
    }

    fn json(&self, out: &mut impl Write) -> io::Result<()> {
        let failed = self.failed.iter();
        let failed =
            failed.map(|one| JsonFailing { rule: one.rule, requirement: rules::words(one.rule), detail: &one.detail });
        json::line(
            out,
            &Json {
                kind: self.kind,
                verdict: if self.failed.is_empty() { "accepted" } else { "refused" },
                subject: Some(self.subject.as_str()).filter(|subject| !subject.is_empty()),
                at: self.at.map(|at| at.to_string()),
                failed: failed.collect(),
                facts: self.facts.iter().map(|(name, value)| (*name, value.as_str())).collect(),
            },
        )
    }

    fn show(&self, out: &mut impl Write, palette: Palette) -> io::Result<()> {
        let is_refused = !self.failed.is_empty();
        let subject = match (self.subject.is_empty(), is_refused) {
            (true, _) => "it names nobody".to_owned(),
            (false, false) => harmless(&self.subject).into_owned(),
            (false, true) => format!("it claims to be {}", harmless(&self.subject)),
        };
        let (word, tone) = if is_refused { ("REFUSED ", Tone::Bad) } else { ("accepted", Tone::Good) };
        writeln!(out, "{}  {subject}", palette.paint(tone, word))?;
        let at = self.at.map(|at| ("at", at.to_string()));
        let facts: Vec<&(&str, String)> = self.facts.iter().chain(&at).collect();
        if !facts.is_empty() {
            writeln!(out)?;
        }
        for (name, value) in facts {
            writeln!(out, "  {name:<12} {}", harmless(value))?;
        }
        let mut rules: Vec<&str> = Vec::new();
        for one in self.failed.iter().map(|one| one.rule) {
            if !rules.contains(&one) {
                rules.push(one);
            }
        }
        for rule in &rules {
            writeln!(out, "\n  ✗ {} {}", palette.paint(Tone::Strong, &format!("{rule:<5}")), rules::words(rule))?;
            for one in self.failed.iter().filter(|one| one.rule == *rule) {
                writeln!(out, "          {}", harmless(&one.detail))?;
            }
        }
        if is_refused { writeln!(out, "\n{}", count(rules.len(), "rule fails", "rules fail")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(verdict: &Verdict) -> (String, String) {
        let (mut text, mut json) = (Vec::new(), Vec::new());
        verdict.show(&mut text, Palette::plain()).unwrap();
        verdict.json(&mut json).unwrap();
        (String::from_utf8(text).unwrap(), String::from_utf8(json).unwrap())
    }

    #[test]
    fn a_refusal_names_each_rule_and_steers_no_terminal() {
        let failing = |rule, detail: &str| Failing { rule, detail: detail.to_owned() };
        let verdict = Verdict {
            kind: "x509-svid",
            subject: "spiffe://example.org/a".into(),
            at: Some(Timestamp::from_seconds(1_795_425_242)),
            facts: Vec::new(),
            failed: vec![failing("XS-3", "no key usage\u{1b}[2J"), failing("PV-1", "expired"), failing("XS-3", "b")],
        };
        let (text, json) = told(&verdict);
        assert!(
            text.starts_with("REFUSED   it claims to be spiffe://example.org/a\n\n  at           2026-11-23T09:14:02")
        );
        assert_eq!(text.matches("\n  ✗ XS-3  ").count(), 1, "{text}");
        assert!(text.contains("no key usage\u{fffd}[2J\n          b\n"), "{text}");
        assert!(text.ends_with("\n2 rules fail\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["verdict"], "refused");
        assert_eq!((&json["failed"][1]["rule"], &json["failed"][1]["detail"]), (&"PV-1".into(), &"expired".into()));
    }

    #[test]
    fn who_is_accepted_is_told_with_what_is_known() {
        let verdict = Verdict {
            kind: "x509-svid",
            subject: "spiffe://example.org/a".into(),
            at: None,
            facts: vec![("serial", "5c1e".into())],
            failed: Vec::new(),
        };
        let (text, json) = told(&verdict);
        assert_eq!(text, "accepted  spiffe://example.org/a\n\n  serial       5c1e\n");
        assert!(json.contains(r#""verdict":"accepted""#) && json.contains(r#""serial":"5c1e""#), "{json}");
    }
}
