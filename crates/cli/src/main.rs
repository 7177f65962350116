//! Countersign: zero trust for internal APIs in one binary.

mod access;
#[cfg(feature = "demo")]
mod acme;
mod admin_client;
mod args;
mod call;
mod check;
mod counts;
mod credentials;
mod decisions;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod env;
mod exit;
mod explain;
mod fleet;
mod https;
mod identities;
mod init;
mod join;
mod key;
mod load;
mod login;
mod logs;
mod manager;
mod operator;
mod paths;
mod proposals;
mod publish;
mod revisions;
mod roles;
mod schema;
mod shell;
mod tasks;
mod term;
mod tests_command;
mod trust;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use crate::args::{Cli, Command, Operator};
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::term::{Palette, Tone, harmless_lines};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    #[cfg(feature = "demo")]
    if let Ok(own) = std::env::current_exe()
        && let Some(code) = acme::run_as_installed(&own, std::env::args_os().skip(1))
    {
        return code;
    }
    let env = Env::read();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let wrong = error.use_stderr();
            // nobody is left to tell when the streams are closed
            let _ = error.print();
            return ExitCode::from(if wrong { Exit::Usage } else { Exit::Yes });
        }
    };
    for failed in logs::to_stderr(&env) {
        tell(&failed, Palette::stderr(&env));
    }
    match run(cli.command, &env) {
        Ok(exit) => ExitCode::from(exit),
        Err(failed) => {
            tell(&failed, Palette::stderr(&env));
            ExitCode::from(failed.exit)
        }
    }
}

fn run(command: Command, env: &Env) -> Outcome {
    match command {
        #[cfg(feature = "demo")]
        Command::Demo => demo::run(env),
        Command::Init(args) => init::run(&args, env),
        Command::Check(args) => check::run(&args, env),
        Command::Test(args) => tests_command::run(&args, env),
        Command::Schema(args) => schema::run(&args, env),
        Command::Up(args) => roles::up::run(&args, env),
        Command::Control(args) => roles::control::run(&args, env),
        Command::Proxy(args) => roles::proxy::run(&args, env),
        Command::Agent(args) => roles::agent::run(&args, env),
        Command::Publish(args) => publish::run(args, env),
        Command::Revisions(args) => revisions::run(&args, env),
        Command::Rollback(args) => revisions::rollback(args, env),
        Command::Proposals(args) => proposals::run(&args, env),
        Command::Approve(args) => proposals::approve(args, env),
        Command::Withdraw(args) => proposals::withdraw(args, env),
        Command::JoinToken(args) => join::run(&args, env),
        Command::Fleet(args) => fleet::run(&args, env),
        Command::Retire(args) => fleet::retire(args, env),
        Command::Operator(Operator::Certificate(args)) => operator::certificate(&args, env),
        Command::Revoke(args) => trust::revoke(args, env),
        Command::Restore(args) => trust::restore(args, env),
        Command::Subjects(args) => trust::subjects(&args, env),
        Command::WhoCan(args) => access::who_can(&args, env),
        Command::WhatCan(args) => access::what_can(&args, env),
        Command::Doctor(args) => doctor::run(&args, env),
        Command::Login(args) => login::run(&args, env),
        Command::Call(args) => call::run(args, env),
        Command::Identity(what) => identities::run(&what, env),
        Command::Verify(what) => verify::run(&what, env),
        Command::Decisions(args) => decisions::run(args, env),
        Command::Explain(args) => explain::run(&args, env),
    }
}

/// One clear message, and what to do.
fn tell(failed: &Failed, palette: Palette) {
    let Some(message) = &failed.message else { return };
    let mut text = format!("{}: {}\n", palette.paint(Tone::Bad, "error"), harmless_lines(message));
    if let Some(hint) = &failed.hint {
        let indented = harmless_lines(hint).replace('\n', "\n        ");
        text.push_str(&format!("  hint: {indented}\n"));
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
}
