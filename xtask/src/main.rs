//! The workshop's commands: `cargo xtask ci`, `needs`, `tidy`, `gen`, `soak`, `fuzz`.

mod ci;
mod fuzz;
mod generate;
mod needs;
mod soak;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;

use crate::needs::Found;

const USAGE: &str = "\
usage: cargo xtask <command>

  ci [--install]       everything that must hold before a change lands; --install first installs what is missing
  needs [--install]    the tools that `ci` uses: names what is missing; --install installs it
  tidy [--write]       the checks that need no build; --write regenerates docs/limits.md and docs/reasons.md
  gen [--check]        the Workload API's code from its protocol file (add `--features gen`: see CONTRIBUTING.md)
  fuzz [TARGET] [--seconds N]  libFuzzer over the parsers of what arrives from outside, N seconds each (default 60)
  soak [--rounds N]    kills, publications, rotations, revocations and streams under load, N rounds (default 200)

exit codes: 0 yes, 1 a check failed, 2 could not be done, 64 wrong usage";

/// How a command ended, other than with an error of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Passed,
    Failed,
    Missing,
    Usage,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(Outcome::Passed) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        Ok(Outcome::Missing) => ExitCode::from(2),
        Ok(Outcome::Usage) => {
            eprintln!("{USAGE}");
            ExitCode::from(64)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[&str]) -> Result<Outcome> {
    match words {
        ["ci"] => ci::run(false),
        ["ci", "--install"] => ci::run(true),
        ["needs"] => needs(false),
        ["needs", "--install"] => needs(true),
        ["tidy"] => tidy::run(false),
        ["tidy", "--write"] => tidy::run(true),
        ["gen"] => generate::run(false),
        ["gen", "--check"] => generate::run(true),
        ["fuzz"] => fuzz::run(None, fuzz::DEFAULT_SECONDS),
        ["fuzz", "--seconds", seconds] => with_seconds(None, seconds),
        ["fuzz", target] => fuzz::run(Some(target), fuzz::DEFAULT_SECONDS),
        ["fuzz", target, "--seconds", seconds] => with_seconds(Some(target), seconds),
        ["soak"] => soak::run(soak::DEFAULT_ROUNDS),
        ["soak", "--rounds", rounds] => match rounds.parse() {
            Ok(rounds) if rounds > 0 => soak::run(rounds),
            _ => Ok(Outcome::Usage),
        },
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(Outcome::Passed)
        }
        _ => Ok(Outcome::Usage),
    }
}

fn needs(install: bool) -> Result<Outcome> {
    Ok(match needs::ensure_all(install)? {
        Found::All => Outcome::Passed,
        Found::Missing => Outcome::Missing,
    })
}

fn with_seconds(target: Option<&str>, seconds: &str) -> Result<Outcome> {
    match seconds.parse() {
        Ok(seconds) if seconds > 0 => fuzz::run(target, seconds),
        _ => Ok(Outcome::Usage),
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, run};

    #[test]
    fn unknown_words_are_wrong_usage() {
        for words in [
            &[][..],
            &["tidi"],
            &["ci", "--instal"],
            &["needs", "--write"],
            &["soak", "--rounds", "0"],
            &["fuzz", "svid", "--seconds", "x"],
            &["tidy", "--write", "x"],
        ] {
            assert_eq!(run(words).unwrap(), Outcome::Usage, "{words:?}");
        }
    }
}
