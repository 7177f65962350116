//! Another process that lets peers join, and is killed at any moment.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use api::admin::{MakeJoinToken, Role};
use api::wire::JoinRequest;
use rcgen::KeyPair;

use super::support::csr;
use crate::fixture::{Folder, LOG_BYTES, World};

const DIR: &str = "COUNTERSIGN_TEST_JOINING";

#[expect(clippy::disallowed_methods, reason = "how a test that runs itself again tells its child so")]
fn told() -> Option<PathBuf> {
    std::env::var_os(DIR).map(PathBuf::from)
}

fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("\n{line}\n").as_bytes()).unwrap();
}

/// The child: each token and each peer is reported after it was answered.
#[test]
// tidy: it is one half of another test, which runs it
#[ignore = "runs as a child of who_joined_is_there_and_on_record_after_kill_9"]
fn joins_until_killed() {
    let Some(dir) = told() else { return };
    let world = World::on(Folder::Given(dir), LOG_BYTES);
    let first = world.admin().fleet().unwrap().len();
    for number in first.. {
        let name = format!("edge-{number}");
        let (role, seconds) = (Role::Proxy, None);
        let request = MakeJoinToken { role, name: name.clone(), group: None, domains: None, seconds };
        let token = world.admin().join_token("local", &request).unwrap().token;
        say(&format!("token {token}"));
        let key = KeyPair::generate().unwrap();
        world
            .control
            .join(&JoinRequest { token, csr: csr(&key), name: name.clone(), version: String::new() }, "")
            .unwrap();
        say(&format!("joined {name}"));
    }
}

/// Runs the child for a while and kills it; gives the tokens and the names that it reported.
fn run_and_kill(dir: &Path, millis: u64) -> (Vec<String>, Vec<String>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "wire::tests::killed::joins_until_killed", "--nocapture", "--include-ignored"]);
    let mut child = command.env(DIR, dir).stdout(Stdio::piped()).spawn().unwrap();
    let (mut tokens, mut joined) = (Vec::new(), Vec::new());
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut killer, mut waiting) = (Some(child), None);
    for line in lines.map_while(Result::ok) {
        match line.split_once(' ') {
            Some(("token", token)) => tokens.push(token.to_owned()),
            Some(("joined", name)) => joined.push(name.to_owned()),
            _ => continue,
        }
        // the time runs from the first act on
        if let Some(mut child) = killer.take() {
            waiting = Some(std::thread::spawn(move || {
                // tidy: the moment of the kill is what the test varies
                std::thread::sleep(Duration::from_millis(millis));
                child.kill().unwrap();
                child.wait().unwrap();
            }));
        }
    }
    waiting.unwrap().join().unwrap();
    (tokens, joined)
}

#[test]
fn who_joined_is_there_and_on_record_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for millis in [3, 17, 40, 71, 110] {
        let (tokens, joined) = run_and_kill(dir.path(), millis);
        all.extend(joined);
        let world = World::on(Folder::Given(dir.path().to_owned()), LOG_BYTES);
        let fleet: Vec<String> = world.admin().fleet().unwrap().into_iter().map(|peer| peer.name).collect();
        assert!(all.iter().all(|name| fleet.contains(name)), "{all:?} were answered, and there are {fleet:?}");
        let acts = world.acts();
        for name in &fleet {
            // the token, and the peer that used it
            let lines = acts.iter().filter(|act| act.starts_with(&format!("join allow node:proxy/{name} "))).count();
            assert!(lines >= 2, "{name}: {lines} records in {acts:?}");
        }
        // of the tokens at most the last one is still good, and none is good for a second key
        let thief = KeyPair::generate().unwrap();
        let request = |token: &String| JoinRequest { token: token.clone(), csr: csr(&thief), ..JoinRequest::default() };
        let used = tokens.iter().filter(|token| world.control.join(&request(token), "").is_err()).count();
        assert!(used + 1 >= tokens.len(), "{used} of {} tokens were used", tokens.len());
    }
    assert!(!all.is_empty());
}
