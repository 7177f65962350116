//! The fleet's figures: one real control on one core, a thousand simulated proxies in this process on another, real TLS and
//! the real protocol between them.

mod control;
mod files;
mod peer;
mod start;
mod tls;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::arguments::Fleet;
use crate::cpu;
use crate::scratch::Scratch;
use crate::stats::Summary;
use crate::subject::{binary, write_trust_directory};
use crate::{figure, process};
pub use control::Control;
pub use files::read as files_of;
pub use peer::{At, connect, join};

/// Control works on one core, everything else on another.
const CONTROL_CORE: usize = 0;
const OTHER_CORE: usize = 1;
/// Joins at the same time: less than control lets strangers connect.
const JOINING: usize = 16;
/// How long one change may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Proxies of the idle measurement.
const IDLE_PROXIES: usize = 100;

// What is asked of each figure: milliseconds and MiB.
const PUBLICATION_TARGET: f64 = 2_000.0;
const SIGNAL_TARGET: f64 = 500.0;
const RESIDENT_TARGET: f64 = 60.0;
const START_TARGET: f64 = 300.0;

/// Measures and prints.
pub fn run(plan: &Fleet) -> Result<()> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    ensure!(cores > OTHER_CORE, "this needs two cores: one for control, one for the simulated proxies");
    let scratch = Scratch::new()?;
    let binary = binary(plan.countersign.as_deref())?;
    let (_upstream, upstream) = figure::start_upstream(scratch.path())?;
    let trust = scratch.path().join("trust");
    write_trust_directory(&trust, upstream, process::free_address()?)?;
    files::add(&trust)?;
    print_setting(plan, &process::said(&binary, &["--version"])?);
    pin(OTHER_CORE)?;

    let (publication, signal) =
        changes(plan, Control::start(&binary, &scratch.path().join("many"), CONTROL_CORE, &trust)?, &trust)?;
    let idle = plan.proxies.min(IDLE_PROXIES);
    let resident =
        idle_memory(plan, &Control::start(&binary, &scratch.path().join("idle"), CONTROL_CORE, &trust)?, idle)?;
    let control = Control::start(&binary, &scratch.path().join("alone"), CONTROL_CORE, &trust)?;
    let proxy = start::Proxy::join(&binary, scratch.path(), OTHER_CORE, &control)?;
    drop(control);
    let starts = (0..plan.rounds).map(|round| proxy.again(OTHER_CORE, round)).collect::<Result<Vec<_>>>()?;

    println!("\nmedian (least to most) of {} rounds, and what is asked:", plan.rounds);
    let all = format!("in force at all {} proxies", plan.proxies);
    print_result(&format!("a new revision {all}, ms"), &publication, PUBLICATION_TARGET)?;
    print_result(&format!("a revocation {all}, ms"), &signal, SIGNAL_TARGET)?;
    print_result(&format!("control's memory (VmRSS) with {idle} idle proxies, MiB"), &resident, RESIDENT_TARGET)?;
    print_result("a proxy's start to its first decision, without control, ms", &starts, START_TARGET)?;
    if plan.short {
        println!("this was a short run: it shows that the measurement works, its figures mean nothing");
    }
    Ok(())
}

fn pin(core: usize) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).context("cannot stay on one core")
}

fn print_setting(plan: &Fleet, version: &str) {
    let command: Vec<String> = std::env::args().skip(1).collect();
    println!("countersign-bench {}", command.join(" "));
    println!("  {}", cpu::machine());
    println!("  {version}; {}", files::described());
    println!(
        "  a real `countersign control` on core {CONTROL_CORE}; {} proxies simulated by this one process on core",
        plan.proxies
    );
    println!(
        "  {OTHER_CORE}: each joined with a token of its own and speaks the real protocol over TLS 1.3 on loopback with its"
    );
    println!(
        "  own certificate, fetches every file it lacks, acknowledges, sends a pulse each second; it compiles and keeps"
    );
    println!("  nothing. Times run from the operator's request to the moment when control knows that all have it.");
}

fn print_result(what: &str, values: &[f64], target: f64) -> Result<()> {
    let summary = Summary::of(values.iter().copied()).context("nothing was measured")?;
    let met = if summary.median <= target { "met" } else { "MISSED" };
    println!("  {what:62} {summary}   at most {target:.0}: {met}");
    Ok(())
}

/// The simulated proxies of one control.
struct Crowd {
    runtime: Runtime,
    following: JoinSet<Result<()>>,
    proxies: usize,
}

impl Crowd {
    /// Joins so many, connects them, and waits until control says that all run what is current.
    fn gather(control: &Control, proxies: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
        let at = At { address: control.wire, root: Arc::new(control.root.clone()) };
        let mut following = JoinSet::new();
        for first in (0..proxies).step_by(JOINING) {
            let names = (first..proxies.min(first + JOINING)).map(|number| format!("edge-{number}"));
            let mut joining = JoinSet::new();
            for name in names {
                let (token, _) = control.token(&name)?;
                let at = at.clone();
                joining.spawn_on(async move { join(&at, token, name).await }, runtime.handle());
            }
            let identities = runtime.block_on(joining.join_all()).into_iter().collect::<Result<Vec<_>>>()?;
            for identity in identities {
                following.spawn_on(peer::follow(at.clone(), identity), runtime.handle());
            }
        }
        let mut this = Self { runtime, following, proxies };
        this.wait(|| Ok(control.current()? >= proxies), "every proxy to run what is current")?;
        Ok(this)
    }

    /// Lets them live until something holds.
    fn wait(&mut self, mut holds: impl FnMut() -> Result<bool>, what: &str) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while !holds()? {
            ensure!(Instant::now() < end, "waited {PATIENCE:?} for {what}");
            self.live(Duration::from_millis(200))?;
        }
        Ok(())
    }

    /// Lets them live for so long; one that ends has failed.
    fn live(&mut self, length: Duration) -> Result<()> {
        let following = &mut self.following;
        let ended = self.runtime.block_on(async { timeout(length, following.join_next()).await });
        match ended {
            Err(_) => Ok(()),
            Ok(Some(Ok(Err(error)))) => Err(error.context("a simulated proxy lost its connection")),
            Ok(_) => bail!("a simulated proxy ended"),
        }
    }

    /// Makes a change by asking control, on a thread of its own, and lets the proxies live until control answers. Gives the
    /// milliseconds until control says that it is in force everywhere.
    fn change(&mut self, control: &Control, path: &str, body: &Value) -> Result<f64> {
        let started = Instant::now();
        let answer = thread::scope(|scope| {
            let asking = scope.spawn(|| control.ask("POST", path, Some(body)));
            while !asking.is_finished() {
                self.live(Duration::from_millis(1))?;
            }
            asking.join().map_err(|_| anyhow::anyhow!("the question failed"))?
        })?;
        let took = started.elapsed();
        if in_force(&answer) == Some(self.proxies) {
            return Ok(took.as_secs_f64() * 1e3);
        }
        // control answers after a second at the latest, whoever is missing
        while control.current()? < self.proxies {
            ensure!(started.elapsed() < PATIENCE, "not in force everywhere after {PATIENCE:?}: {answer}");
            self.live(Duration::from_millis(20))?;
        }
        Ok(started.elapsed().as_secs_f64() * 1e3)
    }
}

/// At how many enforcers control says that it is in force.
fn in_force(answer: &Value) -> Option<usize> {
    answer.pointer("/reach/in_force").and_then(Value::as_u64).and_then(|number| number.try_into().ok())
}

/// The times of publications and of signals.
fn changes(plan: &Fleet, control: Control, trust: &std::path::Path) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut crowd = Crowd::gather(&control, plan.proxies)?;
    let mut files = files::read(trust)?;
    let (mut publications, mut signals) = (Vec::new(), Vec::new());
    println!("\n{:>5}  {:>16}  {:>13}", "round", "publication, ms", "revocation, ms");
    for round in 1..=plan.rounds {
        let changed = files.get_mut(files::CHANGED).context("the changed file is not there")?;
        changed.push_str(&format!("// round {round}\n"));
        let publish = json!({ "files": files, "why": "a measurement", "after": null });
        let publication = crowd.change(&control, "/v1/publications", &publish)?;
        crowd.live(plan.pause)?;
        let revoke =
            json!({ "subject": format!("serial:5c1e{round:04x}"), "reason": "a measurement", "seconds": null });
        let signal = crowd.change(&control, "/v1/revocations", &revoke)?;
        crowd.live(plan.pause)?;
        println!("{round:>5}  {publication:>16.0}  {signal:>13.0}");
        publications.push(publication);
        signals.push(signal);
    }
    Ok((publications, signals))
}

/// What control holds in memory while its proxies do nothing but live.
fn idle_memory(plan: &Fleet, control: &Control, proxies: usize) -> Result<Vec<f64>> {
    let mut crowd = Crowd::gather(control, proxies)?;
    crowd.live(plan.settle)?;
    (0..plan.rounds)
        .map(|_| {
            crowd.live(plan.pause)?;
            Ok(control.memory()?.resident)
        })
        .collect()
}
