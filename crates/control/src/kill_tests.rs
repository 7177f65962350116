//! Another process that publishes and revokes, and is killed at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use api::admin::{Approve, Proposal, PublicationKind, Published, Restore, Revoke, Withdraw};
use types::facts::{Facts, Outcome};

use crate::fixture::{Folder, LOG_BYTES, World, append, commented, current, owned, records, request};

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
        let published = current(admin.publish("local", &requests[turn % 2]).unwrap());
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

/// The child: what is proposed is approved, taken back, or left behind.
#[test]
// tidy: it is one half of another test, which runs it
#[ignore = "runs as a child of what_is_not_approved_is_never_current_after_kill_9"]
fn approvals_until_killed() {
    let Some(dir) = told() else { return };
    let world = World::with(&owned(), Folder::Given(dir), LOG_BYTES);
    let admin = world.admin();
    for turn in 0_u64.. {
        let mut files = owned();
        append(&mut files, "domains/shop/domain.yaml", &format!("# {turn} of {}\n", std::process::id()));
        let Published::Proposed { proposal } = admin.publish("bob", &request(&files)).unwrap() else { panic!() };
        let Proposal { number, revision, .. } = proposal;
        say(&format!("proposed {revision}"));
        if turn % 3 == 0 {
            admin.withdraw("bob", &Withdraw { number, why: String::new() }).unwrap();
        } else if turn % 3 == 1 {
            current(
                admin.approve("alice", &Approve { number, revision: revision.clone(), why: String::new() }).unwrap(),
            );
            say(&format!("approved {revision}"));
        } else {
            // what is left behind from earlier is taken back, so that there is room
            let old = admin.proposals().unwrap().into_iter().skip(2);
            old.for_each(|one| {
                drop(admin.withdraw("alice", &Withdraw { number: one.number, why: String::new() }).unwrap())
            });
        }
    }
}

/// Runs a child for a while and kills it; gives what it reported last, by word.
fn run_and_kill(test: &str, dir: &Path, millis: u64) -> BTreeMap<String, String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--include-ignored"]);
    let mut child = command.env(DIR, dir).stdout(Stdio::piped()).spawn().unwrap();
    let mut reported = BTreeMap::new();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut killer = Some(child);
    let mut waiting = None;
    for line in lines.map_while(Result::ok) {
        let Some((word @ ("publication" | "epoch" | "proposed" | "approved"), what)) = line.split_once(' ') else {
            continue;
        };
        reported.insert(word.to_owned(), what.to_owned());
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
    reported
}

#[test]
fn what_is_not_approved_is_never_current_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = String::new();
    for round in 0..5_u64 {
        let millis = RandomState::new().hash_one(round) % 900;
        let reported = run_and_kill("kill_tests::approvals_until_killed", dir.path(), millis);
        last = reported.get("approved").cloned().unwrap_or(last);
        let world = World::with(&owned(), Folder::Given(dir.path().to_owned()), LOG_BYTES);
        let publications = world.admin().publications(1_000).unwrap();
        assert_eq!(world.revision().to_string(), publications[0].revision, "what is current runs");
        assert!(
            publications.iter().take(2).any(|one| last.is_empty() || one.revision == last),
            "what was answered is kept"
        );
        let (mut approved, mut published) = (BTreeSet::new(), BTreeSet::new());
        for record in &records(world.log.dir()) {
            let Facts::Administration(facts) = record.view().facts else { continue };
            let revision = facts.revision.map(|revision| revision.to_string()).unwrap_or_default();
            match (facts.act, facts.operator) {
                ("approve", "alice") => approved.insert(revision),
                ("publish", "bob") => published.insert(revision),
                ("publish", "local") | ("propose" | "withdraw", _) => true,
                other => panic!("{other:?}"),
            };
        }
        let waiting: BTreeSet<String> =
            world.admin().proposals().unwrap().into_iter().map(|one| one.revision).collect();
        for publication in publications.iter().filter(|one| one.kind != PublicationKind::First) {
            assert_eq!(publication.approvals, ["alice"], "{publication:?}");
            assert!(approved.contains(&publication.revision) && published.contains(&publication.revision));
            assert!(!waiting.contains(&publication.revision), "it waits no more: {publication:?}");
        }
    }
}

#[test]
fn acts_are_whole_and_on_record_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = 0;
    for round in 0..5_u64 {
        let millis = RandomState::new().hash_one(round) % 900;
        let reported = run_and_kill("kill_tests::acts_until_killed", dir.path(), millis);
        let number = |word: &str| reported.get(word).map(|number| number.parse::<u64>().unwrap());
        // one that was killed before its first revocation leaves the epoch of the one before it
        let (answered, epoch) = (number("publication").unwrap(), number("epoch").unwrap_or(before));
        let world = World::on(Folder::Given(dir.path().to_owned()), LOG_BYTES);
        let publications = world.admin().publications(1_000).unwrap();
        let kept = publications[0].number;
        assert!(kept == answered || kept == answered + 1, "answered {answered}, kept {kept}");
        assert_eq!(world.revision().to_string(), publications[0].revision, "what is current runs");
        let held = world.control.parts.signals.load().epoch();
        assert!(held == epoch || held == epoch + 1, "answered {epoch}, kept {held}");
        before = held;
        // nothing is in force that is not on record
        let mut numbers = BTreeSet::new();
        let mut epochs = BTreeMap::new();
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
