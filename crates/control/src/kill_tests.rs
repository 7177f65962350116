//! Another process that publishes and revokes, and is killed at any moment.

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use api::admin::{Restore, Revoke};
use types::facts::{Facts, Outcome};

use crate::fixture::{Folder, LOG_BYTES, World, commented, records, request};

const DIR: &str = "COUNTERSIGN_TEST_DATA";

#[expect(clippy::disallowed_methods, reason = "how a test that runs itself again tells its child so")]
fn told() -> Option<PathBuf> {
    std::env::var_os(DIR).map(PathBuf::from)
}

fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("\n{line}\n").as_bytes()).unwrap();
}

/// The child: each act is reported after it was answered.
#[test]
// tidy: it is one half of another test, which runs it
#[ignore = "runs as a child of acts_are_whole_and_on_record_after_kill_9"]
fn acts_until_killed() {
    let Some(dir) = told() else { return };
    let world = World::on(Folder::Given(dir), LOG_BYTES);
    let admin = world.admin();
    let requests = ["one", "two"].map(|comment| request(&commented(comment)));
    let subject = "shop/storefront".to_owned();
    for turn in 0.. {
        let published = admin.publish("local", &requests[turn % 2]).unwrap();
        say(&format!("publication {}", published.number));
        for _ in 0..20 {
            let revoked =
                admin.revoke("local", &Revoke { subject: subject.clone(), reason: "x".into(), seconds: None });
            say(&format!("epoch {}", revoked.unwrap().epoch));
            let restored = admin.restore("local", &Restore { subject: subject.clone(), reason: String::new() });
            say(&format!("epoch {}", restored.unwrap().epoch));
        }
    }
}

/// Runs the child for a while and kills it; gives the last publication and the last epoch that it reported.
fn run_and_kill(dir: &Path, millis: u64) -> (u64, u64) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kill_tests::acts_until_killed", "--nocapture", "--include-ignored"]);
    let mut child = command.env(DIR, dir).stdout(Stdio::piped()).spawn().unwrap();
    let (mut publication, mut epoch) = (0, 0);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut killer = Some(child);
    let mut waiting = None;
    for line in lines.map_while(Result::ok) {
        match line.split_once(' ') {
            Some(("publication", number)) => publication = number.parse().unwrap(),
            Some(("epoch", number)) => epoch = number.parse().unwrap(),
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
    (publication, epoch)
}

#[test]
fn acts_are_whole_and_on_record_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5_u64 {
        let millis = RandomState::new().hash_one(round) % 900;
        let (reported, epoch) = run_and_kill(dir.path(), millis);
        let world = World::on(Folder::Given(dir.path().to_owned()), LOG_BYTES);
        let publications = world.admin().publications(1_000).unwrap();
        let kept = publications[0].number;
        assert!(kept == reported || kept == reported + 1, "answered {reported}, kept {kept}");
        assert_eq!(world.revision().to_string(), publications[0].revision, "what is current runs");
        let held = world.control.parts.signals.load().epoch();
        assert!(held == epoch || held == epoch + 1, "answered {epoch}, kept {held}");
        // nothing is in force that is not on record
        let mut numbers = std::collections::BTreeSet::new();
        let mut epochs = std::collections::BTreeMap::new();
        // in the order of the starts: the last record of an epoch is that of the act that took it
        let mut written = records(world.log.dir());
        written.sort_by_key(|record| (record.view().start, record.view().sequence));
        for record in &written {
            let Facts::Administration(facts) = record.view().facts else { continue };
            assert_eq!(facts.outcome, Outcome::Allow);
            let number = |text: &str| text.split(':').next().unwrap().parse::<u64>().unwrap();
            match facts.note.split_once(' ').unwrap() {
                ("publication", rest) => numbers.insert((number(rest), facts.revision.unwrap().to_string())),
                ("epoch", rest) => epochs.insert(number(rest), facts.act == "revoke").is_none(),
                _ => panic!("{}", facts.note),
            };
        }
        for publication in &publications {
            assert!(numbers.contains(&(publication.number, publication.revision.clone())), "{publication:?}");
        }
        assert!((1..=held).all(|epoch| epochs.contains_key(&epoch)), "{held}: {epochs:?}");
        let revoked = epochs.get(&held).copied().unwrap_or_default();
        assert_eq!(world.admin().revocations().unwrap().len(), usize::from(revoked), "what the record says of {held}");
    }
}
