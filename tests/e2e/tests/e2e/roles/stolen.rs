//! Identities that were stolen and taken away, tokens used twice, and state that somebody changed.

use std::fs;
use std::path::Path;

use super::*;

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

/// A node.yaml that is that of the proxy, with a data directory of its own.
fn elsewhere(fleet: &Fleet, name: &str) {
    let yaml = fs::read_to_string(fleet.root().join("edge-1.yaml")).unwrap();
    let data = |name: &str| format!("data: {}\n", fleet.data(name).display());
    fs::write(fleet.root().join(format!("{name}.yaml")), yaml.replace(&data("edge-1"), &data(name))).unwrap();
}

#[test]
fn a_stolen_proxy_identity_that_was_revoked_learns_nothing_more() {
    let upstream = Upstream::start(echo);
    let (mut fleet, _) = one_proxy(&upstream);
    fleet.kill_peer("edge-1");
    copy(&fleet.data("edge-1"), &fleet.data("thief"));
    let revoked = fleet.run(["revoke", "node:proxy/edge-1", "--reason", "its disk was stolen"]);
    assert_eq!(revoked.code, Some(0), "{revoked:#?}");
    elsewhere(&fleet, "thief");
    fleet.spawn_peer("proxy", "thief");
    wait_until("it to be told that it is refused", || fleet.process("thief").stderr().contains("revoked"));
    assert!(fleet.peer("edge-1").is_some_and(|peer| peer["connected"] == false && peer["revoked"] == true));
    // nothing that became current after it is known to the thief
    let before = fs::read_dir(fleet.data("thief").join("state/blobs")).unwrap().count();
    edit(&fleet.dir(), "countersign.yaml", "risk_unknown: 20", "risk_unknown: 22");
    fleet.done(["publish", "dir"]);
    fleet.kill_peer("thief");
    assert_eq!(fs::read_dir(fleet.data("thief").join("state/blobs")).unwrap().count(), before);
    fleet.done(["restore", "node:proxy/edge-1"]);
    fleet.start_peer("proxy", "edge-1");
    fleet.until_current("edge-1");
}

#[test]
fn a_token_lets_one_in_and_a_second_one_is_refused_and_recorded() {
    let upstream = Upstream::start(echo);
    let (mut fleet, _) = one_proxy(&upstream);
    elsewhere(&fleet, "second");
    fleet.spawn_peer("proxy", "second");
    wait_until("it to be told why", || fleet.process("second").stderr().contains("used"));
    assert_eq!(fleet.json(&["fleet", "--json"]).len(), 1);
}

#[test]
fn state_that_somebody_changed_is_not_used() {
    let upstream = Upstream::start(echo);
    let (mut fleet, identity) = one_proxy(&upstream);
    fleet.kill_peer("edge-1");
    fleet.network(Network::Cut);
    let kept = fleet.root().join("kept");
    copy(&fleet.data("edge-1").join("state"), &kept);
    let files: Vec<_> =
        fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    let permit = fs::read_dir(kept.join("blobs")).unwrap().map(|entry| entry.unwrap().path());
    for file in files.into_iter().chain(permit.take(3)) {
        let bytes = fs::read(&file).unwrap();
        let name = file.strip_prefix(&kept).unwrap().to_owned();
        if bytes.is_empty() || name.to_string_lossy().contains("heartbeat") {
            continue;
        }
        let state = fleet.data("edge-1").join("state");
        fs::remove_dir_all(&state).unwrap();
        copy(&kept, &state);
        let mut changed = bytes.clone();
        let at = changed.len() / 2;
        changed[at] ^= 1;
        fs::write(state.join(&name), changed).unwrap();
        fleet.spawn_peer("proxy", "edge-1");
        let ended_or_waits = |fleet: &mut Fleet| {
            let process = fleet.process("edge-1");
            process.ended().is_some()
                || process.stdout().contains("waiting for control")
                || process.stdout().contains("Ctrl-C")
        };
        wait_until("it to say what it makes of that", || ended_or_waits(&mut fleet));
        let (status, _) = fleet.ask("edge-1", &identity, API, "/unpermitted");
        assert_ne!(status, 200, "{} changed", name.display());
        fleet.kill_peer("edge-1");
    }
    let state = fleet.data("edge-1").join("state");
    fs::remove_dir_all(&state).unwrap();
    copy(&kept, &state);
    fleet.network(Network::Up);
    fleet.start_peer("proxy", "edge-1");
    fleet.until_current("edge-1");
    // the next heartbeat confirms what it runs
    wait_until("it to be allowed", || fleet.ask("edge-1", &identity, API, "/items/1").0 == 200);
}
