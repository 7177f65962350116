//! `cargo xtask soak`: the tests of tests/e2e that wait for the unlikely, with more rounds than CI has time for.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::Outcome;
use crate::workspace::root;

/// About as many seconds for the first of them, and an hour for all.
pub const DEFAULT_ROUNDS: u32 = 200;

/// A test that takes more rounds when it is told to.
struct Soak {
    /// By the start of its name.
    test: &'static str,
    /// The environment variable that it reads.
    variable: &'static str,
    /// Its rounds for each that was asked for.
    each: u32,
}

const SOAKS: &[Soak] = &[
    Soak { test: "issuer::flood::a_storm_", variable: "COUNTERSIGN_STORM", each: 2 },
    Soak { test: "issuer::rotation::an_emergency_", variable: "COUNTERSIGN_EMERGENCIES", each: 1 },
    Soak { test: "kill::", variable: "COUNTERSIGN_KILL_ROUNDS", each: 1 },
    Soak { test: "admin::store::a_kill_", variable: "COUNTERSIGN_STORE_ROUNDS", each: 2 },
    Soak { test: "publish::a_hundred_", variable: "COUNTERSIGN_PUBLISH_ROUNDS", each: 10 },
    Soak { test: "revoke::a_revoked_caller_", variable: "COUNTERSIGN_REVOKE_ROUNDS", each: 1 },
    Soak { test: "roles::parted::control_killed_", variable: "COUNTERSIGN_CONTROL_ROUNDS", each: 1 },
    Soak { test: "roles::parted::a_proxy_killed_", variable: "COUNTERSIGN_PROXY_ROUNDS", each: 1 },
    Soak { test: "streams::", variable: "COUNTERSIGN_STREAMS", each: 90 },
];

/// Builds the binary and runs each test with so many rounds, also after one that failed.
pub fn run(rounds: u32) -> Result<Outcome> {
    let build = cargo(&["build", "--profile=ci", "--package=countersign"], None)?;
    if !build {
        return Ok(Outcome::Failed);
    }
    let mut passed = true;
    for Soak { test, variable, each } in SOAKS {
        let arguments = ["test", "--profile=ci", "--package=countersign-e2e", "--", test, "--nocapture"];
        passed &= cargo(&arguments, Some((variable, rounds.saturating_mul(*each))))?;
    }
    Ok(if passed { Outcome::Passed } else { Outcome::Failed })
}

/// Runs cargo with a number in its environment; whether it succeeded.
fn cargo(arguments: &[&str], setting: Option<(&str, u32)>) -> Result<bool> {
    let mut cargo = Command::new("cargo");
    cargo.args(arguments).current_dir(root()?).stdin(Stdio::null());
    let mut shown = String::new();
    if let Some((variable, number)) = setting {
        cargo.env(variable, number.to_string());
        shown = format!("{variable}={number} ");
    }
    println!("$ {shown}cargo {}", arguments.join(" "));
    Ok(cargo.status().context("cannot run cargo")?.success())
}
