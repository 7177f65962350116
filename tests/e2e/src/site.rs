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

use crate::answer::Answer;
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
        Self::before(upstream.port())
    }

    /// Writes the directories, with every service at this port of 127.0.0.1, and starts nothing.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn before(upstream: u16) -> Self {
        let this = Self::of(Path::new(FILES));
        this.edit("domains/alpha/domain.yaml", "@DOWN@", &closed_port().to_string());
        for domain in ["alpha", "beta", "edge"] {
            this.edit(&format!("domains/{domain}/domain.yaml"), "@UPSTREAM@", &upstream.to_string());
        }
        this
    }

    /// A copy of a trust directory, of which nothing is started.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn of(files: &Path) -> Self {
        // a short path: the address of a Unix socket holds 107 bytes
        let root = tempfile::Builder::new().prefix("cs-").tempdir().unwrap();
        let this = Self { process: None, started: 0, status: Value::Null, identities: Mutex::default(), root };
        copy(files, &this.dir());
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
        edit(&self.dir(), file, from, to);
    }

    /// A copy of the trust directory as it is now, beside it.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn copy_as(&self, name: &str) -> PathBuf {
        let target = self.root().join(name);
        copy(&self.dir(), &target);
        target
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
        self.ask_admin("GET", "/v1/status", "").filter(|(status, _)| *status == 200).map(|(_, answer)| answer)
    }

    /// Asks the admin socket: the status and the JSON of the answer; `None` where none comes whole.
    pub fn ask_admin(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let mut socket = UnixStream::connect(self.data().join("admin.sock")).ok()?;
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n{kind}");
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        socket.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        socket.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((Answer::of_head(head).status, serde_json::from_str(body).ok()?))
    }

    /// What runs now, by its full name.
    ///
    /// # Panics
    /// When nothing answers.
    pub fn revision(&self) -> String {
        let status = self.ask_status().expect("an answer of the admin socket");
        status["revision"].as_str().expect("a revision").to_owned()
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

    /// What it holds in memory, in KiB.
    ///
    /// # Panics
    /// When none runs.
    pub fn resident(&self) -> u64 {
        self.process.as_ref().expect("a running process").resident()
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

    /// Where the console is served.
    ///
    /// # Panics
    /// When it is not.
    pub fn console(&self) -> SocketAddr {
        let address = self.status["console"].as_str();
        address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no console: {}", self.status))
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

    /// `countersign` with these arguments on the data directory.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(countersign());
        command.args(arguments).env("COUNTERSIGN_DATA", self.data()).env("NO_COLOR", "1").current_dir(self.root());
        command
    }

    /// Runs a command that must succeed and print JSON, one object a line.
    ///
    /// # Panics
    /// When it does not.
    pub fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:#?}");
        let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        ended.stdout.lines().map(read).collect()
    }

    /// Publishes a trust directory, which must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub fn publish(&self, dir: &Path, why: &str) -> Value {
        let published = self.json(&["publish", &dir.display().to_string(), "--why", why, "--json"]);
        let published = published.into_iter().next().expect("what became of it");
        assert_eq!(published["outcome"], "current", "{published:#}");
        published["publication"].clone()
    }

    /// Runs `countersign` with these arguments on the data directory, to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ended {
        let mut command = self.command(arguments);
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

/// Replaces a text in a file below a folder, everywhere it stands.
///
/// # Panics
/// When it does not stand there.
pub fn edit(folder: &Path, file: &str, from: &str, to: &str) {
    let path = folder.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "`{from}` does not stand in {file}");
    fs::write(path, text.replace(from, to)).unwrap();
}

pub(crate) fn copy(from: &Path, to: &Path) {
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
