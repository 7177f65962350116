//! Processes that end with the measurement, pinned to one core each.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(5);

/// A process that is stopped when this value goes.
pub struct Process {
    child: Child,
    name: &'static str,
}

impl Process {
    /// Starts a command on one core; what it prints goes to a file.
    pub fn start(name: &'static str, command: &mut Command, printed: &Path) -> Result<Self> {
        let file = File::create(printed).with_context(|| format!("cannot create `{}`", printed.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a crash would, and waits until nothing of it is left.
    pub fn kill(mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until something listens at the address; fails when the process ends before.
    pub fn wait_for(&mut self, address: SocketAddr, printed: &Path) -> Result<()> {
        let name = self.name;
        let reached = until(START, || {
            if let Some(status) = self.child.try_wait()? {
                let said = std::fs::read_to_string(printed).unwrap_or_default();
                bail!("{name} ended at once ({status}); it said:\n{said}");
            }
            Ok(TcpStream::connect(address).is_ok())
        })?;
        if reached { Ok(()) } else { bail!("{name} does not listen at {address} after {START:?}") }
    }
}

impl Drop for Process {
    /// Asks first: nginx ends its workers only when asked.
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // it may have ended by itself
            let _ = kill_process(pid, Signal::TERM);
        }
        let ended = until(STOP, || Ok(self.child.try_wait()?.is_some()));
        if !matches!(ended, Ok(true)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Asks again and again until it holds, or for so long.
pub fn until(most: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<bool> {
    let end = Instant::now() + most;
    while Instant::now() < end {
        if holds()? {
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(false)
}

/// What a process holds in memory, in MiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// All of it (`VmRSS`).
    pub resident: f64,
    /// What is its own (`RssAnon`).
    pub anonymous: f64,
    /// Pages of files, the program's above all (`RssFile`): the system shares them among processes and drops them at will.
    pub of_files: f64,
}

impl Memory {
    /// Of a running process.
    pub fn of(pid: u32) -> Result<Self> {
        Self::read(&std::fs::read_to_string(format!("/proc/{pid}/status"))?)
    }

    fn read(status: &str) -> Result<Self> {
        let mib = |name: &str| {
            let found = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kib: f64 = found.with_context(|| format!("no {name}"))?.trim().trim_end_matches(" kB").parse()?;
            anyhow::Ok(kib / 1024.0)
        };
        Ok(Self { resident: mib("VmRSS")?, anonymous: mib("RssAnon")?, of_files: mib("RssFile")? })
    }
}

/// A command that runs on one core only.
pub fn pinned(core: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &core.to_string()]).arg(program);
    command
}

/// A port of this machine that nobody listens at.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    listener.local_addr().context("a listener without an address")
}

/// What a command prints, standard error included: some print their version there.
pub fn said(program: &Path, arguments: &[&str]) -> Result<String> {
    let ran = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let ran = match ran {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("`{}` is not on this machine", program.display()),
        other => other.with_context(|| format!("cannot run `{}`", program.display()))?,
    };
    let text = [ran.stdout, ran.stderr].concat();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    if ran.status.success() {
        return Ok(text);
    }
    bail!("`{} {}` failed: {text}", program.display(), arguments.join(" "))
}

#[cfg(test)]
mod tests {
    use super::{Memory, Process, pinned, said, until};
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn a_process_ends_with_its_value_and_runs_on_one_core() {
        let folder = tempfile::tempdir().unwrap();
        let printed = folder.path().join("out");
        let process = Process::start("sleep", pinned(0, Path::new("sleep")).arg("60"), &printed).unwrap();
        let proc = format!("/proc/{}", process.pid());
        let on_one_core = until(Duration::from_secs(10), || {
            let status = std::fs::read_to_string(format!("{proc}/status"))?;
            Ok(status.contains("Cpus_allowed_list:\t0\n"))
        });
        assert!(on_one_core.unwrap());
        drop(process);
        assert!(!Path::new(&proc).exists());
    }

    #[test]
    fn memory_is_read_part_by_part() {
        let memory = Memory::read("VmRSS:\t    3072 kB\nRssAnon:\t    1024 kB\nRssFile:\t    2048 kB\n").unwrap();
        assert_eq!((memory.resident, memory.anonymous, memory.of_files), (3.0, 1.0, 2.0));
        assert!(Memory::read("VmRSS:\t    3072 kB\n").is_err());
        assert!(Memory::of(std::process::id()).unwrap().anonymous > 0.0);
    }

    #[test]
    fn a_process_that_ends_at_once_is_told_with_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let printed = folder.path().join("out");
        let mut process =
            Process::start("shell", Command::new("sh").args(["-c", "echo no room; exit 3"]), &printed).unwrap();
        let error = process.wait_for("127.0.0.1:1".parse().unwrap(), &printed).unwrap_err().to_string();
        assert!(error.contains("no room") && error.contains('3'), "{error}");
        assert!(said(Path::new("no-such-program"), &[]).is_err());
    }
}
