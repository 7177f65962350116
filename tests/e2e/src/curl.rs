//! curl as the client: what users and most callers have.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::answer::Answer;
use crate::certificates::Identity;
use crate::site::Site;

/// A call to be made.
pub struct Curl<'a> {
    site: &'a Site,
    command: Command,
    host: String,
    input: Option<Vec<u8>>,
}

/// So that each call has files of its own.
static CALLS: AtomicUsize = AtomicUsize::new(0);

impl<'a> Curl<'a> {
    /// A call of a host behind the gateway, without an identity, over the protocol that curl likes best.
    pub fn to(site: &'a Site, host: &str) -> Self {
        let mut command = Command::new("curl");
        command.args(["-q", "-sS", "--path-as-is", "--max-time", "60"]);
        command.arg("--cacert").arg(site.roots_of(host));
        command.args(["--connect-to", &format!("{host}:443:{}", site.gateway())]);
        Self { site, command, host: host.to_owned(), input: None }
    }

    /// With this identity.
    #[must_use]
    pub fn with(mut self, identity: &Identity) -> Self {
        self.command.arg("--cert").arg(&identity.certificate).arg("--key").arg(&identity.key);
        self
    }

    /// As a workload.
    #[must_use]
    pub fn by(self, workload: &str) -> Self {
        let identity = self.site.identity(workload);
        self.with(&identity)
    }

    /// Over HTTP/2 or HTTP/1.1.
    #[must_use]
    pub fn over(self, protocol: &str) -> Self {
        self.arg(match protocol {
            "h2" => "--http2",
            _ => "--http1.1",
        })
    }

    /// A further argument.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    /// Further arguments.
    #[must_use]
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// What curl reads as its standard input, for `-T -` and `--data-binary @-`.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Calls with GET.
    pub fn get(self, target: &str) -> Answer {
        self.send("GET", target)
    }

    /// Calls. A target that a URL cannot hold goes by `--request-target`.
    ///
    /// # Panics
    /// When curl cannot be run.
    pub fn send(mut self, method: &str, target: &str) -> Answer {
        let files = Files::new(self.site);
        let url = format!("https://{}/", self.host);
        self.command.args(["-o", &files.body, "-D", &files.head, "-w", "%{http_code}"]);
        match method {
            "GET" => {}
            "HEAD" => drop(self.command.arg("--head")),
            method => drop(self.command.args(["-X", method])),
        }
        self.command.args(["--request-target", target, &url]);
        let answer = self.run(&files);
        // with --head, curl writes the head where the body would be
        if method == "HEAD" { Answer { body: Vec::new(), ..answer } } else { answer }
    }

    fn run(mut self, files: &Files) -> Answer {
        self.command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child =
            self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("curl, which these tests need");
        if let (Some(input), Some(mut pipe)) = (self.input, child.stdin.take()) {
            std::thread::spawn(move || {
                // curl may stop reading: it was refused
                let _ = std::io::Write::write_all(&mut pipe, &input);
            });
        }
        let output = child.wait_with_output().unwrap();
        // the last head: an interim answer may stand before it
        let heads = fs::read_to_string(&files.head).unwrap_or_default();
        let last = heads.trim_end().rsplit("\r\n\r\n").next().unwrap_or_default();
        let exit = output.status.code().unwrap_or(-1);
        let broken = if exit == 0 { String::new() } else { String::from_utf8_lossy(&output.stderr).trim().to_owned() };
        let body = fs::read(&files.body).unwrap_or_default();
        Answer { body, broken, exit, ..Answer::of_head(last) }
    }
}

struct Files {
    head: String,
    body: String,
}

impl Files {
    fn new(site: &Site) -> Self {
        let number = CALLS.fetch_add(1, Ordering::Relaxed);
        let path = |end: &str| site.root().join(format!("curl-{number}.{end}")).display().to_string();
        Self { head: path("head"), body: path("body") }
    }
}
