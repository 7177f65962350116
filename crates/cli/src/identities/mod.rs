//! `identity`: who holds what, for how long it goes on without an issuer, and the keys that all of it rests on.

mod budget;
mod fetch;
mod jwt;
mod list;
mod rotate;

use std::io::{self, Write};

use crate::admin_client::AdminClient;
use crate::args::{Bundle, Identity};
use crate::env::Env;
use crate::exit::{Exit, Outcome};
use crate::tasks;
use crate::term::harmless_lines;

/// Runs the command.
///
/// # Errors
/// When nothing runs, or what is asked for is not there.
pub fn run(what: &Identity, env: &Env) -> Outcome {
    match what {
        Identity::Fetch(args) if args.jwt => jwt::run(args, env),
        Identity::Fetch(args) => fetch::run(args, env),
        Identity::List(args) => list::run(args, env),
        Identity::Budget(args) => budget::run(args, env),
        Identity::Bundle(args) => bundle(args, env),
        Identity::RotateRoot(args) => rotate::run(args, env),
    }
}

/// A bundle as it is, for files and pipes.
fn bundle(args: &Bundle, env: &Env) -> Outcome {
    let client = AdminClient::to(env, &args.target)?;
    let found = tasks::block_on(client.bundle(&args.domain))??;
    let text = if args.pem { found.roots } else { found.document };
    writeln!(io::stdout().lock(), "{}", harmless_lines(text.trim_end()))?;
    Ok(Exit::Yes)
}

/// How long still, roughly: `40 s`, `12 min`, `3 h`, `5 days`.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_rough_and_carry_their_unit() {
        assert_eq!([span(59), span(1_799), span(7_200), span(432_000)], ["59 s", "29 min", "2 h", "5 days"]);
    }
}
