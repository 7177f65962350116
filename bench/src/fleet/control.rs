//! A real `countersign control` on one core, and its admin socket.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::process::{Memory, Process, free_address, pinned, until};

/// How long it may take to start.
const START: Duration = Duration::from_secs(30);
/// How long any answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// The running program.
pub struct Control {
    process: Process,
    pub wire: SocketAddr,
    pub data: PathBuf,
    /// DER of the system root.
    pub root: Vec<u8>,
}

impl Control {
    /// Starts it on one core with an empty store, which takes the directory as its first publication.
    pub fn start(binary: &Path, folder: &Path, core: usize, trust: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (wire, admin, data) = (free_address()?, free_address()?, folder.join("data"));
        let config = folder.join("control.yaml");
        let yaml = format!(
            "name: main\ndata: {}\nlisteners: [{{ name: wire, kind: wire, address: \"{wire}\" }}]\nadmin: {{ address: \
             \"{admin}\" }}\n",
            data.display()
        );
        fs::write(&config, yaml)?;
        let printed = folder.join("control.out");
        let mut command = pinned(core, binary);
        command.arg("control").arg("-c").arg(&config).arg(trust);
        let mut process = Process::start("countersign control", &mut command, &printed)?;
        process.wait_for(wire, &printed)?;
        let mut this = Self { process, wire, data, root: Vec::new() };
        let answers = until(START, || Ok(this.ask("GET", "/v1/status", None).is_ok()))?;
        ensure!(answers, "control does not answer: {}", fs::read_to_string(&printed).unwrap_or_default());
        let bundle = this.ask("GET", "/v1/bundles/system", None)?;
        let pem = bundle.get("roots").and_then(Value::as_str).context("no system root")?;
        this.root = rustls_pki_types::pem::PemObject::from_pem_slice(pem.as_bytes())
            .map(|root: rustls_pki_types::CertificateDer<'_>| root.to_vec())
            .context("the system root is no PEM")?;
        Ok(this)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Asks the admin socket; fails where the answer is no 200.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut socket = UnixStream::connect(self.data.join("admin.sock")).context("no admin socket")?;
        socket.set_read_timeout(Some(ANSWER))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let kind = if method == "POST" { "Content-Type: application/json\r\n" } else { "" };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n{kind}");
        socket.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
        let mut text = String::new();
        socket.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").context("no whole answer")?;
        if !head.starts_with("HTTP/1.1 200 ") {
            bail!("{method} {path}: {head}\n{body}");
        }
        serde_json::from_str(body).context("the answer is no JSON")
    }

    /// A token with which one proxy may join, and the digest of the root.
    pub fn token(&self, name: &str) -> Result<(String, String)> {
        self.token_for("proxy", name, None)
    }

    /// A token with which one peer may join, an agent in a node group, and the digest of the root.
    pub fn token_for(&self, role: &str, name: &str, group: Option<&str>) -> Result<(String, String)> {
        let asked = json!({ "role": role, "name": name, "group": group, "domains": null, "seconds": null });
        let made = self.ask("POST", "/v1/join-tokens", Some(&asked))?;
        let text =
            |key: &str| made.get(key).and_then(Value::as_str).map(str::to_owned).with_context(|| format!("no `{key}`"));
        Ok((text("token")?, text("root_sha256")?))
    }

    /// Proxies that are connected and run what is current, as control sees it.
    pub fn current(&self) -> Result<usize> {
        let peers = self.ask("GET", "/v1/peers", None)?;
        let is = |peer: &Value, key: &str, value: Value| peer.get(key) == Some(&value);
        let is_current = |peer: &&Value| {
            let has_all = is(peer, "publications_behind", json!(0)) && is(peer, "epochs_behind", json!(0));
            has_all && is(peer, "connected", json!(true))
        };
        Ok(peers.as_array().context("no list of peers")?.iter().filter(is_current).count())
    }

    /// What it holds in memory, in MiB.
    pub fn memory(&self) -> Result<Memory> {
        Memory::of(self.pid())
    }
}
