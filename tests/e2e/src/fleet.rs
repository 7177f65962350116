//! Control, proxies and agents as processes of their own, with a network between them that can be cut.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::binary::countersign;
use crate::certificates::{Authority, Identity};
use crate::client::Dial;
use crate::process::{Ended, Process};
use crate::raw::Raw;
use crate::relay::{Network, Relay};
use crate::site::{Site, closed_port, copy};
use crate::upstream::Upstream;
use crate::wait::{wait_for, wait_until};

/// The domains of the tests' organisation.
const DOMAINS: &str = "alpha,beta,edge";

/// One control, and whoever joined it. Dropping it ends all of them and removes everything.
pub struct Fleet {
    control: Option<Process>,
    peers: BTreeMap<String, Process>,
    ports: BTreeMap<String, u16>,
    environments: BTreeMap<String, Vec<(&'static str, String)>>,
    started: usize,
    relay: Relay,
    wire: SocketAddr,
    /// The network namespaces of control and of its peers, where they are not the test's own.
    namespaces: Option<(String, String)>,
    root: TempDir,
}

impl Fleet {
    /// A control that runs the trust directory of the tests, with every service at this upstream. Nobody has joined.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(upstream: &Upstream) -> Self {
        Self::start_with(upstream, |_| {})
    }

    /// As [`Self::start`], with control in one network namespace, at this address, and its peers in another.
    ///
    /// # Panics
    /// When it does not start.
    pub fn apart(upstream: &Upstream, control: &str, address: &str, peers: &str) -> Self {
        let mut this = Self::prepare(upstream, address, |_| {});
        this.namespaces = Some((control.to_owned(), peers.to_owned()));
        this.start_control();
        this
    }

    /// As [`Self::start`], with a change of the trust directory before.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with(upstream: &Upstream, change: impl FnOnce(&Path)) -> Self {
        let mut this = Self::prepare(upstream, "127.0.0.1", change);
        this.start_control();
        this
    }

    /// As [`Self::start_with`], with nothing started yet.
    ///
    /// # Panics
    /// When the directories cannot be written.
    pub fn begin(upstream: &Upstream, change: impl FnOnce(&Path)) -> Self {
        Self::prepare(upstream, "127.0.0.1", change)
    }

    fn prepare(upstream: &Upstream, address: &str, change: impl FnOnce(&Path)) -> Self {
        let site = Site::prepare(upstream);
        let root = tempfile::Builder::new().prefix("cs-").tempdir().unwrap();
        copy(&site.dir(), &root.path().join("dir"));
        change(&root.path().join("dir"));
        let wire = SocketAddr::new(address.parse().expect("an address"), closed_port());
        let config = format!(
            "name: c1\ndata: {}\nlisteners:\n  - {{ name: wire, kind: wire, address: {wire} }}\nadmin: {{ address: 127.0.0.1:0 }}\n",
            root.path().join("control").display()
        );
        fs::write(root.path().join("control.yaml"), config).unwrap();
        Self {
            control: None,
            peers: BTreeMap::new(),
            ports: BTreeMap::new(),
            environments: BTreeMap::new(),
            started: 0,
            relay: Relay::to(wire),
            wire,
            namespaces: None,
            root,
        }
    }

    /// The folder of everything.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The trust directory.
    pub fn dir(&self) -> PathBuf {
        self.root().join("dir")
    }

    /// The data directory of control, or of a peer by its name.
    pub fn data(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Where control takes peers, without the network between.
    pub fn wire(&self) -> SocketAddr {
        self.wire
    }

    /// Changes the network between control and everybody else.
    pub fn network(&self, network: Network) {
        self.relay.set(network);
    }

    /// Starts control, and returns when it answers.
    ///
    /// # Panics
    /// When it ends instead.
    pub fn start_control(&mut self) {
        let mut command = self.program_in(self.namespaces.as_ref().map(|(control, _)| control));
        command.envs(self.environments.get("control").into_iter().flatten().map(|(name, value)| (name, value)));
        command.args(["control", "-c", "control.yaml", "dir"]);
        let mut process = self.spawn(command, "control");
        wait_for("control to answer", || {
            if let Some(ended) = process.ended() {
                panic!("control ended: {ended:#?}");
            }
            (self.run(["fleet"]).code == Some(0)).then_some(())
        });
        self.control = Some(process);
    }

    /// SIGKILL.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill_control(&mut self) {
        self.control.take().expect("a running control").kill();
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// When it does not run.
    pub fn stop_control(&mut self) -> Ended {
        let process = self.control.take().expect("a running control");
        process.ask_to_end();
        process.wait()
    }

    /// The running control.
    ///
    /// # Panics
    /// When it does not run.
    pub fn control(&self) -> &Process {
        self.control.as_ref().expect("a running control")
    }

    fn program(&self) -> Command {
        self.program_in(None)
    }

    fn program_in(&self, namespace: Option<&String>) -> Command {
        let mut command = match namespace {
            None => Command::new(countersign()),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(countersign());
                command
            }
        };
        command.env("NO_COLOR", "1").current_dir(self.root());
        command
    }

    fn spawn(&mut self, command: Command, name: &str) -> Process {
        self.started += 1;
        Process::start(command, self.root(), &format!("{name}-{}", self.started))
    }

    /// Lets a proxy for every domain join, on a port of its own, and writes its node.yaml.
    ///
    /// # Panics
    /// When control refuses.
    pub fn invite_proxy(&mut self, name: &str) {
        let token = self.token(&["--proxy", name]);
        let port = closed_port();
        let listener = format!(
            "listeners:\n  - {{ name: gateway, kind: gateway, address: 127.0.0.1:{port}, domains: [{DOMAINS}] }}\n"
        );
        self.ports.insert(name.to_owned(), port);
        self.write(name, &token, &format!("{listener}decision_log: {{ max_size: 256MiB }}\n"));
    }

    /// Lets an agent of a node group join.
    ///
    /// # Panics
    /// When control refuses.
    pub fn invite_agent(&mut self, name: &str, group: &str) {
        let token = self.token(&["--agent", name, "--group", group]);
        self.write(name, &token, "");
    }

    fn token(&self, arguments: &[&str]) -> Value {
        let arguments = [&["join-token", "--json"], arguments].concat();
        let made = self.json(&arguments);
        made.into_iter().next().expect("a token")
    }

    fn write(&self, name: &str, token: &Value, more: &str) {
        let file = self.root().join(format!("{name}.token"));
        fs::write(&file, token["token"].as_str().expect("a token")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        // the relay stands in the test's own network
        let control = if self.namespaces.is_some() { self.wire } else { self.relay.address() };
        let config = format!(
            "name: {name}\ndata: {}\ncontrol:\n  url: https://{}\n  root_sha256: {}\n  token_file: {}\n{more}",
            self.data(name).display(),
            control,
            token["root_sha256"].as_str().expect("a digest"),
            file.display()
        );
        fs::write(self.root().join(format!("{name}.yaml")), config).unwrap();
    }

    /// Starts a proxy or an agent that was invited, and returns when it says that it is up.
    ///
    /// # Panics
    /// When it ends instead.
    pub fn start_peer(&mut self, role: &str, name: &str) {
        self.spawn_peer(role, name);
        let process = self.peers.get_mut(name).expect("it was spawned");
        wait_for(&format!("{name} to be up"), || {
            if let Some(ended) = process.ended() {
                panic!("{name} ended: {ended:#?}");
            }
            process.stdout().contains("Ctrl-C stops it").then_some(())
        });
    }

    /// The environment of a peer, or of `control`, from its next start on.
    pub fn set_environment<V: Into<String>>(
        &mut self,
        name: &str,
        variables: impl IntoIterator<Item = (&'static str, V)>,
    ) {
        let variables = variables.into_iter().map(|(name, value)| (name, value.into()));
        self.environments.insert(name.to_owned(), variables.collect());
    }

    /// Starts it and waits for nothing.
    pub fn spawn_peer(&mut self, role: &str, name: &str) {
        let mut command = self.program_in(self.namespaces.as_ref().map(|(_, peers)| peers));
        command.envs(self.environments.get(name).into_iter().flatten().map(|(name, value)| (name, value)));
        command.args([role, "-c", &format!("{name}.yaml")]).env("COUNTERSIGN_LOG", "info");
        let process = self.spawn(command, name);
        self.peers.insert(name.to_owned(), process);
    }

    /// A proxy that joins, up and connected.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn join_proxy(&mut self, name: &str) {
        self.invite_proxy(name);
        self.start_peer("proxy", name);
        self.until_current(name);
    }

    /// Whether a peer runs, and has not ended by itself.
    pub fn runs(&mut self, name: &str) -> bool {
        self.peers.get_mut(name).is_some_and(|process| process.ended().is_none())
    }

    /// SIGTERM to a peer, and waits for its end.
    ///
    /// # Panics
    /// When it does not run.
    pub fn stop_peer(&mut self, name: &str) -> Ended {
        let process = self.peers.remove(name).expect("a running peer");
        process.ask_to_end();
        process.wait()
    }

    /// The roots of a domain as control has them now, in a file.
    ///
    /// # Panics
    /// When control does not answer.
    pub fn bundle(&self, domain: &str) -> PathBuf {
        let file = self.root().join(format!("{domain}-bundle.pem"));
        fs::write(&file, self.done(["identity", "bundle", domain, "--pem"])).unwrap();
        file
    }

    /// A running peer.
    ///
    /// # Panics
    /// When it does not run.
    pub fn process(&mut self, name: &str) -> &mut Process {
        self.peers.get_mut(name).expect("a running peer")
    }

    /// What a peer holds in memory, in KiB.
    ///
    /// # Panics
    /// When it does not run.
    pub fn resident(&self, name: &str) -> u64 {
        self.peers[name].resident()
    }

    /// SIGKILL.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill_peer(&mut self, name: &str) {
        self.peers.remove(name).expect("a running peer").kill();
    }

    /// How control sees a peer; `None` where it knows none.
    pub fn peer(&self, name: &str) -> Option<Value> {
        let ended = self.run(["fleet", "--json"]);
        let peers = ended.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        peers.into_iter().find(|peer| peer["name"] == name)
    }

    /// Waits until a peer is connected and runs what is current.
    ///
    /// # Panics
    /// When that does not happen in time.
    pub fn until_current(&self, name: &str) {
        wait_until(&format!("{name} to run what is current"), || {
            self.peer(name).is_some_and(|peer| {
                peer["connected"] == true && peer["publications_behind"] == 0 && peer["epochs_behind"] == 0
            })
        });
    }

    /// Where a proxy listens.
    pub fn gateway(&self, name: &str) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[name]))
    }

    fn roots_of(&self, host: &str) -> PathBuf {
        let domain = if host.starts_with("people") || host.starts_with("ledger") { "beta" } else { "alpha" };
        self.data("control").join("keys").join(domain).join("ca.pem")
    }

    /// An identity of a workload, signed with the domain's own key as it lies in control's data.
    pub fn identity(&self, workload: &str) -> Identity {
        let (domain, name) = workload.split_once('/').expect("DOMAIN/NAME");
        let authority = Authority::read(&self.data("control").join("keys").join(domain));
        authority.svid(self.root(), &format!("spiffe://{domain}.e2e.internal/{name}"))
    }

    /// As [`Self::identity`], good for so long before and after a moment.
    pub fn identity_around(&self, workload: &str, at: OffsetDateTime, around: Duration) -> Identity {
        let (domain, name) = workload.split_once('/').expect("DOMAIN/NAME");
        let authority = Authority::read(&self.data("control").join("keys").join(domain));
        authority.sign(self.root(), &format!("spiffe://{domain}.e2e.internal/{name}"), |params| {
            params.not_before = at - around;
            params.not_after = at + around;
        })
    }

    /// A caller of a host behind a proxy.
    pub fn dial(&self, proxy: &str, identity: &Identity, host: &str, protocol: &str) -> Dial {
        Dial::to(self.gateway(proxy), &self.roots_of(host), identity, host, protocol)
    }

    /// One request to a proxy: the status, and the reason of a refusal; 0 and what broke where no answer came.
    pub fn ask(&self, proxy: &str, identity: &Identity, host: &str, target: &str) -> (u16, String) {
        let opened = Raw::to(self.gateway(proxy), &self.roots_of(host), Some(identity), host);
        let answered = opened.and_then(|mut raw| {
            raw.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))?;
            raw.answer()
        });
        match answered {
            Ok(answer) => {
                let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let reason = problem["type"].as_str().unwrap_or_default();
                (answer.status, reason.trim_start_matches("urn:countersign:reason:").to_owned())
            }
            Err(error) => (0, error.to_string()),
        }
    }

    /// Runs `countersign` on control's data directory, to its end.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Ended {
        let mut command = self.program();
        let output = command.args(arguments).env("COUNTERSIGN_DATA", self.data("control")).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ended { code: output.status.code(), signal: None, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs a command that must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub fn done<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let arguments: Vec<&str> = arguments.into_iter().collect();
        let ended = self.run(arguments.iter().copied());
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:#?}");
        ended.stdout
    }

    /// Runs a command that must succeed and print JSON, one object a line.
    ///
    /// # Panics
    /// When it does not.
    pub fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.done(arguments.iter().copied());
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }
}

impl Drop for Fleet {
    /// What a failed test needs to be understood.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (name, process) in self
                .peers
                .iter()
                .map(|(name, process)| (name.as_str(), process))
                .chain(self.control.iter().map(|process| ("control", process)))
            {
                eprintln!("{name} said:\n{}{}", process.stdout(), process.stderr());
            }
        }
        self.peers.clear();
        self.control = None;
    }
}
