//! The first figure: CPU time per request of the whole path beside nginx, in turns, on one core.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::arguments::{Load, Plan};
use crate::cpu;
use crate::load::{MEASURING, Seen};
use crate::nginx::Nginx;
use crate::process::{Process, free_address, pinned};
use crate::scratch::Scratch;
use crate::stats::Summary;
use crate::subject::{Subject, binary};

/// The proxies work on one core, load and upstream on another.
const PROXY_CORE: usize = 0;
const OTHER_CORE: usize = 1;

/// One measurement of one proxy.
struct Measured {
    cpu_us: f64,
    per_second: f64,
    /// The share of the core that the proxy used.
    busy: f64,
    p50_us: f64,
    p99_us: f64,
}

/// Measures and prints.
pub fn run(plan: &Plan) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    ensure!(cores > OTHER_CORE, "this needs two cores: one for the proxies, one for load and upstream");
    let scratch = Scratch::new()?;
    let folder = scratch.path();
    let (_upstream, upstream) = start_upstream(folder)?;
    let subject = Subject::start(&binary(plan.countersign.as_deref())?, folder, PROXY_CORE, upstream, free_address()?)?;
    let identity = folder.join("identity");
    fs::create_dir_all(&identity)?;
    subject.fetch_identity(&identity)?;
    let roots = identity.join("bundle.pem");
    let nginx = Nginx::start(folder, PROXY_CORE, upstream, free_address()?, &roots)?;
    print_setting(plan, &subject, &nginx);

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    println!(
        "\n{:>5}  {:12} {:>12} {:>11} {:>10} {:>9} {:>9}",
        "round", "proxy", "CPU µs/req", "requests/s", "core busy", "p50 µs", "p99 µs"
    );
    for round in 1..=plan.rounds {
        subject.fetch_identity(&identity)?;
        // whoever goes first meets the colder machine: take turns
        for is_ours in if round % 2 == 1 { [true, false] } else { [false, true] } {
            let (name, process, address, roots) = if is_ours {
                ("countersign", &subject.process, subject.address, &roots)
            } else {
                ("nginx", &nginx.process, nginx.address, &nginx.roots)
            };
            let measured = measure(plan, process.pid(), address, &identity, roots)
                .with_context(|| format!("the load on {name} failed"))?;
            print_row(round, name, &measured);
            if is_ours { ours.push(measured) } else { theirs.push(measured) }
        }
    }
    print_result(plan, &ours, &theirs)
}

/// Starts the service behind the proxies.
pub fn start_upstream(folder: &Path) -> Result<(Process, SocketAddr)> {
    let address = free_address()?;
    let printed = folder.join("upstream.out");
    let mut command = pinned(OTHER_CORE, &std::env::current_exe()?);
    let mut process = Process::start("upstream", command.args(["upstream", &address.to_string()]), &printed)?;
    process.wait_for(address, &printed)?;
    Ok((process, address))
}

/// Runs one load and reads the proxy's CPU time when it begins and when it ends.
fn measure(plan: &Plan, pid: u32, address: SocketAddr, identity: &Path, roots: &Path) -> Result<Measured> {
    let load = Load {
        address,
        identity: identity.to_path_buf(),
        roots: roots.to_path_buf(),
        connections: plan.connections,
        warm_up: plan.warm_up,
        measure: plan.measure,
    };
    let mut command = pinned(OTHER_CORE, &std::env::current_exe()?);
    let mut child = command.args(load.to_words()).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("the load prints nowhere")?).lines();
    let began = lines.next().transpose()?.is_some_and(|line| line == MEASURING);
    let before = cpu::time_of_tree(pid)?;
    let last = lines.next().transpose()?;
    let used = cpu::time_of_tree(pid)?.saturating_sub(before);
    ensure!(child.wait()?.success() && began, "see what it said above");
    let seen: Seen = serde_json::from_str(&last.context("the load printed no result")?)?;
    #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
    let requests = seen.requests as f64;
    Ok(Measured {
        cpu_us: used.as_secs_f64() * 1e6 / requests,
        per_second: requests / seen.seconds,
        busy: used.as_secs_f64() / seen.seconds,
        p50_us: f64::from(seen.p50_us),
        p99_us: f64::from(seen.p99_us),
    })
}

fn print_setting(plan: &Plan, subject: &Subject, nginx: &Nginx) {
    let command: Vec<String> = std::env::args().skip(1).collect();
    println!("countersign-bench {}", command.join(" "));
    println!("  {}", cpu::machine());
    println!("  {} beside {}", subject.version, nginx.version);
    println!(
        "  GET of 1 KiB, HTTP/1.1 kept alive over mutual TLS 1.3, {} connections with one request in flight each;",
        plan.connections
    );
    println!(
        "  proxies on core {PROXY_CORE}, load and upstream on core {OTHER_CORE}; {:?} a measurement",
        plan.measure
    );
}

fn print_row(round: usize, name: &str, measured: &Measured) {
    println!(
        "{round:>5}  {name:12} {:>12.1} {:>11.0} {:>9.0}% {:>9.0} {:>9.0}",
        measured.cpu_us,
        measured.per_second,
        measured.busy * 100.0,
        measured.p50_us,
        measured.p99_us
    );
}

fn print_result(plan: &Plan, ours: &[Measured], theirs: &[Measured]) -> Result<()> {
    let cpu = |all: &[Measured]| Summary::of(all.iter().map(|one| one.cpu_us)).context("nothing was measured");
    let (ours, theirs) = (cpu(ours)?, cpu(theirs)?);
    println!("\nCPU time per request in µs, median (least to most) of {} rounds:", plan.rounds);
    println!("  countersign  {ours}\n  nginx        {theirs}");
    println!("  ratio of medians  {:.2}", ours.median / theirs.median);
    if plan.short {
        println!("this was a short run: it shows that the measurement works, its figures mean nothing");
    }
    Ok(())
}
