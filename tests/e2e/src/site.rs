//! One running system: a trust directory, a data directory, and `countersign up` on both.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;
use tempfile::TempDir;

use crate::binary::countersign;
use crate::certificates::{Authority, Identity};
use crate::process::{Ended, Process};
use crate::upstream::Upstream;
use crate::wait::{wait_for, wait_until};

/// The trust directory of the tests.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/site");

/// A system in directories of its own. Dropping it ends the process and removes everything.
pub struct Site {
    process: Option<Process>,
    started: usize,
    status: Value,
    identities: Mutex<BTreeMap<String, Identity>>,
    root: TempDir,
}

impl Site {
    /// Writes the directories and starts nothing.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn prepare(upstream: &Upstream) -> Self {
        // a short path: the address of a Unix socket holds 107 bytes
        let root = tempfile::Builder::new().prefix("cs-").tempdir().unwrap();
        let this = Self { process: None, started: 0, status: Value::Null, identities: Mutex::default(), root };
        copy(Path::new(FILES), &this.dir());
        this.edit("domains/alpha/domain.yaml", "@DOWN@", &closed_port().to_string());
        for domain in ["alpha", "beta", "edge"] {
            this.edit(&format!("domains/{domain}/domain.yaml"), "@UPSTREAM@", &upstream.port().to_string());
        }
        this
    }

    /// A running system.
    ///
    /// # Panics
    /// When it does not start.
    pub fn up(upstream: &Upstream) -> Self {
        let mut this = Self::prepare(upstream);
        this.start();
        this
    }

    /// The folder of everything that belongs to this system.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The trust directory.
    pub fn dir(&self) -> PathBuf {
        self.root().join("dir")
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.root().join("data")
    }

    /// Replaces a text in a file of the trust directory, everywhere it stands.
    ///
    /// # Panics
    /// When it does not stand there.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.dir().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "`{from}` does not stand in {file}");
        fs::write(path, text.replace(from, to)).unwrap();
    }

    /// Writes a file of the trust directory.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.dir().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The command that starts it.
    pub fn up_command(&self) -> Command {
        let mut command = Command::new(countersign());
        command.arg("up").arg(self.dir()).arg("--data").arg(self.data()).env("NO_COLOR", "1");
        command
    }

    /// Starts it, and returns when it answers.
    ///
    /// # Panics
    /// When it ends instead.
    pub fn start(&mut self) {
        self.start_with(self.up_command());
    }

    /// Starts it with a command of the test's own.
    ///
    /// # Panics
    /// When it ends instead of answering.
    pub fn start_with(&mut self, command: Command) {
        let mut process = self.spawn(command);
        let status = wait_for("`countersign up` to answer", || {
            if let Some(ended) = process.ended() {
                panic!("`countersign up` ended: {ended:#?}");
            }
            self.ask_status()
        });
        (self.status, self.process) = (status, Some(process));
    }

    /// Starts it and expects that it ends by itself.
    ///
    /// # Panics
    /// When it runs on.
    pub fn fails_to_start(&mut self) -> Ended {
        self.spawn(self.up_command()).wait()
    }

    fn spawn(&mut self, command: Command) -> Process {
        self.started += 1;
        Process::start(command, self.root(), &format!("up-{}", self.started))
    }

    /// Asks the admin socket what runs; `None` while nothing answers.
    pub fn ask_status(&self) -> Option<Value> {
        let mut socket = UnixStream::connect(self.data().join("admin.sock")).ok()?;
        socket.write_all(b"GET /v1/status HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        socket.read_to_string(&mut text).ok()?;
        serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
    }

    /// What it said of itself at its start.
    pub fn status(&self) -> &Value {
        &self.status
    }

    /// The process.
    ///
    /// # Panics
    /// When none runs.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("a running process")
    }

    /// Takes the process away from the system.
    ///
    /// # Panics
    /// When none runs.
    pub fn take_process(&mut self) -> Process {
        self.process.take().expect("a running process")
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.take_process().kill();
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> Ended {
        let process = self.take_process();
        process.ask_to_end();
        process.wait()
    }

    /// Where the gateway listens.
    ///
    /// # Panics
    /// When it does not say.
    pub fn gateway(&self) -> SocketAddr {
        let address = self.status["listeners"][0]["address"].as_str();
        address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no listener: {}", self.status))
    }

    /// The file with the roots that a host's certificate leads to.
    ///
    /// # Panics
    /// When the host is nobody's.
    pub fn roots_of(&self, host: &str) -> PathBuf {
        let domain = self.status["hosts"][host].as_str().unwrap_or("alpha");
        self.data().join("keys").join(domain).join("ca.pem")
    }

    /// The domain's own authority, keys and all.
    pub fn authority(&self, domain: &str) -> Authority {
        Authority::read(&self.data().join("keys").join(domain))
    }

    /// The identity of a workload as `identity fetch --as` gives it, fetched once.
    ///
    /// # Panics
    /// When none is issued.
    pub fn identity(&self, workload: &str) -> Identity {
        let mut known = self.identities.lock().unwrap();
        known.entry(workload.to_owned()).or_insert_with(|| self.fetch(workload)).clone()
    }

    fn fetch(&self, workload: &str) -> Identity {
        let out = self.root().join("ids").join(workload.replace('/', "-"));
        let fetched = self.run(["identity", "fetch", "--as", workload, "--out", &out.display().to_string()]);
        assert_eq!(fetched.code, Some(0), "{fetched:#?}");
        Identity { certificate: out.join("svid.pem"), key: out.join("svid.key") }
    }

    /// Runs `countersign` with these arguments on the data directory, to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ended {
        let mut command = Command::new(countersign());
        command.args(arguments).env("COUNTERSIGN_DATA", self.data()).env("NO_COLOR", "1").current_dir(self.root());
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ended { code: output.status.code(), signal: None, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Drop for Site {
    /// What a failed test needs to be understood.
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(process) = &self.process
        {
            eprintln!("`countersign up` said:\n{}{}", process.stdout(), process.stderr());
        }
        self.process = None;
        wait_until("the directories to go", || fs::remove_dir_all(self.root.path()).is_ok());
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A port of 127.0.0.1 on which nobody listens.
///
/// # Panics
/// When no port is to be had.
pub fn closed_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
