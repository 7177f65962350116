//! Control, proxies and agents as processes of their own: what they lose when they are parted, killed, cheated or set back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use countersign_e2e::{
    Call, Caller, Fleet, Identity, Load, Network, Told, Upstream, echo, edit, now, wait_until, wait_within,
};

use crate::{API, CALLER, setting};

mod disk;
mod namespaces;
mod nodes;
mod parted;
mod restored;
mod stolen;

pub use disk::SmallDisk;
pub use restored::faketime;

/// One proxy that is up, and the caller that may.
fn one_proxy(upstream: &Upstream) -> (Fleet, Identity) {
    let mut fleet = Fleet::start(upstream);
    fleet.join_proxy("edge-1");
    let identity = fleet.identity(CALLER);
    (fleet, identity)
}

/// Callers over both protocols that ask all the time.
fn load(fleet: &Fleet, proxy: &str, identity: &Identity) -> Load {
    let caller = |name, protocol| Caller {
        name,
        dial: fleet.dial(proxy, identity, API, protocol),
        streams: 1,
        asks: vec![("GET", "/items/1".to_owned()), ("PUT", "/items/2".to_owned())],
    };
    Load::start(vec![caller("h1", "http/1.1"), caller("h2", "h2")], Duration::from_millis(2))
}

/// The ids of the decisions that control knows.
fn known(fleet: &Fleet) -> BTreeSet<String> {
    let listed = fleet.json(&["decisions", "--json", "--since", "1h"]);
    listed.iter().filter_map(|entry| Some(entry["id"].as_str()?.to_owned())).collect()
}

/// Waits until control knows every decision that let a call through, and each once.
fn until_all_are_known(fleet: &Fleet, calls: &[Call]) {
    let seen: BTreeSet<String> = calls.iter().map(Call::decision).collect();
    assert_eq!(seen.len(), calls.len(), "a decision was used twice");
    wait_within(Duration::from_secs(60), "control to know every decision", || {
        seen.is_subset(&known(fleet)).then_some(())
    });
    let listed = fleet.json(&["decisions", "--json", "--since", "1h"]);
    let ids: Vec<&str> = listed.iter().filter_map(|entry| entry["id"].as_str()).collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "a decision is listed twice");
}

/// Places the caller on a node group, and lets the tests' own program be it.
fn placed(dir: &std::path::Path) {
    let program = countersign_e2e::workload().display().to_string();
    edit(dir, "domains/alpha/domain.yaml", "$DATA/bin/e2e-workload", &program);
    edit(dir, "domains/alpha/domain.yaml", "  caller: { attest", "  caller: { runs_on: [pool-b], attest");
    let nodes = "timezone: UTC\nnodes: { pool-a: { join: token }, pool-b: { join: token } }";
    edit(dir, "countersign.yaml", "timezone: UTC", nodes);
}

/// Whether a workload gets an identity from the agent of a node.
fn fetches(fleet: &Fleet, node: &str) -> bool {
    let socket = fleet.data(node).join("workload.sock");
    let mut workload = std::process::Command::new(countersign_e2e::workload());
    workload.arg("1").arg(fleet.root()).env("SPIFFE_ENDPOINT_SOCKET", format!("unix:{}", socket.display()));
    workload.output().unwrap().status.success()
}

fn good(told: &[Told]) -> usize {
    told.iter().filter(|told| told.status == 200).count()
}
