//! Measurements beside real peers, in one run on one machine.

mod arguments;
mod cpu;
mod figure;
mod fleet;
mod identity;
mod load;
mod nginx;
mod process;
mod scratch;
mod stats;
mod subject;
mod upstream;

use std::process::ExitCode;

use anyhow::Result;

use arguments::Command;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(command) = arguments::parse(&words) else {
        eprintln!("{}", arguments::USAGE);
        return ExitCode::from(64);
    };
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::FirstFigure(plan) => figure::run(&plan),
        Command::Fleet(plan) => fleet::run(&plan),
        Command::Identity(plan) => identity::run(&plan),
        Command::Hold(socket) => identity::hold(&socket),
        Command::Load(load) => load::run(load),
        Command::Upstream(address) => upstream::run(address),
    }
}
