//! Lanes: what is appended is there, what does not fit is refused and given back, and room that comes back is used.

use std::{fs, process::Command, thread};

use types::{Label, Reason, Recordable, facts::Facts, limits};

use super::support::{
    SEGMENT, Ticking, allow, bytes_of, config, deny, done, id, kinds, open, put, read, segments, sequences, wait_for,
    written,
};
use crate::{Cause, DamageKind, Lane, Log, LogConfig, NotRecorded, Recorded, Why};

#[test]
fn what_is_appended_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let (mut a, mut b) = (log.lane("a").unwrap(), log.lane("b").unwrap());
    let first = a.append(allow(1).note("grüße")).unwrap();
    let _ = b.append(deny(2)).unwrap();
    let _ = a.append(done(1)).unwrap();
    assert_eq!((first.sequence(), first.get().id), (0, id(1)));

    let (records, damage) = read(dir.path());
    assert_eq!(damage, []);
    let seen: Vec<_> = records.iter().map(|r| (r.view().lane.to_owned(), r.view().sequence)).collect();
    assert_eq!(seen, [("a".to_owned(), 0), ("b".to_owned(), 0), ("a".to_owned(), 1)]);
    let view = records[0].view();
    assert_eq!((view.enforcer, view.start, view.at), ("gw-1", log.start(), first.at()));
    assert_eq!(view.facts, first.into_inner().facts());
}

#[test]
fn a_note_is_cut_between_characters_and_a_long_claim_cannot_hide_its_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut lane = log.lane("a").unwrap();
    let mut sample = deny(1).note(format!("x{}", "é".repeat(400)));
    sample.texts[6] = "spiffe://".repeat(2000);
    let _ = lane.append(sample).unwrap();
    let (records, _) = read(dir.path());
    let Facts::Decision(decision) = records[0].view().facts else { panic!("a decision") };
    assert_eq!(decision.note, format!("x{}", "é".repeat(255)), "511 bytes: another é would be 513");
    let types::facts::Caller::Unidentified { claimed } = decision.caller else { panic!("nobody") };
    assert_eq!(claimed.len(), limits::SPIFFE_ID_BYTES.default_usize());
}

#[test]
fn a_record_that_is_too_large_is_refused_and_takes_no_sequence() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut lane = log.lane("a").unwrap();
    let mut large = allow(1);
    large.policies = vec!["p".repeat(1000); 9];
    let refused = lane.append(large).unwrap_err();
    assert!(matches!(refused.why(), Why::TooLarge { bytes } if bytes > limits::RECORD_BYTES.default_usize()));
    assert_eq!(refused.reason(), Reason::RecordFull);
    assert_eq!(refused.into_inner().id, id(1), "the item comes back");
    assert_eq!(lane.outstanding(), 0, "nothing is kept for what was not recorded");
    assert_eq!(lane.append(deny(2)).unwrap().sequence(), 0);
    assert_eq!(log.health().refused, 1);
}

#[test]
fn lanes_go_on_over_segments() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 900, 200);
    assert!(segments(dir.path()).len() > 3);
    let (records, damage) = read(dir.path());
    assert_eq!(damage, []);
    assert_eq!(sequences(&records), (0..900).collect::<Vec<_>>());
}

#[test]
fn space_that_was_not_written_to_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut lane = log.lane("a").unwrap();
    let _unused = log.lane("b").unwrap();
    while segments(dir.path()).len() < 4 {
        let _ = put(&mut lane, &deny(1).note("x".repeat(500)));
    }
    let first = segments(dir.path()).remove(0);
    wait_for("the first segment to be shrunk", || (fs::metadata(&first).unwrap().len() < SEGMENT).then_some(()));
    drop(lane);
    drop(_unused);
    drop(log);
    let left = segments(dir.path());
    assert!(left.iter().all(|path| fs::metadata(path).unwrap().len() < SEGMENT), "closed segments are shrunk");
    assert!(left.iter().all(|path| path.to_str().unwrap().contains("-a-")), "a lane without records leaves nothing");
    assert_eq!(read(dir.path()).1, []);
}

/// A log with room for two segments and nothing more.
fn small(dir: &std::path::Path) -> LogConfig {
    LogConfig { max_bytes: 2 * SEGMENT + 1024, ..config(dir) }
}

/// Appends until there is no room, and none comes.
fn fill(log: &Log, lane: &mut Lane, mut item: impl FnMut(u64) -> super::support::Sample) -> u64 {
    let mut count = 0;
    loop {
        match lane.append(item(count)) {
            Ok(_) => count += 1,
            Err(refused) => {
                assert_eq!(refused.why(), Why::NoRoom);
                if log.health().troubles.iter().any(|trouble| trouble.cause == Cause::LogFull) {
                    return count;
                }
                thread::yield_now();
            }
        }
    }
}

#[test]
fn a_full_log_refuses_keeps_its_size_and_recovers_when_room_appears() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("log");
    let log = Log::open(small(&dir), Ticking::from(1)).unwrap();
    let mut lane = log.lane("a").unwrap();
    let largest = 2 * SEGMENT + 1024;
    let mut count = fill(&log, &mut lane, |n| {
        assert!(n % 50 != 0 || bytes_of(&dir) <= largest);
        deny(n).note("x".repeat(400))
    });
    assert!(bytes_of(&dir) <= largest);
    assert!(matches!(lane.append(deny(9).note("x".repeat(400))), Err(refused) if refused.why() == Why::NoRoom));
    let health = log.health();
    assert_eq!((health.max_bytes, health.troubles.len()), (largest, 1));
    assert_eq!(health.troubles[0].cause.to_string(), "the decision log has reached its size");

    fs::rename(&segments(&dir)[0], root.path().join("archived")).unwrap();
    assert_eq!(put(&mut lane, &deny(1).note("x".repeat(400))).sequence(), count);
    count += 1;
    assert_eq!(log.health().troubles, []);
    let (records, damage) = read(&dir);
    assert_eq!(records.last().unwrap().view().sequence, count - 1);
    let lost = records[0].view().sequence;
    let gap = DamageKind::Sequence { expected: 0, found: lost };
    assert_eq!(kinds(&damage), [DamageKind::MissingSegments { count: 1 }, gap]);
}

#[test]
fn a_lane_opened_while_the_log_is_full_refuses_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(small(dir.path()), Ticking::from(1)).unwrap();
    let mut first = log.lane("a").unwrap();
    fill(&log, &mut first, |n| deny(n).note("x".repeat(400)));
    let mut second = log.lane("b").unwrap();
    assert!(second.append(deny(1)).is_err());
    let trouble = wait_for("the trouble of b", || log.health().troubles.into_iter().find(|t| t.lane.as_str() == "b"));
    assert_eq!(trouble.cause, Cause::LogFull);
    let waiting = |lane: &str| log.health().troubles.iter().any(|trouble| trouble.lane.as_str() == lane);
    let third = log.lane("c").unwrap();
    wait_for("the trouble of c", || waiting("c").then_some(()));
    drop(third);
    wait_for("the end of the trouble of a lane that is gone", || (!waiting("c")).then_some(()));
    drop(first);
    for path in segments(dir.path()).iter().filter(|path| path.to_str().unwrap().contains("-a-")) {
        fs::remove_file(path).unwrap();
    }
    assert_eq!(put(&mut second, &deny(1)).sequence(), 0);
}

#[test]
fn every_allowed_decision_can_be_completed_however_full_the_log_is() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(small(dir.path()), Ticking::from(1)).unwrap();
    let mut lane = log.lane("a").unwrap();
    // calls in flight over a rotation, with denials in between
    let mut allowed = 0;
    let count =
        fill(
            &log,
            &mut lane,
            |n| {
                if n % 3 == 0 { allow(n).note("x".repeat(100)) } else { deny(n).note("x".repeat(400)) }
            },
        );
    while lane.append(allow(0)).is_ok() {
        allowed += 1;
    }
    allowed += count.div_ceil(3);
    assert_eq!(lane.outstanding() as u64, allowed);
    while lane.append(deny(0)).is_ok() {}
    let mut longest = done(1);
    longest.texts[0] = "r".repeat(100);
    for _ in 0..allowed {
        let _ = lane.append(longest.clone()).unwrap();
    }
    assert_eq!(lane.outstanding(), 0);
    drop(lane);
    let (records, damage) = read(dir.path());
    assert_eq!(damage, []);
    let done = records.iter().filter(|record| matches!(record.view().facts, Facts::Completion(_))).count();
    assert_eq!(done as u64, allowed);
}

#[test]
fn a_segment_that_could_not_hold_the_completions_is_not_entered() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut lane = log.lane("a").unwrap();
    // more calls in flight than completions fit into one segment: refused, although there is disk
    let refused = (0..5_000u64).filter(|number| lane.append(allow(*number)).is_err()).count();
    let kept = lane.outstanding();
    assert_eq!(kept + refused, 5_000);
    assert!(kept < 1_000, "{kept} completions in segments of 64 KiB");
    for number in 0..kept as u64 {
        let _ = lane.append(done(number)).unwrap();
    }
    assert!(put(&mut lane, &deny(1)).sequence() > 0);
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"]).arg(dir.path()).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        println!("skipped a_full_disk_refuses_and_recovers: this user cannot mount a tmpfs");
        return;
    }
    let guard = Unmount(dir.path().to_owned());
    let log = Log::open(config(&dir.path().join("log")), Ticking::from(1)).unwrap();
    let mut lane = log.lane("a").unwrap();
    let ballast = dir.path().join("ballast");
    fs::write(&ballast, vec![1u8; 300 * 1024]).unwrap();
    let mut count = 0;
    let full = || log.health().troubles.first().is_some_and(|trouble| trouble.cause == Cause::DiskFull);
    loop {
        match lane.append(deny(count).note("x".repeat(400))) {
            Ok(_) => count += 1,
            Err(_) if full() => break,
            Err(_) => thread::yield_now(),
        }
    }
    assert!(count > 100, "what was reserved is used first: {count}");
    fs::remove_file(&ballast).unwrap();
    assert_eq!(put(&mut lane, &deny(1)).sequence(), count);
    let (records, damage) = read(log.dir());
    assert_eq!((records.len() as u64, damage), (count + 1, vec![]));
    drop((lane, log));

    let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(dir.path()).status().unwrap();
    assert!(remount.success());
    let refused = Log::open(config(&dir.path().join("log")), Ticking::from(1)).err().unwrap();
    assert!(refused.to_string().ends_with("cannot be written"), "{refused}");
    drop(guard);
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        // lazily: a failed test may still hold files open
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_lane_can_be_given_to_a_worker() {
    fn is_send<T: Send>() {}
    is_send::<Lane>();
    is_send::<Log>();
    is_send::<Recorded<u8>>();
    is_send::<NotRecorded<u8>>();
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let mut lane = log.lane(&format!("worker-{worker}")).unwrap();
            thread::spawn(move || {
                for number in 0..300 {
                    let _ = put(&mut lane, &deny(number).note("x".repeat(300)));
                }
                lane.name().clone()
            })
        })
        .collect();
    for (worker, lane) in workers.into_iter().enumerate() {
        assert_eq!(lane.join().unwrap(), Label::parse(&format!("worker-{worker}")).unwrap());
    }
    let (records, damage) = read(dir.path());
    assert_eq!((records.len(), damage), (1200, vec![]));
    assert!(records.is_sorted_by_key(|record| record.view().at), "lanes are merged by time");
}

#[test]
fn lanes_outlive_the_log_and_keep_its_lock() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut lane = log.lane("a").unwrap();
    drop(log);
    assert!(Log::open(config(dir.path()), Ticking::from(1)).is_err());
    let _ = lane.append(deny(1)).unwrap();
    drop(lane);
    assert_eq!(open(dir.path()).recovery().records, 1);
}

#[test]
fn the_next_segment_is_made_once_half_of_one_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut lane = log.lane("a").unwrap();
    for number in 0..400 {
        let _ = lane.append(deny(number)).unwrap();
    }
    assert_eq!(segments(dir.path()).len(), 1);
    for number in 0..400 {
        let _ = lane.append(deny(number)).unwrap();
    }
    wait_for("the next segment, before it is needed", || (segments(dir.path()).len() == 2).then_some(()));
}
