//! Control, proxies and agents as processes of their own: what they lose when they are parted, killed, cheated or set back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use countersign_e2e::{
    Call, Caller, Fleet, Identity, Load, Network, Told, Upstream, echo, edit, now, wait_until, wait_within,
};

use crate::{API, CALLER, setting};

mod disk;
mod namespaces;
mod parted;
mod restored;
mod stolen;

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

fn good(told: &[Told]) -> usize {
    told.iter().filter(|told| told.status == 200).count()
}
