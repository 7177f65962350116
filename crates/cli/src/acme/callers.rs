//! Starts the example's callers, and the one that is taken over, as processes, and ends them.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use tokio::sync::oneshot;

use super::{
    catalogue::PROBER,
    processes::{SpawnError, end, spawn, state},
    traffic::{LOOKED_AROUND, Role, SCRIPTS},
};

/// The workload that is taken over.
pub const TAKEN_OVER: (&str, &str) = ("platform", "ci");

/// Where callers find what they need.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The data directory, where the executables are.
    pub data: PathBuf,
    /// The Workload API's socket.
    pub workload_socket: PathBuf,
    /// The gateway's address.
    pub gateway: SocketAddr,
    /// A file with the roots that the prober trusts; it is no workload, and has no other way to learn them.
    pub roots: PathBuf,
}

/// Running callers. They end when this is dropped, and when this process dies in whatever way.
#[derive(Debug, Default)]
pub struct Callers {
    children: Vec<Child>,
}

impl Drop for Callers {
    fn drop(&mut self) {
        end(self.children.iter_mut());
    }
}

impl Callers {
    /// Starts everyone who calls, each from its own path. Returns at once.
    ///
    /// # Errors
    /// See [`SpawnError`]; those that were started are ended.
    pub fn start(setting: &Setting) -> Result<Self, SpawnError> {
        let mut callers = Self::default();
        for script in SCRIPTS {
            let trust = if script.name == PROBER { &setting.roots } else { &setting.workload_socket };
            callers.children.push(setting.spawn(script.name, Role::Calls, trust, Stdio::null())?);
        }
        Ok(callers)
    }

    /// Lets the intruder in. The receiver tells when it has looked around once, or fails when it cannot.
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub fn take_over(&mut self, setting: &Setting) -> Result<oneshot::Receiver<()>, SpawnError> {
        let (_, name) = TAKEN_OVER;
        let mut child = setting.spawn(name, Role::Takeover, &setting.workload_socket, Stdio::piped())?;
        let (tell, told) = oneshot::channel();
        if let Some(output) = child.stdout.take() {
            // A plain thread: it ends with the process whose output it reads.
            std::thread::spawn(move || {
                let lines = BufReader::new(output).lines().map_while(Result::ok);
                if lines.into_iter().any(|line| line == LOOKED_AROUND) {
                    let _ = tell.send(());
                }
            });
        }
        self.children.push(child);
        Ok(told)
    }
}

impl Setting {
    fn spawn(&self, name: &str, role: Role, trust: &Path, stdout: Stdio) -> Result<Child, SpawnError> {
        let arguments: [OsString; 3] = [role.argument().into(), trust.into(), self.gateway.to_string().into()];
        let log = state(&self.data).join(format!("{name}-{}.log", role.argument()));
        spawn(&self.data, name, &arguments, &log, stdout)
    }
}
