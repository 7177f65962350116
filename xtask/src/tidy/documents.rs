//! docs/limits.md and docs/reasons.md are written from the tables that the program uses.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use types::limits::{self, Limit, Unit};
use types::{Fault, Reason, Stage};

use super::Finding;
use crate::workspace::TextFile;

const LIMITS: &str = "docs/limits.md";
const REASONS: &str = "docs/reasons.md";

/// Writes both documents.
pub fn write(root: &Path) -> Result<()> {
    for (path, text) in [(LIMITS, limits_document()), (REASONS, reasons_document())] {
        let full = root.join(path);
        fs::write(&full, text).with_context(|| format!("cannot write `{}`", full.display()))?;
    }
    Ok(())
}

/// Whether the documents say what the tables say, and the tables name each other rightly.
pub fn check(files: &[TextFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, expected) in [(LIMITS, limits_document()), (REASONS, reasons_document())] {
        let text = files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str());
        findings.extend(compare(path, text, &expected));
    }
    findings.extend(Reason::ALL.iter().flat_map(|reason| check_hint(reason.code(), reason.hint())));
    findings
}

fn compare(path: &str, text: &str, expected: &str) -> Option<Finding> {
    if text == expected {
        return None;
    }
    let same = text.lines().zip(expected.lines()).take_while(|(is, should)| is == should).count();
    let why = "the document is generated from the table that the program uses";
    Some(Finding::error(path, same + 1, "it differs from the table in `types`", why, "run `cargo xtask tidy --write`"))
}

/// A hint that points at docs/limits.md names limits that stand there.
fn check_hint(code: &str, hint: &str) -> Vec<Finding> {
    if !hint.contains(LIMITS) {
        return Vec::new();
    }
    let named = hint.split('`').skip(1).step_by(2);
    let unknown = named.filter(|name| !limits::ALL.iter().any(|limit| limit.name == *name));
    unknown
        .map(|name| {
            let what = format!("the hint of `{code}` names the limit `{name}`, which does not exist");
            Finding::error(
                "crates/types/src/reason.rs",
                0,
                what,
                "the operator will look for it",
                "name one of docs/limits.md",
            )
        })
        .collect()
}

fn limits_document() -> String {
    let mut text = String::from(
        "# Limits\n\n\
         Everything that an outsider can grow has a limit. This page is generated from `types::limits` by\n\
         `cargo xtask tidy --write`.\n\n\
         | limit | default | bounds | where the number comes from |\n|---|---|---|---|\n",
    );
    for limit in limits::ALL {
        row(&mut text, &[&format!("`{}`", limit.name), &amount(limit), limit.what, limit.source]);
    }
    text
}

/// A limit's default as a person would say it.
fn amount(limit: &Limit) -> String {
    let value = limit.default;
    match limit.unit {
        Unit::Count => grouped(value),
        Unit::Bytes => scaled(value, &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)]),
        Unit::Millis => scaled(value, &[("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)]),
    }
}

/// In the largest unit that divides the value.
fn scaled(value: u64, units: &[(&str, u64)]) -> String {
    let fits = units.iter().find(|(_, size)| value >= *size && value.is_multiple_of(*size));
    fits.map_or_else(|| value.to_string(), |(unit, size)| format!("{} {unit}", grouped(value / size)))
}

/// With a comma between thousands.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn reasons_document() -> String {
    let mut text = String::from(
        "# Reasons\n\n\
         Every refusal has one of these reasons. It is the `reason` of the record, the label of the metric and the type\n\
         of the answer. The caller is told the title; the hint is for the operator. This page is generated from\n\
         `types::reason` by `cargo xtask tidy --write`.\n",
    );
    let mut stage = None;
    for reason in Reason::ALL {
        if stage != Some(reason.stage()) {
            stage = Some(reason.stage());
            section(&mut text, reason.stage());
        }
        let status = if reason.status() == 0 { "TLS".to_owned() } else { reason.status().to_string() };
        let fault = match reason.fault() {
            Fault::Caller => "the caller",
            Fault::Us => "us",
            Fault::Upstream => "the upstream",
        };
        row(&mut text, &[&format!("`{}`", reason.code()), &status, fault, reason.title(), reason.hint()]);
    }
    text
}

fn section(text: &mut String, stage: Stage) {
    // writing to a string cannot fail
    let _ = write!(
        text,
        "\n## {}\n\n| reason | status | whose fault | title | hint |\n|---|---|---|---|---|\n",
        stage.as_str()
    );
}

/// One row of a table; a bar inside a cell would end it.
fn row(text: &mut String, cells: &[&str]) {
    for cell in cells {
        text.push_str("| ");
        text.push_str(&cell.replace('|', "\\|"));
        text.push(' ');
    }
    text.push_str("|\n");
}

#[cfg(test)]
mod tests {
    use super::{check_hint, compare, grouped, limits_document, reasons_document, scaled};
    use types::{Reason, limits};

    #[test]
    fn every_limit_and_reason_stands_in_its_document() {
        let (limits, reasons) = (limits_document(), reasons_document());
        for limit in limits::ALL {
            assert!(limits.contains(&format!("| `{}` |", limit.name)), "{}", limit.name);
        }
        for reason in Reason::ALL {
            assert!(reasons.contains(&format!("| `{}` |", reason.code())), "{reason}");
        }
    }

    #[test]
    fn a_document_that_differs_is_flagged_at_its_first_line() {
        assert!(compare("docs/limits.md", "a\nb\n", "a\nb\n").is_none());
        assert_eq!(compare("docs/limits.md", "a\nb\n", "a\nc\n").unwrap().line, 2);
        assert_eq!(compare("docs/limits.md", "", "a\nc\n").unwrap().line, 1);
    }

    #[test]
    fn a_hint_names_limits_that_exist() {
        assert_eq!(check_hint("x.y", "see `head_bytes` in docs/limits.md"), []);
        assert_eq!(check_hint("x.y", "see `head_byte` in docs/limits.md").len(), 1);
        assert_eq!(check_hint("x.y", "see `limits.body` of the service"), []);
    }

    #[test]
    fn amounts_are_as_a_person_says_them() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        let bytes: &[(&str, u64)] = &[("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
        assert_eq!([scaled(1 << 20, bytes), scaled(8192, bytes), scaled(2049, bytes)], ["1 MiB", "8 KiB", "2,049 B"]);
    }
}
