//! `cargo xtask ci`: everything that must hold before a change lands, with the minutes that each stage took.

mod counts;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::needs::{self, Found};
use crate::workspace::{output, root};
use crate::{Outcome, tidy};
use counts::Counts;

/// The cargo profile of everything that is built here, so that each package is compiled once.
const PROFILE: &str = "--profile=ci";

/// How many cases each question of the admin API gets at most.
const EXAMPLES: &str = "20";

/// One stage. Stages go on after a failed one, so that all problems are seen at once.
struct Stage {
    name: &'static str,
    /// The stage without which this one cannot say anything.
    needs: Option<&'static str>,
    run: fn(&Tree) -> Result<Ended>,
}

const STAGES: &[Stage] = &[
    Stage { name: "fmt", needs: None, run: |tree| tree.cargo(&["fmt", "--all", "--check"]) },
    Stage { name: "tidy", needs: None, run: |_| Ok(Ended::from(tidy::run(false)? == Outcome::Passed)) },
    Stage { name: "deny", needs: None, run: |tree| tree.cargo(&["deny", "check", "bans", "licenses", "sources"]) },
    Stage { name: "clippy", needs: None, run: clippy },
    Stage { name: "generated code", needs: None, run: generated },
    Stage { name: "build", needs: None, run: build },
    Stage { name: "tests", needs: Some("build"), run: tests },
    Stage { name: "doc tests", needs: Some("build"), run: doc_tests },
    Stage { name: "admin API", needs: Some("build"), run: admin_api },
    Stage { name: "docs", needs: None, run: docs },
    Stage { name: "bench, short", needs: Some("build"), run: bench },
];

/// How a stage ended.
struct Ended {
    passed: bool,
    tests: Counts,
}

impl From<bool> for Ended {
    fn from(passed: bool) -> Self {
        Self { passed, tests: Counts::default() }
    }
}

/// A line of the table at the end.
struct Row {
    name: &'static str,
    result: &'static str,
    took: Duration,
}

/// Runs every stage.
pub fn run(install: bool) -> Result<Outcome> {
    let started = Instant::now();
    let installing = Instant::now();
    if needs::ensure_all(install)? == Found::Missing {
        return Ok(Outcome::Missing);
    }
    let tree = Tree::find()?;
    let mut rows = vec![Row { name: "tools", result: "passed", took: installing.elapsed() }];
    let mut total = Counts::default();
    for stage in STAGES {
        let (row, counts) = run_stage(stage, &tree, &rows);
        rows.push(row);
        total.add(counts);
    }
    Ok(report(&rows, total, started.elapsed()))
}

fn run_stage(stage: &Stage, tree: &Tree, before: &[Row]) -> (Row, Counts) {
    println!("\n── {} ──", stage.name);
    let row = |result, took| Row { name: stage.name, result, took };
    let is_blocked =
        stage.needs.is_some_and(|need| before.iter().any(|row| row.name == need && row.result == "FAILED"));
    if is_blocked {
        println!("left out: the stage before it failed");
        return (row("left out", Duration::ZERO), Counts::default());
    }
    let started = Instant::now();
    let ended = (stage.run)(tree).unwrap_or_else(|error| {
        println!("error: {error:#}");
        Ended::from(false)
    });
    let mut counts = ended.tests;
    if !ended.passed && counts.failed == 0 {
        counts.failed = 1;
    }
    (row(if ended.passed { "passed" } else { "FAILED" }, started.elapsed()), counts)
}

/// Prints the table and the closing line: tests, and each failed stage that counted none as one failure.
fn report(rows: &[Row], total: Counts, took: Duration) -> Outcome {
    println!("\n{:16} {:9} {:>7}", "stage", "result", "minutes");
    for row in rows {
        println!("{:16} {:9} {:7.1}", row.name, row.result, minutes(row.took));
    }
    println!("{:16} {:9} {:7.1}\n", "all", "", minutes(took));
    println!("{total}");
    let passed = rows.iter().all(|row| row.result == "passed");
    if passed { Outcome::Passed } else { Outcome::Failed }
}

fn minutes(took: Duration) -> f64 {
    took.as_secs_f64() / 60.0
}

fn clippy(tree: &Tree) -> Result<Ended> {
    let everything = tree.cargo(&["clippy", PROFILE, "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    let package = ["clippy", PROFILE, "--package=countersign", "--all-targets", "--no-default-features"];
    let bare = tree.cargo(&[&package[..], &["--", "-D", "warnings"]].concat())?;
    Ok(Ended::from(everything.passed && bare.passed))
}

fn generated(tree: &Tree) -> Result<Ended> {
    tree.cargo(&["run", "--quiet", "--package=xtask", "--features=gen", "--", "gen", "--check"])
}

fn build(tree: &Tree) -> Result<Ended> {
    tree.cargo(&["build", PROFILE, "--workspace", "--bins"])
}

fn tests(tree: &Tree) -> Result<Ended> {
    if needs::is_present("cargo-nextest") {
        return tree.cargo(&["nextest", "run", "--profile=ci", "--cargo-profile=ci", "--workspace"]);
    }
    println!("cargo-nextest is not on this machine; `cargo test` runs the same tests, one binary after the other");
    tree.cargo(&["test", PROFILE, "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"])
}

fn doc_tests(tree: &Tree) -> Result<Ended> {
    tree.cargo(&["test", PROFILE, "--workspace", "--doc", "--no-fail-fast"])
}

/// The admin API, asked by a program that has read its document.
fn admin_api(tree: &Tree) -> Result<Ended> {
    let mut asked = Command::new("bash");
    asked.arg("tests/api/schemathesis.sh").arg(tree.built.join("countersign"));
    asked.args([needs::SCHEMATHESIS, EXAMPLES]).current_dir(&tree.root).stdin(Stdio::null());
    tree.stream(asked)
}

/// Whether the measurement works; its figures are not looked at.
fn bench(tree: &Tree) -> Result<Ended> {
    let short = |figures: &str| {
        let mut bench = Command::new(tree.built.join("countersign-bench"));
        bench.args([figures, "--short"]).current_dir(&tree.root).stdin(Stdio::null());
        tree.stream(bench)
    };
    for figures in ["first-figure", "fleet"] {
        let ended = short(figures)?;
        if !ended.passed {
            return Ok(ended);
        }
    }
    short("identity")
}

fn docs(tree: &Tree) -> Result<Ended> {
    let mut cargo = tree.command(&["doc", PROFILE, "--workspace", "--no-deps"]);
    cargo.env("RUSTDOCFLAGS", "-D warnings");
    tree.stream(cargo)
}

/// Where the commands run, and where the binaries are that they build.
struct Tree {
    root: PathBuf,
    built: PathBuf,
}

#[derive(Deserialize)]
struct TargetDirectory {
    target_directory: PathBuf,
}

impl Tree {
    fn find() -> Result<Self> {
        let root = root()?;
        let text = output(&root, "cargo", &["metadata", "--format-version=1", "--no-deps"])?;
        let metadata: TargetDirectory = serde_json::from_str(&text).context("cannot read `cargo metadata`")?;
        Ok(Self { root, built: metadata.target_directory.join("ci") })
    }

    fn cargo(&self, arguments: &[&str]) -> Result<Ended> {
        self.stream(self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.args(arguments).current_dir(&self.root).env("CARGO_TERM_COLOR", "never");
        cargo.env("COUNTERSIGN_BIN", self.built.join("countersign")).stdin(Stdio::null());
        cargo
    }

    /// Runs a command, passing on what it prints and counting the tests that it reports.
    fn stream(&self, mut command: Command) -> Result<Ended> {
        let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        println!("$ {program} {}", words.join(" "));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot start it")?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let tests = thread::scope(|scope| {
            let errors = scope.spawn(|| stderr.map(pass_on).unwrap_or_default());
            let mut tests = stdout.map(pass_on).unwrap_or_default();
            tests.add(errors.join().unwrap_or_default());
            tests
        });
        Ok(Ended { passed: child.wait().context("cannot wait for it")?.success(), tests })
    }
}

/// Prints every line as it comes and counts the tests in the runners' closing lines.
fn pass_on(pipe: impl Read) -> Counts {
    let mut counts = Counts::default();
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        counts.add(Counts::read(&line).unwrap_or_default());
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::{Counts, Duration, Outcome, Row, STAGES, Stage, Tree, pass_on, report, run_stage};

    fn tree() -> Tree {
        Tree { root: ".".into(), built: ".".into() }
    }

    #[test]
    fn a_stage_waits_only_for_stages_before_it() {
        for (index, stage) in STAGES.iter().enumerate() {
            let known = STAGES.iter().take(index).any(|before| Some(before.name) == stage.needs);
            assert!(stage.needs.is_none() || known, "{}", stage.name);
        }
    }

    #[test]
    fn a_failed_stage_counts_and_what_needs_it_is_left_out() {
        let failing = Stage { name: "build", needs: None, run: |_| anyhow::bail!("no compiler") };
        let (row, counts) = run_stage(&failing, &tree(), &[]);
        assert_eq!((row.result, counts.failed), ("FAILED", 1));
        let next = Stage { name: "tests", needs: Some("build"), run: |_| Ok(true.into()) };
        let (left_out, counts) = run_stage(&next, &tree(), &[row]);
        assert_eq!((left_out.result, counts.failed), ("left out", 0));
        assert_eq!(report(&[left_out], counts, Duration::ZERO), Outcome::Failed);
        let fine = Row { name: "fmt", result: "passed", took: Duration::ZERO };
        assert_eq!(report(&[fine], Counts::default(), Duration::ZERO), Outcome::Passed);
    }

    #[test]
    fn closing_lines_of_all_runners_are_added_up() {
        let text = "x\n     Summary [   0.1s] 3 tests run: 2 passed, 1 failed, 4 skipped\n\
            test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(pass_on(text.as_bytes()).to_string(), "7 passed, 1 failed, 5 skipped");
    }
}
