//! Countersign: zero trust for internal APIs in one binary.

#[cfg(feature = "demo")]
mod acme;
mod admin_client;
mod args;
mod call;
mod check;
mod decisions;
#[cfg(feature = "demo")]
mod demo;
mod env;
mod exit;
mod explain;
mod fetch;
mod https;
mod init;
mod key;
mod load;
mod paths;
mod schema;
mod shell;
mod tasks;
mod term;
mod tests_command;
mod up;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use crate::args::{Cli, Command, Identity};
use crate::env::Env;
use crate::exit::{Exit, Failed, Outcome};
use crate::term::{Palette, Tone, harmless_lines};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    #[cfg(feature = "demo")]
    if let Some(name) = std::env::current_exe().ok().and_then(|path| acme::service_name_from_exe(&path)) {
        return acme::service_main(name, std::env::args_os().skip(1));
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
    log_to_stderr(&env);
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
        Command::Up(args) => up::run(&args, env),
        Command::Call(args) => call::run(args, env),
        Command::Identity(Identity::Fetch(args)) => fetch::run(&args, env),
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

/// What the parts report while they run. `COUNTERSIGN_LOG` chooses, as in `COUNTERSIGN_LOG=info`.
fn log_to_stderr(env: &Env) {
    let filter = tracing_subscriber::EnvFilter::try_new(env.log.as_deref().unwrap_or("warn"));
    let filter = filter.unwrap_or_else(|error| {
        let message = format!("COUNTERSIGN_LOG is not understood and left out: {error}");
        tell(
            &Failed::new(message).hint("write it like `info` or `countersign_proxy=debug,warn`"),
            Palette::stderr(env),
        );
        tracing_subscriber::EnvFilter::new("warn")
    });
    let colour = Palette::stderr(env).is_on();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(std::io::stderr).init();
}
