//! The figures of the issuer: what it signs in a second beside what the machine's own `openssl speed` signs in the same run,
//! what control and an agent hold in memory, and how soon a new registration reaches a workload that waits.

mod agent;
mod files;
mod holder;
mod issuing;
mod speed;
mod wire;

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::arguments::Identity;
use crate::cpu;
use crate::fleet::Control;
use crate::process::{Memory, said};
use crate::scratch::Scratch;
use crate::stats::Summary;
use crate::subject::binary;
use files::Directory;

pub use holder::run as hold;

/// What is measured works on one core, everything else on another.
const MEASURED_CORE: usize = 0;
const OTHER_CORE: usize = 1;

// What is asked of each figure.
const IN_PROCESS_SHARE: f64 = 0.15;
const OVER_GRPC_SHARE: f64 = 0.06;
const REGISTERED_MIB: f64 = 300.0;
const REACHED_MILLIS: f64 = 200.0;
const AGENT_MIB: f64 = 15.0;

/// Measures and prints.
pub fn run(plan: &Identity) -> Result<()> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    ensure!(cores > OTHER_CORE, "this needs two cores: one for what is measured, one for those who ask");
    let scratch = Scratch::new()?;
    let binary = binary(plan.countersign.as_deref())?;
    print_setting(plan, &said(&binary, &["--version"])?, &said(Path::new("openssl"), &["version"])?);

    let many = Directory::of_many(&scratch.path().join("many"), plan.workloads)?;
    let control = Control::start(&binary, &scratch.path().join("control"), MEASURED_CORE, many.path())?;
    thread::sleep(plan.settle);
    let registered = (0..plan.rounds).map(|_| control.memory()).collect::<Result<Vec<_>>>()?;
    let shares = issuances(plan, &scratch.path().join("issuer"), &control, &many)?;
    let after = control.memory()?;
    drop(control);
    let agent = agent::run(plan, &binary, scratch.path())?;

    println!("\nmedian (least to most) of {} rounds, and what is asked:", plan.rounds);
    let share = "times its signatures a second";
    at_least(&format!("issued in-process, {share}"), &shares.in_process, IN_PROCESS_SHARE)?;
    at_least(&format!("issued over gRPC, {share}"), &shares.over_grpc, OVER_GRPC_SHARE)?;
    let what = format!("control's memory (VmRSS) with {} registered workloads, MiB", plan.workloads);
    at_most(&what, &each(&registered, |memory| memory.resident), REGISTERED_MIB)?;
    println!("  {:62} {:.1}", "  the same after all that it issued in this run, MiB", after.resident);
    at_most("a new registration reaches an open stream, ms", &agent.reached, REACHED_MILLIS)?;
    at_most("a new registration reaches one that asks each 10 ms, ms", &agent.asking, REACHED_MILLIS)?;
    let what = format!("an agent's own memory (RssAnon) with {} workloads, MiB", plan.held);
    at_most(&what, &each(&agent.memory, |memory| memory.anonymous), AGENT_MIB)?;
    beside(
        "pages of its program's file (RssFile), shared by all roles, MiB",
        &each(&agent.memory, |memory| memory.of_files),
    )?;
    beside("both together (VmRSS), MiB", &each(&agent.memory, |memory| memory.resident))?;
    if plan.short {
        println!("this was a short run: it shows that the measurement works, its figures mean nothing");
    }
    Ok(())
}

/// Issuances for each signature of openssl, of each round.
struct Shares {
    in_process: Vec<f64>,
    over_grpc: Vec<f64>,
}

fn issuances(plan: &Identity, folder: &Path, control: &Control, many: &Directory) -> Result<Shares> {
    let issuer = issuing::Bench::open(folder, plan.workloads)?;
    let mut agents = wire::Agents::join(control, many, plan.agents)?;
    let mut shares = Shares { in_process: Vec::new(), over_grpc: Vec::new() };
    println!(
        "\n{:>5}  {:>16}  {:>20}  {:>20}",
        "round", "openssl, sign/s", "in-process, SVIDs/s", "over gRPC, SVIDs/s"
    );
    for round in 1..=plan.rounds {
        let before = speed::signatures(MEASURED_CORE)?;
        let in_process = issuer.rate(MEASURED_CORE, plan.issued)?;
        let over_grpc = agents.rate(control.pid(), OTHER_CORE, plan.asked)?;
        // what a machine gives changes while it is measured: the mean of before and after stands for the time between
        let signed = f64::midpoint(before, speed::signatures(MEASURED_CORE)?);
        println!("{round:>5}  {signed:>16.0}  {in_process:>20.0}  {over_grpc:>20.0}");
        shares.in_process.push(in_process / signed);
        shares.over_grpc.push(over_grpc / signed);
    }
    Ok(shares)
}

/// Runs something on a thread of its own that stays on one core.
fn pinned<T: Send>(core: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let working = scope.spawn(|| {
            let mut set = rustix::thread::CpuSet::new();
            set.set(core);
            rustix::thread::sched_setaffinity(None, &set).context("cannot stay on one core")?;
            work()
        });
        working.join().map_err(|_| anyhow::anyhow!("a measurement broke off"))?
    })
}

fn print_setting(plan: &Identity, version: &str, openssl: &str) {
    let command: Vec<String> = std::env::args().skip(1).collect();
    println!("countersign-bench {}", command.join(" "));
    println!("  {}", cpu::machine());
    println!("  {version} beside {openssl}, `openssl speed -seconds 1 ecdsap256` before and after each round");
    println!(
        "  what is measured is on core {MEASURED_CORE}, those who ask are on core {OTHER_CORE}; {} workloads are",
        plan.workloads
    );
    println!(
        "  registered; an SVID is a P-256 certificate for a request whose signature is verified, recorded in the log"
    );
    println!(
        "  before it is handed out. In-process is wall time on that core alone; over gRPC is the CPU time of a real"
    );
    println!(
        "  `countersign control`, asked by {} simulated agents over TLS 1.3, {} questions in flight",
        plan.agents,
        plan.agents * wire::IN_FLIGHT
    );
}

fn at_least(what: &str, values: &[f64], target: f64) -> Result<()> {
    let summary = Summary::of(values.iter().copied()).context("nothing was measured")?;
    let met = if summary.median >= target { "met" } else { "MISSED" };
    println!("  {what:62} {summary:.3}   at least {target:.2}: {met}");
    Ok(())
}

fn at_most(what: &str, values: &[f64], target: f64) -> Result<()> {
    let summary = Summary::of(values.iter().copied()).context("nothing was measured")?;
    let met = if summary.median <= target { "met" } else { "MISSED" };
    println!("  {what:62} {summary}   at most {target:.0}: {met}");
    Ok(())
}

fn beside(what: &str, values: &[f64]) -> Result<()> {
    println!("    {what:60} {}", Summary::of(values.iter().copied()).context("nothing was measured")?);
    Ok(())
}

fn each(memory: &[Memory], part: impl Fn(&Memory) -> f64) -> Vec<f64> {
    memory.iter().map(part).collect()
}

/// Waits until something holds.
fn wait(most: Duration, what: &str, holds: impl FnMut() -> Result<bool>) -> Result<()> {
    ensure!(crate::process::until(most, holds)?, "waited {most:?} for {what}");
    Ok(())
}
