//! Other processes: one that is killed at any moment, and one that comes second.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use types::Recordable;

use super::support::{Ticking, allow, config, deny, done, open, put, read};
use crate::{Cursor, DamageKind, Item, Log};

const DIR: &str = "COUNTERSIGN_TEST_LOG";

/// Runs one of the tests below in a process of its own.
fn child(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--include-ignored"]).env(DIR, dir).stdout(Stdio::piped());
    command
}

#[expect(clippy::disallowed_methods, reason = "how a test that runs itself again tells its child so")]
fn told() -> Option<PathBuf> {
    std::env::var_os(DIR).map(PathBuf::from)
}

/// The child: two lanes, each record reported after `append` has returned.
#[test]
// tidy: it is one half of another test, which runs it
#[ignore = "runs as a child of what_was_appended_survives_kill_9"]
fn writes_until_killed() {
    let Some(dir) = told() else { return };
    let log = Log::open(config(&dir), Ticking::from(1)).unwrap();
    let writers: Vec<_> = ["a", "b"]
        .map(|name| {
            let mut lane = log.lane(name).unwrap();
            thread::spawn(move || {
                for number in 0u64.. {
                    for item in [allow(number).note("x".repeat(number as usize % 500)), done(number)] {
                        let recorded = put(&mut lane, &item);
                        let id = recorded.get().id;
                        let line = format!("recorded {} {} {id}\n", lane.name(), recorded.sequence());
                        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                    }
                }
            })
        })
        .into();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
}

/// Kills the child after so many lines; gives what it had reported: lane, sequence, id.
fn reported(mut child: Child, lines: u64) -> BTreeSet<(String, u64, String)> {
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = BTreeSet::new();
    while let Some(Ok(line)) = output.next() {
        if let ["recorded", lane, sequence, id] = line.split(' ').collect::<Vec<_>>()[..] {
            seen.insert((lane.to_owned(), sequence.parse().unwrap(), id.to_owned()));
        }
        if seen.len() as u64 == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen.len() as u64 >= lines);
    seen
}

#[test]
fn what_was_appended_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..6u64 {
        let lines = 1 + RandomState::new().hash_one(round) % 2_000;
        let child = child("tests::kill::writes_until_killed", dir.path()).spawn().unwrap();
        let reported = reported(child, lines);

        let (records, damage) = read(dir.path());
        let start = records.iter().map(|record| record.view().start).max().unwrap();
        let mut found = BTreeSet::new();
        let mut count: BTreeMap<String, u64> = BTreeMap::new();
        for record in records.iter().filter(|record| record.view().start == start) {
            let view = record.view();
            let (types::facts::Facts::Decision(types::facts::Decision { id, .. })
            | types::facts::Facts::Completion(types::facts::Completion { id, .. })) = view.facts
            else {
                panic!("neither decision nor completion")
            };
            found.insert((view.lane.to_owned(), view.sequence, id.to_string()));
            *count.entry(view.lane.to_owned()).or_default() += 1;
        }
        let lost: Vec<_> = reported.difference(&found).collect();
        assert!(lost.is_empty(), "reported and not in the log: {lost:?}");
        assert!(found.len() <= reported.len() + 2, "at most one record of each lane was not reported yet");
        assert!(
            count.iter().all(|(lane, count)| found
                .range((lane.clone(), 0, String::new())..)
                .take(*count as usize)
                .count() as u64
                == *count)
        );
        let torn = |damage: &crate::Damage| matches!(damage.what, DamageKind::TornTail { .. });
        assert!(damage.iter().all(torn), "a death leaves torn tails at most: {damage:?}");

        let log = open(dir.path());
        assert_eq!(log.recovery().records, records.len() as u64);
    }
}

/// The child: tries to open a log that its parent holds.
#[test]
// tidy: it is one half of another test, which runs it
#[ignore = "runs as a child of a_second_process_is_refused_and_told_who_is_there"]
fn comes_second() {
    let Some(dir) = told() else { return };
    let error = Log::open(config(&dir), Ticking::from(1)).err().unwrap();
    let mut cursor = Cursor::open(&dir).unwrap();
    let Some(Ok(Item::Record(record))) = cursor.next() else { panic!("reading is free") };
    assert_eq!(record.view().facts, deny(1).facts());
    std::io::stdout().write_all(format!("{error}\nhint: {}\n", error.hint()).as_bytes()).unwrap();
}

#[test]
fn a_second_process_is_refused_and_told_who_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut lane = log.lane("a").unwrap();
    let _ = put(&mut lane, &deny(1));
    let output = child("tests::kill::comes_second", dir.path()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let here = dir.path().display();
    let expected =
        format!("the decision log `{here}` is in use by process {}\nhint: stop that process", std::process::id());
    assert!(output.status.success() && said.contains(&expected), "{said}");
}
