//! A child process whose output is kept, and which never outlives its test.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::wait::{wait_for, wait_until};

/// A running process, the leader of a group of its own. Dropping it kills the group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// How a process ended and what it said.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Process {
    /// Starts it, with its output in files of this name below `folder`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut command: Command, folder: &Path, name: &str) -> Self {
        let (stdout, stderr) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        command.stdin(Stdio::null()).process_group(0);
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, stdout, stderr }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Its end, if it has ended.
    pub fn ended(&mut self) -> Option<Ended> {
        let status = self.child.try_wait().expect("a child")?;
        Some(self.described(status))
    }

    fn described(&self, status: ExitStatus) -> Ended {
        Ended { code: status.code(), signal: status.signal(), stdout: self.stdout(), stderr: self.stderr() }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait(mut self) -> Ended {
        wait_for("a process to end", || self.ended())
    }

    /// SIGTERM.
    pub fn ask_to_end(&self) {
        // it may have ended by itself
        let _ = kill_process(self.pid(), Signal::TERM);
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        let _ = kill_process(self.pid(), Signal::HUP);
    }

    /// What it holds in memory, in KiB.
    ///
    /// # Panics
    /// When it does not run.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Ctrl-C: SIGINT to the whole group, as a terminal sends it.
    pub fn interrupt(&self) {
        let _ = kill_process_group(self.pid(), Signal::INT);
    }

    /// SIGKILL, and nothing of it runs any more when this returns.
    pub fn kill(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.kill();
            wait_until("a killed process to end", || self.child.try_wait().is_ok_and(|ended| ended.is_some()));
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
