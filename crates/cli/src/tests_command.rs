//! `test DIR`: runs the tests that stand beside the policies.

use std::io::{self, Write};

use serde::Serialize;
use trustdir::{Answer, TestResult};

use crate::args::Listing;
use crate::env::Env;
use crate::exit::{Exit, Outcome};
use crate::load;
use crate::term::{Palette, Tone, count, harmless, json};

/// One result as a line of JSON.
#[derive(Serialize)]
struct Json<'a> {
    kind: &'static str,
    file: &'a str,
    line: usize,
    name: &'a str,
    passed: bool,
    expected: Answer,
    got: Answer,
    by: &'a [String],
    note: &'a str,
}

/// Runs the command.
///
/// # Errors
/// When the directory does not validate, or the output cannot be written.
pub fn run(args: &Listing, env: &Env) -> Outcome {
    let (revision, _) = load::revision(&args.dir, env)?;
    let results = trustdir::run_tests(&revision);
    let mut out = io::stdout().lock();
    if args.json {
        show_json(&mut out, &results)?;
    } else {
        show(&mut out, Palette::stdout(env), &results)?;
    }
    Ok(if results.iter().all(|result| result.passed) { Exit::Yes } else { Exit::No })
}

/// Each result as a line of JSON.
///
/// # Errors
/// The writer's.
pub fn show_json(out: &mut impl Write, results: &[TestResult]) -> io::Result<()> {
    results.iter().try_for_each(|result| json::line(out, &as_json(result)))
}

fn as_json(result: &TestResult) -> Json<'_> {
    Json {
        kind: "test",
        file: &result.file,
        line: result.line,
        name: &result.name,
        passed: result.passed,
        expected: result.expected,
        got: result.got,
        by: &result.by,
        note: &result.note,
    }
}

fn show(out: &mut impl Write, palette: Palette, results: &[TestResult]) -> io::Result<()> {
    if results.is_empty() {
        return writeln!(out, "no tests; write some into domains/NAME/tests/*.yaml");
    }
    show_files(out, palette, results)?;
    let failed = results.iter().filter(|result| !result.passed).count();
    let (tone, word) =
        if failed == 0 { (Tone::Good, "all passed".to_owned()) } else { (Tone::Bad, format!("{failed} failed")) };
    writeln!(out, "\n{}: {}", count(results.len(), "test", "tests"), palette.paint(tone, &word))
}

/// Results by file, without a summary.
///
/// # Errors
/// The writer's.
pub fn show_files(out: &mut impl Write, palette: Palette, results: &[TestResult]) -> io::Result<()> {
    let width = results.iter().map(|result| result.name.chars().count()).max().unwrap_or_default();
    for file in results.chunk_by(|a, b| a.file == b.file) {
        let name = file.first().map(|result| result.file.as_str()).unwrap_or_default();
        writeln!(out, "{}", palette.paint(Tone::Quiet, &harmless(name)))?;
        for result in file {
            show_one(out, palette, result, width)?;
        }
    }
    Ok(())
}

fn show_one(out: &mut impl Write, palette: Palette, result: &TestResult, width: usize) -> io::Result<()> {
    let mark = if result.passed { palette.paint(Tone::Good, "✓") } else { palette.paint(Tone::Bad, "✗") };
    let (name, by) = (harmless(&result.name), result.by.join(", "));
    writeln!(out, "  {mark} {name:<width$}  {:<10}  {}", result.got.to_string(), harmless(&by))?;
    if !result.passed {
        writeln!(out, "      {}", harmless(&result.note))?;
        writeln!(out, "      {}:{}", harmless(&result.file), result.line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(name: &str, passed: bool) -> TestResult {
        TestResult {
            file: "domains/hr/tests/people.yaml".into(),
            line: 3,
            name: name.into(),
            passed,
            expected: Answer::Allow,
            got: if passed { Answer::Allow } else { Answer::Deny },
            by: vec!["hr/people-read".into()],
            note: if passed { String::new() } else { "expected allow, got deny (policy.no-permit)".into() },
        }
    }

    #[test]
    fn failures_say_what_was_expected_and_where() {
        let mut out = Vec::new();
        show(&mut out, Palette::plain(), &[result("search reads people", true), result("ci does not", false)]).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "domains/hr/tests/people.yaml
  ✓ search reads people  allow       hr/people-read
  ✗ ci does not          deny        hr/people-read
      expected allow, got deny (policy.no-permit)
      domains/hr/tests/people.yaml:3

2 tests: 1 failed
"
        );
    }
}
