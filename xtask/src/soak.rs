//! `cargo xtask soak`: the kill -9 test of tests/e2e with more rounds than CI has time for.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::Outcome;
use crate::workspace::root;

/// About as many seconds.
pub const DEFAULT_ROUNDS: u32 = 200;

/// The environment variable that the test reads.
const ROUNDS_VARIABLE: &str = "COUNTERSIGN_KILL_ROUNDS";

/// The test by the start of its name.
const TEST: &str = "kill::";

/// Builds the binary and runs the test with this many rounds.
pub fn run(rounds: u32) -> Result<Outcome> {
    let root = root()?;
    let steps: [&[&str]; 2] = [
        &["build", "--profile=ci", "--package=countersign"],
        &["test", "--profile=ci", "--package=countersign-e2e", "--", TEST, "--nocapture"],
    ];
    for arguments in steps {
        println!("$ {ROUNDS_VARIABLE}={rounds} cargo {}", arguments.join(" "));
        let mut cargo = Command::new("cargo");
        cargo.args(arguments).current_dir(&root).env(ROUNDS_VARIABLE, rounds.to_string()).stdin(Stdio::null());
        if !cargo.status().context("cannot run cargo")?.success() {
            return Ok(Outcome::Failed);
        }
    }
    Ok(Outcome::Passed)
}
