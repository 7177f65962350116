//! A real agent that joined a real control: what it holds in memory with many workloads, and how soon a registration reaches
//! those that wait.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::files::{Directory, POOL};
use super::holder::micros;
use super::{MEASURED_CORE, OTHER_CORE, wait};
use crate::arguments::Identity;
use crate::fleet::{Control, files_of};
use crate::process::{Memory, Process, pinned};

/// A start, an answer or an update that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was measured, of each round.
#[derive(Default)]
pub struct Measured {
    /// Milliseconds until an open stream has a new registration's SVID.
    pub reached: Vec<f64>,
    /// The same for a process that had no identity before.
    pub asking: Vec<f64>,
    /// The agent's, while all hold their streams.
    pub memory: Vec<Memory>,
}

/// Measures it.
pub fn run(plan: &Identity, binary: &Path, scratch: &Path) -> Result<Measured> {
    let folder = scratch.join("agent");
    let programs = folder.join("bin");
    fs::create_dir_all(&programs)?;
    let mut workloads: Vec<(String, Vec<String>)> =
        (0..plan.held).map(|number| (format!("held-{number}"), vec![path_of(&programs, number)])).collect();
    let trust = Directory::of(&folder.join("trust"), &workloads)?;
    let control = Control::start(binary, &folder.join("control"), MEASURED_CORE, trust.path())?;
    let agent = start(binary, &folder, &control)?;
    let socket = folder.join("data/workload.sock");
    wait(PATIENCE, "the agent's socket", || Ok(socket.exists()))?;

    let mut holders = Vec::new();
    for number in 0..plan.held {
        let holder = Holder::start(&programs.join(format!("held-{number}")), &socket)?;
        holder.wait_for(1)?;
        holders.push(holder);
    }
    thread::sleep(plan.settle);
    let memory = (0..plan.rounds).map(|_| Memory::of(agent.pid())).collect::<Result<Vec<_>>>()?;
    let mut measured = Measured { memory, ..Measured::default() };

    let open = holders.first().context("no workload holds a stream")?;
    println!("\n{:>5}  {:>16}  {:>16}", "round", "open stream, ms", "asking, ms");
    for round in 1..=plan.rounds {
        let late = Holder::start(&programs.join(format!("late-{round}")), &socket)?;
        late.until_asking()?;
        let of_both = vec![path_of(&programs, 0), programs.join(format!("late-{round}")).display().to_string()];
        workloads.push((format!("late-{round}"), of_both));
        Directory::of(trust.path(), &workloads)?;
        let publish = json!({ "files": files_of(trust.path())?, "why": "a measurement", "after": null });
        let started = micros();
        control.ask("POST", "/v1/publications", Some(&publish))?;
        let (pushed, asked) = (open.wait_for(round + 1)?, late.wait_for(1)?);
        let millis = |at: u64| f64::from(u32::try_from(at.saturating_sub(started)).unwrap_or(u32::MAX)) / 1e3;
        println!("{round:>5}  {:>16.0}  {:>16.0}", millis(pushed), millis(asked));
        measured.reached.push(millis(pushed));
        measured.asking.push(millis(asked));
    }
    Ok(measured)
}

fn path_of(programs: &Path, number: usize) -> String {
    programs.join(format!("held-{number}")).display().to_string()
}

fn start(binary: &Path, folder: &Path, control: &Control) -> Result<Process> {
    let (token, root) = control.token_for("agent", "node-real", Some(POOL))?;
    let (token_file, config) = (folder.join("token"), folder.join("agent.yaml"));
    fs::write(&token_file, token)?;
    let yaml = format!(
        "name: node-real\ndata: {}\ncontrol: {{ url: \"https://{}\", root_sha256: {root}, token_file: {} }}\n",
        folder.join("data").display(),
        control.wire,
        token_file.display()
    );
    fs::write(&config, yaml)?;
    let mut command = Command::new(binary);
    command.arg("agent").arg("-c").arg(&config);
    Process::start("countersign agent", &mut command, &folder.join("agent.out"))
}

/// A workload with a program of its own.
struct Holder {
    child: Child,
    lines: Receiver<String>,
    program: PathBuf,
}

impl Holder {
    /// Starts this program under another name.
    fn start(program: &Path, socket: &Path) -> Result<Self> {
        let own = std::env::current_exe()?;
        // its own file would be the same one: a link suffices, where it can be made
        fs::hard_link(&own, program).or_else(|_| fs::copy(&own, program).map(drop))?;
        let mut command = pinned(OTHER_CORE, program);
        command.arg("hold").arg(socket).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a workload")?;
        let printed = child.stdout.take().context("a workload prints nowhere")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            BufReader::new(printed).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(Self { child, lines, program: program.to_path_buf() })
    }

    fn next(&self) -> Result<String> {
        self.lines.recv_timeout(PATIENCE).with_context(|| format!("`{}` was told nothing", self.program.display()))
    }

    fn until_asking(&self) -> Result<()> {
        ensure!(self.next()? == "asking", "a workload said something else first");
        // it has been refused by then, and asks again
        thread::sleep(Duration::from_millis(100));
        Ok(())
    }

    /// When it was told that it has so many identities.
    fn wait_for(&self, identities: usize) -> Result<u64> {
        loop {
            let line = self.next()?;
            let Some((count, at)) = line.split_once(' ') else { continue };
            let count: usize = count.parse()?;
            if count > identities {
                bail!("`{}` has {count} identities", self.program.display());
            }
            if count == identities {
                return Ok(at.parse()?);
            }
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
