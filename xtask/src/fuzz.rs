//! `cargo xtask fuzz`: libFuzzer over the targets of fuzz/, for as long as one likes.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::Outcome;
use crate::workspace::root;

/// Seconds for each target where nobody says how many.
pub const DEFAULT_SECONDS: u32 = 60;

/// Counts what code an input reaches. These are flags of the stable compiler; what needs another one, such as looking for
/// wrong memory accesses, is not used: there is one unsafe module, and no target reaches it.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions";

/// Runs one target, or each for so many seconds. What makes a target fail is kept in target/fuzz/found.
pub fn run(only: Option<&str>, seconds: u32) -> Result<Outcome> {
    let root = root()?;
    let built = root.join("target/fuzz");
    let mut build = Command::new("cargo");
    build.args(["build", "--profile=ci", "--package=countersign-fuzz", "--features=libfuzzer"]);
    build.args(["--target=x86_64-unknown-linux-gnu", "--target-dir"]).arg(&built);
    build.env("RUSTFLAGS", COVERAGE).current_dir(&root).stdin(Stdio::null());
    if !build.status().context("cannot run cargo")?.success() {
        return Ok(Outcome::Failed);
    }
    let fuzzer = built.join("x86_64-unknown-linux-gnu/ci/countersign-fuzz");
    let listed = Command::new(&fuzzer).env("COUNTERSIGN_FUZZ", "list").output().context("cannot run the fuzzer")?;
    let names = String::from_utf8(listed.stdout).context("the list of targets is not text")?;
    let chosen: Vec<&str> = names.lines().filter(|name| only.is_none_or(|only| only == *name)).collect();
    if chosen.is_empty() {
        eprintln!("there is no such target; there are:\n{names}");
        return Ok(Outcome::Usage);
    }
    let mut passed = true;
    for name in chosen {
        let (corpus, found) = (built.join("corpus").join(name), built.join("found").join(name));
        fs::create_dir_all(&corpus).context("cannot make the corpus folder")?;
        fs::create_dir_all(&found).context("cannot make the folder for what is found")?;
        println!("\n── {name}, {seconds} s ──");
        let mut run = Command::new(&fuzzer);
        run.env("COUNTERSIGN_FUZZ", name).arg(&corpus).arg(format!("-max_total_time={seconds}"));
        run.args(["-max_len=16384", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]);
        run.arg(format!("-artifact_prefix={}/", found.display())).stdin(Stdio::null());
        passed &= run.status().context("cannot run the fuzzer")?.success();
    }
    Ok(if passed { Outcome::Passed } else { Outcome::Failed })
}
