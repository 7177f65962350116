//! Problems found in files, shown like a good compiler's: what, where, the excerpt underlined, what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::ops::Range;

use policy::{Problem, Severity};
use serde::Serialize;

use super::{Palette, Tone, count, harmless};

/// The widest excerpt that is shown whole, in characters; of longer lines a window around the place is shown.
const WIDEST: usize = 110;
/// Characters shown before the place in such a window.
const BEFORE: usize = 30;
/// Columns a tab is shown as.
const TAB: &str = "    ";

/// Shows every problem, and the count at the end.
///
/// # Errors
/// The writer's.
pub fn show(
    out: &mut impl Write,
    palette: Palette,
    problems: &[Problem],
    sources: &BTreeMap<String, String>,
) -> io::Result<()> {
    for problem in problems {
        show_one(out, palette, problem, sources)?;
    }
    writeln!(out, "{}", palette.paint(Tone::Strong, &summary(problems)))
}

/// Shows every problem as one JSON object a line.
///
/// # Errors
/// The writer's.
pub fn show_json(out: &mut impl Write, problems: &[Problem], sources: &BTreeMap<String, String>) -> io::Result<()> {
    problems.iter().try_for_each(|problem| super::json::line(out, &json(problem, sources)))
}

/// All in one line, as logs are read: `node.yaml:3:1: unknown key …; node.yaml:9:5: …`.
pub fn in_a_line(problems: &[Problem], sources: &BTreeMap<String, String>) -> String {
    let line = |problem: &Problem| match locate(problem, sources) {
        Some(place) => format!("{}:{}:{}: {}", problem.path, place.line, place.column, problem.message),
        None => format!("{}: {}", problem.path, problem.message),
    };
    problems.iter().map(line).collect::<Vec<_>>().join("; ")
}

#[derive(Serialize)]
struct Json<'a> {
    kind: &'static str,
    severity: &'static str,
    code: &'static str,
    path: &'a str,
    line: Option<usize>,
    column: Option<usize>,
    span: Option<[usize; 2]>,
    message: &'a str,
    hint: Option<&'a str>,
}

fn json<'a>(problem: &'a Problem, sources: &BTreeMap<String, String>) -> Json<'a> {
    let place = locate(problem, sources);
    Json {
        kind: "problem",
        severity: word(problem.severity),
        code: problem.code,
        path: &problem.path,
        line: place.as_ref().map(|place| place.line),
        column: place.as_ref().map(|place| place.column),
        span: problem.span.as_ref().map(|span| [span.start, span.end]),
        message: &problem.message,
        hint: problem.hint.as_deref(),
    }
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn show_one(
    out: &mut impl Write,
    palette: Palette,
    problem: &Problem,
    sources: &BTreeMap<String, String>,
) -> io::Result<()> {
    let tone = match problem.severity {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Caution,
    };
    let head = palette.paint(tone, &format!("{}[{}]", word(problem.severity), problem.code));
    writeln!(out, "{head}: {}", palette.paint(Tone::Strong, &harmless(&problem.message)))?;
    let place = locate(problem, sources);
    let width = place.as_ref().map_or(1, |place| place.line.to_string().len());
    let bar = |text: &str| palette.paint(Tone::Quiet, text);
    match &place {
        Some(place) => {
            let (line, column) = (place.line, place.column);
            writeln!(out, "{:width$}{} {}:{line}:{column}", "", bar("-->"), harmless(&problem.path))?;
            let (text, marks) = place.excerpt();
            writeln!(out, "{:width$} {}", "", bar("|"))?;
            writeln!(out, "{} {} {text}", bar(&format!("{line:>width$}")), bar("|"))?;
            writeln!(out, "{:width$} {} {}", "", bar("|"), palette.paint(tone, &marks))?;
        }
        None if !problem.path.is_empty() => {
            writeln!(out, "{:width$}{} {}", "", bar("-->"), harmless(&problem.path))?;
        }
        None => {}
    }
    if let Some(hint) = &problem.hint {
        let indent = format!("\n{:width$}         ", "");
        writeln!(out, "{:width$} {} hint: {}", "", bar("="), harmless_hint(hint).replace('\n', &indent))?;
    }
    writeln!(out)
}

fn harmless_hint(hint: &str) -> String {
    super::harmless_lines(hint).into_owned()
}

/// `3 errors, 1 warning in 2 files`.
fn summary(problems: &[Problem]) -> String {
    let of = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
    let files: BTreeSet<&str> = problems.iter().map(|p| p.path.as_str()).filter(|path| !path.is_empty()).collect();
    let mut parts = Vec::new();
    if of(Severity::Error) > 0 {
        parts.push(count(of(Severity::Error), "error", "errors"));
    }
    if of(Severity::Warning) > 0 {
        parts.push(count(of(Severity::Warning), "warning", "warnings"));
    }
    match files.len() {
        0 => parts.join(", "),
        files => format!("{} in {}", parts.join(", "), count(files, "file", "files")),
    }
}

/// Where a problem stands, and the line it stands in.
struct Place<'a> {
    line: usize,
    column: usize,
    /// The line's text, without its end.
    text: &'a str,
    /// The part of the line to underline, in characters; of several lines only the first is underlined.
    marked: Range<usize>,
}

fn locate<'a>(problem: &Problem, sources: &'a BTreeMap<String, String>) -> Option<Place<'a>> {
    let span = problem.span.as_ref()?;
    let source = sources.get(&problem.path)?;
    let start = floor(source, span.start);
    let end = floor(source, span.end).max(start);
    let line_start = source.get(..start)?.rfind('\n').map_or(0, |at| at.saturating_add(1));
    let rest = source.get(line_start..)?;
    let text = rest.split('\n').next()?.trim_end_matches('\r');
    let column = source.get(line_start..start)?.chars().count();
    let length = source.get(start..end)?.split('\n').next()?.trim_end_matches('\r').chars().count();
    Some(Place {
        line: source.get(..start)?.matches('\n').count().saturating_add(1),
        column: column.saturating_add(1),
        text,
        marked: column..column.saturating_add(length.max(1)),
    })
}

/// The nearest character boundary at or before a byte offset.
fn floor(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    at
}

impl Place<'_> {
    /// The excerpt and the line of marks below it.
    fn excerpt(&self) -> (String, String) {
        let whole = self.text.chars().count() <= WIDEST;
        let first = if whole { 0 } else { self.marked.start.saturating_sub(BEFORE) };
        let (mut text, mut marks) = (String::new(), String::new());
        if first > 0 {
            text.push('…');
            marks.push(' ');
        }
        let shown = if whole { usize::MAX } else { WIDEST };
        for (at, c) in self.text.chars().enumerate().skip(first).take(shown) {
            let c = if c == '\t' { TAB.to_owned() } else { harmless(c.encode_utf8(&mut [0; 4])).into_owned() };
            let mark = if self.marked.contains(&at) { '^' } else { ' ' };
            marks.extend(c.chars().map(|_| mark));
            text.push_str(&c);
        }
        if !whole && self.text.chars().count() > first.saturating_add(shown) {
            text.push('…');
        }
        // a place behind the last character: the end of a line, or an empty file
        if !marks.contains('^') {
            marks.push('^');
        }
        (text.trim_end().to_owned(), marks.trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(problem: &Problem, source: &str) -> String {
        let sources = BTreeMap::from([(problem.path.clone(), source.to_owned())]);
        let mut out = Vec::new();
        show(&mut out, Palette::plain(), std::slice::from_ref(problem), &sources).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_problem_shows_what_where_the_excerpt_and_the_hint() {
        let source = "domain: finance\nservices:\n  ledger:\n    hots: [a.b]\n";
        let at = source.find("hots").unwrap();
        let problem = Problem::error("yaml.unknown-key", "domains/finance/domain.yaml", "unknown key `hots`")
            .at(at..at + 4)
            .hint("did you mean `hosts`?");
        assert_eq!(
            shown(&problem, source),
            "error[yaml.unknown-key]: unknown key `hots`
 --> domains/finance/domain.yaml:4:5
  |
4 |     hots: [a.b]
  |     ^^^^
  = hint: did you mean `hosts`?

1 error in 1 file
"
        );
    }

    #[test]
    fn a_problem_without_a_place_names_the_file() {
        let problem = Problem::warning("consent.one-sided", "domains/hr/domain.yaml", "hr does not accept finance");
        let text = shown(&problem, "");
        assert!(text.contains("warning[consent.one-sided]: hr does not accept finance\n --> domains/hr/domain.yaml\n"));
        assert!(text.ends_with("1 warning in 1 file\n"), "{text}");
    }

    #[test]
    fn a_span_over_lines_marks_the_first_and_a_span_at_the_end_marks_the_end() {
        let source = "permit (\n  principal\n);\n";
        let problem = Problem::error("cedar.x", "a.cedar", "m").at(0..20);
        assert!(shown(&problem, source).contains("1 | permit (\n  | ^^^^^^^^\n"));
        let problem = Problem::error("cedar.x", "a.cedar", "m").at(source.len()..source.len() + 7);
        assert!(shown(&problem, source).contains(":4:1\n  |\n4 | \n  | ^\n"), "{}", shown(&problem, source));
    }

    #[test]
    fn long_lines_tabs_and_escapes_are_tamed() {
        let source = format!("{}\u{1b}[2J\tkey{}", "x".repeat(300), "y".repeat(300));
        let at = source.find("key").unwrap();
        let text = shown(&Problem::error("c", "f", "m\u{1b}").at(at..at + 3), &source);
        let lines: Vec<&str> = text.lines().collect();
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() < 140), "{text}");
        let (excerpt, marks) = (lines[3], lines[4]);
        assert_eq!(excerpt.chars().skip(marks.chars().count() - 3).take(3).collect::<String>(), "key");
    }

    #[test]
    fn json_gives_line_and_column() {
        let problem = Problem::error("c", "f", "m").at(3..4);
        let mut out = Vec::new();
        show_json(&mut out, &[problem], &BTreeMap::from([("f".to_owned(), "ä\nb".to_owned())])).unwrap();
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((line["line"].as_u64(), line["column"].as_u64()), (Some(2), Some(1)));
        assert_eq!(line["severity"], "error");
    }
}
