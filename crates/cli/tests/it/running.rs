//! A running `countersign up` for tests, in a temporary directory with a short name.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A temporary directory, which everything of one test lives in.
pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::Builder::new().prefix("cs").tempdir_in("/tmp").unwrap() }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// The binary, with its state below this directory.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(arguments).current_dir(self.dir.path()).env("XDG_STATE_HOME", self.path("state"));
        command.env_remove("COUNTERSIGN_DATA").env_remove("COUNTERSIGN_LOG").env_remove("COUNTERSIGN_SERVER");
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).stdin(Stdio::null()).output().unwrap())
    }

    /// `init`'s output as `shop`, listening on any free port.
    pub fn with_shop(self) -> Self {
        assert_eq!(self.run(&["init", "shop"]).code, 0);
        self.write("shop/node.yaml", "listeners: [{ name: gateway, kind: gateway, address: 127.0.0.1:0 }]\n");
        self
    }

    /// As [`Self::with_shop`], with an operator who may impersonate and orders served at an address.
    pub fn with_served_shop(self, upstream: SocketAddr) -> Self {
        let place = self.with_shop();
        let permit = "@id(\"local\")\n@reason(\"a test\")\n\
            permit (principal == Operator::\"local\", action == Action::\"impersonate\", resource in Domain::\"shop\");\n";
        place.write("shop/admin.cedar", permit);
        let domain = place.read("shop/domains/shop/domain.yaml");
        let served = domain.replace("127.0.0.1:7001", &upstream.to_string());
        assert_ne!(domain, served);
        place.write("shop/domains/shop/domain.yaml", &served);
        place
    }

    pub fn write(&self, path: &str, content: &str) {
        fs::write(self.path(path), content).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// Starts `up` and waits until it says that it is.
    pub fn up(&self, arguments: &[&str]) -> Up {
        let mut command = self.command(&["up"]);
        Up::start(command.args(arguments), "Ctrl-C stops it.")
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Each line of the output as JSON.
    pub fn json(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }
}

/// A process that serves. Killed when dropped.
pub struct Up {
    child: Child,
    /// What it said until it was ready.
    pub said: String,
    /// What it said since then.
    since: Arc<Mutex<String>>,
    errors: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// Collects what a process writes, so that no pipe is ever full.
fn collect(source: impl Read + Send + 'static) -> (Arc<Mutex<String>>, JoinHandle<()>) {
    let collected = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&collected);
    let reader = std::thread::spawn(move || {
        let mut lines = BufReader::new(source);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    (collected, reader)
}

/// Waits until something holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        // tidy: a condition of another process is looked at until it holds
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Up {
    pub fn start(command: &mut Command, ready: &str) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let (errors, from_errors) = collect(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains(ready) {
            if lines.read_line(&mut said).unwrap() == 0 {
                from_errors.join().unwrap();
                panic!("it ended before it was ready: {said}{}", errors.lock().unwrap());
            }
        }
        let (since, from_output) = collect(lines);
        Self { child, said, since, errors, readers: vec![from_errors, from_output] }
    }

    /// What it has said on standard output since it was ready.
    pub fn output(&self) -> String {
        self.since.lock().unwrap().clone()
    }

    /// What it has said on standard error; all of it once it has ended.
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    pub fn signal(&self, name: &str) {
        let killed = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => {
                    for reader in self.readers.drain(..) {
                        reader.join().unwrap();
                    }
                    return status;
                }
                None if start.elapsed() > PATIENCE => panic!("it does not end"),
                // tidy: the condition of a process is its end; it is looked at until then
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An upstream that answers everything with `201` and `{"ok":true}`, one connection at a time, until the test ends.
pub fn upstream() -> SocketAddr {
    upstream_answering("201 Created", "application/json", r#"{"ok":true}"#)
}

/// As [`upstream`], with another answer.
pub fn upstream_answering(status: &str, kind: &str, body: &str) -> SocketAddr {
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(read) = stream.read(&mut buffer) {
                    seen.extend_from_slice(&buffer[..read]);
                    if read == 0 {
                        return;
                    }
                    if is_whole(&seen) {
                        seen.clear();
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

/// Whether head and body of a request are there, chunked or with a length.
fn is_whole(seen: &[u8]) -> bool {
    let text = String::from_utf8_lossy(seen);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}

/// Files below a directory, for damaging one of them.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
