//! `cargo xtask tidy`: what can be said about the tree without building it.

mod documents;
mod edges;
mod magic;
mod manifests;
mod packages;
mod purity;
mod sizes;
mod source;
mod words;

use std::fmt;
use std::time::Instant;

use anyhow::Result;

use crate::Outcome;
use crate::workspace::{Metadata, root, text_files};
use source::Source;

/// Something that should not be so.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    severity: Severity,
    /// Relative to the root.
    file: String,
    /// Counted from 1; 0 where the whole file is meant.
    line: usize,
    what: String,
    why: String,
    fix: String,
}

/// Warnings are printed and do not fail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Severity {
    Error,
    Warning,
}

impl Finding {
    fn error(file: &str, line: usize, what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { severity: Severity::Error, file: file.into(), line, what: what.into(), why: why.into(), fix: fix.into() }
    }

    fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}\n  why: {}\n  do:  {}", self.what, self.why, self.fix)
    }
}

/// Runs every check and prints what it finds.
pub fn run(write: bool) -> Result<Outcome> {
    let started = Instant::now();
    let root = root()?;
    if write {
        documents::write(&root)?;
    }
    let files = text_files(&root)?;
    let metadata = Metadata::load(&root)?;
    let sources: Vec<Source<'_>> = files
        .iter()
        .filter(|file| file.path.ends_with(".rs"))
        .map(|file| Source::read(&file.path, &file.text))
        .collect();

    let mut findings = Vec::new();
    for source in &sources {
        findings.extend(purity::check(source));
        findings.extend(sizes::check(source));
        findings.extend(magic::check(source));
        findings.extend(words::check_source(source));
    }
    for file in &files {
        findings.extend(words::check_text(&file.path, &file.text));
    }
    findings.extend(purity::check_one_unsafe_module(&sources));
    findings.extend(edges::check(&metadata, &root));
    findings.extend(manifests::check(&files));
    findings.extend(documents::check(&files));
    findings.extend(packages::check(&metadata, &files, &root)?);
    Ok(report(findings, files.len(), started))
}

fn report(mut findings: Vec<Finding>, files: usize, started: Instant) -> Outcome {
    findings.sort_by(|a, b| (a.severity, &a.file, a.line).cmp(&(b.severity, &b.file, b.line)));
    for finding in &findings {
        println!("{finding}\n");
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    println!("tidy: {files} files in {:.1} s, {errors} errors, {warnings} warnings", started.elapsed().as_secs_f64());
    if errors == 0 { Outcome::Passed } else { Outcome::Failed }
}

#[cfg(test)]
mod tests {
    use super::Finding;

    #[test]
    fn a_finding_says_where_what_why_and_what_to_do() {
        let finding = Finding::error("a/b.rs", 7, "it is wrong", "because", "mend it");
        assert_eq!(finding.to_string(), "error: a/b.rs:7: it is wrong\n  why: because\n  do:  mend it");
        let whole = Finding::error("a/b.rs", 0, "it is odd", "because", "look").warning();
        assert_eq!(whole.to_string(), "warning: a/b.rs: it is odd\n  why: because\n  do:  look");
    }
}
