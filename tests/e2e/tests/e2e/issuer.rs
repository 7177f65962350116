//! The issuer and those who live on it: keys that rotate under load, an issuer that is away, a domain's key that was stolen,
//! floods, and the clients that others wrote.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use countersign_e2e::{
    Authority, Fleet, Identity, Process, Site, Upstream, caller, echo, edit, say, wait_for, wait_until, wait_within,
    workload,
};
use serde_json::Value;

use crate::{API, CALLER};

mod apart;
mod bad;
mod clients;
mod flood;
mod minted;
mod revoked;
mod rotation;
mod walls;

/// A node of the group on which the caller runs.
const NODE: &str = "node-b";

/// Places the caller on a node group, lets the tests' own programs be it, and gives certificates this life.
fn placed(dir: &Path, ttl: &str) {
    let rule = |program: PathBuf| format!("{{ unix: {{ path: {} }} }}", program.display());
    let rules: Vec<String> = [workload(), caller()].into_iter().chain(clients::programs()).map(rule).collect();
    let rules = format!("[{}]", rules.join(", "));
    edit(dir, "domains/alpha/domain.yaml", "[{ unix: { path: $DATA/bin/e2e-workload } }]", &rules);
    edit(dir, "domains/alpha/domain.yaml", "  caller: { attest", "  caller: { runs_on: [pool-b], attest");
    let nodes = "timezone: UTC\nnodes: { pool-a: { join: token }, pool-b: { join: token } }";
    edit(dir, "countersign.yaml", "timezone: UTC", nodes);
    edit(dir, "countersign.yaml", "svid: { ttl: 1h }", &format!("svid: {{ ttl: {ttl} }}"));
}

/// Control, a proxy and an agent on which the caller may run, and gets its identity.
fn fleet(upstream: &Upstream, ttl: &str) -> Fleet {
    let mut fleet = Fleet::start_with(upstream, |dir| placed(dir, ttl));
    fleet.join_proxy("edge-1");
    fleet.invite_agent(NODE, "pool-b");
    fleet.start_peer("agent", NODE);
    wait_for("an identity", || fetched(&fleet, "first"));
    fleet
}

/// The address of a Workload API, as clients take it.
fn socket(data: &Path) -> String {
    format!("unix:{}", data.join("workload.sock").display())
}

/// The tests' own workload with these words, on the node of the fleet.
fn on_node(fleet: &Fleet, arguments: &[&str]) -> Command {
    let mut command = Command::new(workload());
    command.args(arguments).env("SPIFFE_ENDPOINT_SOCKET", socket(&fleet.data(NODE))).current_dir(fleet.root());
    command
}

/// An SVID that the agent of the node gives the caller; `None` where it gives none.
fn fetched(fleet: &Fleet, name: &str) -> Option<Identity> {
    let folder = fleet.root().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let output = on_node(fleet, &["1", &folder.display().to_string()]).output().unwrap();
    let file = |end: &str| folder.join(format!("svid-1.{end}"));
    output.status.success().then(|| Identity { certificate: file("pem"), key: file("key") })
}

/// What the tests' own workload prints for these words, or why it fails.
fn asked(fleet: &Fleet, arguments: &[&str]) -> Result<String, String> {
    let output = on_node(fleet, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// A caller that takes its identity from the node's agent and calls all the time.
struct Calling {
    process: Process,
}

impl Calling {
    fn start(fleet: &Fleet, proxy: &str, environment: &[(&'static str, String)]) -> Self {
        Self::by(Command::new(caller()), fleet, proxy, environment, "calling")
    }

    /// The same by another program that takes the same words.
    fn by(
        mut command: Command,
        fleet: &Fleet,
        proxy: &str,
        environment: &[(&'static str, String)],
        name: &str,
    ) -> Self {
        command.args([fleet.gateway(proxy).to_string().as_str(), API, "alpha.e2e.internal"]);
        command.env("SPIFFE_ENDPOINT_SOCKET", socket(&fleet.data(NODE)));
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let this = Self { process: Process::start(command, fleet.root(), name) };
        this.until_it_goes_well(20);
        this
    }

    /// What it said.
    fn lines(&self) -> Vec<Value> {
        self.process.stdout().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn of(&self, key: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| !line[key].is_null()).collect()
    }

    /// How many calls over connections of their own went well.
    fn calls(&self) -> u64 {
        self.of("calls").last().and_then(|line| line["calls"].as_u64()).unwrap_or(0)
    }

    /// Waits until so many more calls went well.
    fn until_it_goes_well(&self, more: u64) {
        let before = self.calls();
        wait_within(Duration::from_secs(60), "calls to go well", || (self.calls() >= before + more).then_some(()));
    }

    /// Serial number and count of roots of each identity that it was given.
    fn updates(&self) -> Vec<(String, u64)> {
        let read = |line: &Value| (line["update"].as_str().unwrap().to_owned(), line["roots"].as_u64().unwrap());
        self.of("update").iter().map(read).collect()
    }
}

impl Drop for Calling {
    /// What a failed test needs to be understood.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.process.stdout();
            let lines: Vec<&str> = said.lines().filter(|line| !line.contains("\"calls\"")).collect();
            let last = lines.iter().skip(lines.len().saturating_sub(20));
            eprintln!("after {} calls a caller said last:\n{:#?}", self.calls(), last.collect::<Vec<_>>());
        }
    }
}

/// How the rotation of a domain's keys stands.
fn rotation(fleet: &Fleet, domain: &str, keys: &str) -> Value {
    let all = fleet.json(&["identity", "rotate-root", "--json"]);
    let found = all.iter().find(|one| one["domain"] == domain && one["keys"] == keys);
    found.unwrap_or_else(|| panic!("{all:#?}")).clone()
}

/// Waits until a rotation is in a phase.
fn until_phase(fleet: &Fleet, domain: &str, keys: &str, phase: &str) -> Value {
    wait_within(Duration::from_secs(150), &format!("{domain} {keys} to be {phase}"), || {
        let state = rotation(fleet, domain, keys);
        (state["phase"] == phase).then_some(state)
    })
}
