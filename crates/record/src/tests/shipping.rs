//! Bringing a log elsewhere: what stands for good, copies that are cut at any byte, and room that is made.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use proptest::prelude::*;

use super::support::{
    Ticking, allow, config, deny, done, kinds, open, put, read, segments, sequences, wait_for, written,
};
use crate::{Copies, CopyError, Cursor, DamageKind, Log, SegmentState, Segments, Written};

/// Everything that stands for good in `from` goes to `copies`, in pieces of so many bytes.
fn ship(segments: &mut Segments, copies: &mut Copies, piece: usize) {
    for state in segments.look().unwrap() {
        loop {
            let held = copies.held(&state.name);
            let offset = held.as_ref().map_or(0, |held| held.bytes);
            let data = segments.read(&state.name, offset, piece).unwrap();
            let ends = state.finished && offset + data.len() as u64 == state.bytes;
            if data.is_empty() && (!ends || held.is_some_and(|held| held.finished)) {
                break;
            }
            assert_eq!(copies.write(&state.name, offset, &data, ends).unwrap(), Written::Held);
        }
    }
    copies.commit().unwrap();
}

fn bytes(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    segments(dir).iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

fn two() -> (tempfile::TempDir, tempfile::TempDir) {
    (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap())
}

/// An empty log writes nothing and holds the place of a later start, so that the earlier ones are finished.
fn finish(dir: &Path) {
    drop(open(dir));
}

#[test]
fn a_live_log_is_copied_record_by_record_and_ends_as_the_same_bytes() {
    let (here, there) = two();
    let mut shipped = Segments::new(here.path());
    let mut copies = Copies::open(there.path()).unwrap();
    let mut cursor = Cursor::open(there.path()).unwrap();
    let mut seen = Vec::new();
    let log = open(here.path());
    let (mut a, mut b) = (log.lane("a").unwrap(), log.lane("b").unwrap());
    for round in 0..60_u64 {
        for number in 0..15 {
            let _ = put(&mut a, &allow(round * 100 + number).note("x".repeat(300)));
            let _ = put(&mut a, &done(round * 100 + number));
        }
        let _ = put(&mut b, &deny(round));
        ship(&mut shipped, &mut copies, 7_000);
        cursor.poll().unwrap();
        let (records, damage) = super::support::drain(&mut cursor);
        assert_eq!(damage, []);
        assert_eq!(records.len(), 31, "round {round}: what is recorded is there at once");
        seen.extend(records);
    }
    assert!(segments(there.path()).len() > 5);
    let states = shipped.look().unwrap();
    assert!(states.iter().any(|state| state.finished) && states.iter().any(|state| !state.finished));
    drop((a, b, log));
    finish(here.path());
    ship(&mut shipped, &mut copies, 7_000);
    assert_eq!(bytes(there.path()), bytes(here.path()));
    assert!(shipped.look().unwrap().iter().all(|state| state.finished));
    let (records, damage) = read(there.path());
    assert_eq!((records.len(), damage), (60 * 31, vec![]));
    let key = |record: &crate::OwnedRecord| (record.view().lane.to_owned(), record.view().sequence);
    let (mut seen, mut all): (Vec<_>, Vec<_>) = (seen.iter().map(key).collect(), records.iter().map(key).collect());
    seen.sort();
    all.sort();
    assert_eq!(seen, all, "each record was handed out once");
}

#[test]
fn what_a_dead_writer_left_is_copied_as_it_is() {
    let (here, there) = two();
    written(here.path(), 30, 20);
    let path = segments(here.path()).pop().unwrap();
    let mut torn = fs::read(&path).unwrap();
    torn.extend_from_slice(&[9, 0, 0, 0, 1, 2, 3]);
    fs::write(&path, torn).unwrap();
    let mut copies = Copies::open(there.path()).unwrap();
    ship(&mut Segments::new(here.path()), &mut copies, 1_000);
    assert_eq!(bytes(there.path()), bytes(here.path()));
    let (records, damage) = read(there.path());
    assert_eq!(records.len(), 30);
    assert!(matches!(kinds(&damage)[..], [DamageKind::TornTail { bytes: 7 }]), "{damage:?}");
}

/// Cut at every byte: whatever the receiver had when it was cut, it goes on there and ends with the same bytes.
#[test]
fn a_copy_that_was_cut_at_any_byte_goes_on_there() {
    let here = tempfile::tempdir().unwrap();
    written(here.path(), 2, 3);
    let source = bytes(here.path());
    let (name, whole) = &source[0];
    for cut in 0..=whole.len() {
        let there = tempfile::tempdir().unwrap();
        fs::write(there.path().join("received"), "").unwrap();
        if cut > 0 {
            fs::write(there.path().join(name), &whole[..cut]).unwrap();
        }
        // what is whole of it can be read, and nothing is damaged
        let (before, damage) = read(there.path());
        assert_eq!(damage, [], "cut at {cut}");
        let mut copies = Copies::open(there.path()).unwrap();
        assert_eq!(copies.held(name).map_or(0, |held| held.bytes), cut as u64);
        ship(&mut Segments::new(here.path()), &mut copies, 1 + cut % 300);
        assert_eq!(bytes(there.path()), source, "cut at {cut}");
        let (after, damage) = read(there.path());
        assert_eq!((after.len(), damage), (2, vec![]));
        assert_eq!(before[..], after[..before.len()]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Pieces that come twice, late or out of order leave what is held as it is, or take it further.
    #[test]
    fn pieces_in_any_order_never_make_anything_else(order in proptest::collection::vec((0_usize..40, 1_usize..200), 1..120)) {
        let (here, there) = two();
        written(here.path(), 20, 30);
        let (name, whole) = bytes(here.path()).remove(0);
        let mut copies = Copies::open(there.path()).unwrap();
        let mut reach = 0;
        for (step, length) in order {
            let offset = (step * 97).min(whole.len());
            let end = (offset + length).min(whole.len());
            let written = copies.write(&name, offset as u64, &whole[offset..end], false).unwrap();
            prop_assert_eq!(written, if offset > reach { Written::Ahead } else { Written::Held });
            if offset <= reach {
                reach = reach.max(end);
            }
            prop_assert_eq!(copies.held(&name).map_or(0, |held| held.bytes), reach as u64);
        }
        copies.commit().unwrap();
        let held = fs::read(there.path().join(&name)).unwrap_or_default();
        prop_assert_eq!(&held[..], &whole[..reach]);
    }
}

#[test]
fn bytes_that_contradict_are_refused_and_change_nothing() {
    let (here, there) = two();
    written(here.path(), 400, 300);
    let source = bytes(here.path());
    let (name, whole) = &source[0];
    let mut copies = Copies::open(there.path()).unwrap();
    assert!(matches!(copies.write(&source[1].0, 0, &source[1].1, false), Ok(Written::Held)), "the first may be lost");
    assert!(matches!(copies.write(name, 0, whole, false), Err(CopyError::Late)));
    assert!(matches!(copies.write(&source[2].0, 0, &source[2].1, false), Err(CopyError::Early(_))));

    let there = tempfile::tempdir().unwrap();
    let mut copies = Copies::open(there.path()).unwrap();
    copies.write(name, 0, &whole[..1_000], false).unwrap();
    copies.commit().unwrap();
    let mut other = whole.clone();
    other[700] ^= 1;
    assert!(matches!(copies.write(name, 500, &other[500..900], false), Err(CopyError::Other { offset: 700 })));
    assert!(matches!(copies.write(name, 500, &other[500..1_200], false), Err(CopyError::Other { offset: 700 })));
    assert!(matches!(copies.write(name, 0, &whole[..900], true), Err(CopyError::EndsEarly { held: 1_000, end: 900 })));
    assert_eq!(copies.write(name, 1_000, &[], true).unwrap(), Written::Held);
    assert!(matches!(copies.write(name, 1_000, &whole[1_000..], false), Err(CopyError::Finished)));
    copies.commit().unwrap();
    for wrong in
        ["", "../x.seg", "a/b.seg", "0000000000000000-a-000000.seg/../../x", "0000000000000000-A-000000.seg", "lock"]
    {
        assert!(matches!(copies.write(wrong, 0, b"x", false), Err(CopyError::Name)), "{wrong}");
    }
    assert!(matches!(copies.write(name, u64::MAX, b"xy", false), Err(CopyError::TooLarge)));
    assert!(matches!(copies.write(name, 1 << 30, b"x", false), Err(CopyError::TooLarge)));
    // a whole header that is none, in one piece and in two
    let strange = "0000000000000001-a-000000.seg";
    assert!(matches!(copies.write(strange, 0, &whole[..300], false), Err(CopyError::Header(_))));
    copies.write(strange, 0, &[b'C'; 255], false).unwrap();
    assert!(matches!(copies.write(strange, 255, b"x", false), Err(CopyError::Header(_))));
    assert_eq!(fs::read(there.path().join(name)).unwrap(), whole[..1_000]);
    assert!(!there.path().join("x.seg").exists());
}

#[test]
fn gaps_are_named_and_copies_that_were_moved_away_are_not_asked_for() {
    let (here, there) = two();
    written(here.path(), 900, 200);
    finish(here.path());
    let source = bytes(here.path());
    assert!(source.len() > 3);
    let lost = here.path().join(&source[1].0);
    fs::remove_file(&lost).unwrap();
    let mut copies = Copies::open(there.path()).unwrap();
    ship(&mut Segments::new(here.path()), &mut copies, 65_536);
    let gaps = copies.gaps();
    assert!(
        matches!(&gaps[..], [gap] if gap.starts_with("segment 1 of lane a of start ") && gap.ends_with(" never came")),
        "{gaps:?}"
    );
    let damage = read(there.path()).1;
    assert!(matches!(kinds(&damage)[..], [DamageKind::MissingSegments { count: 1 }, DamageKind::Sequence { .. }]));

    // the oldest goes to an archive
    fs::remove_file(there.path().join(&source[0].0)).unwrap();
    let mut copies = Copies::open(there.path()).unwrap();
    assert_eq!(
        copies.held(&source[0].0).unwrap(),
        SegmentState { name: source[0].0.clone(), bytes: source[0].1.len() as u64, finished: true }
    );
    assert_eq!(copies.write(&source[0].0, 0, &source[0].1, true).unwrap(), Written::Held);
    copies.commit().unwrap();
    assert!(!there.path().join(&source[0].0).exists(), "it does not come back");
    assert!(
        copies.gaps().iter().any(|gap| gap.starts_with("1 segment that was received whole is no longer in")),
        "{:?}",
        copies.gaps()
    );
    assert!(matches!(kinds(&read(there.path()).1)[..], [DamageKind::MissingSegments { count: 1 }, ..]));
}

#[test]
fn a_copy_whose_end_never_comes_is_given_up_and_the_next_one_follows() {
    let (here, there) = two();
    written(here.path(), 900, 200);
    let source = bytes(here.path());
    let mut copies = Copies::open(there.path()).unwrap();
    copies.write(&source[0].0, 0, &source[0].1[..5_000], false).unwrap();
    assert_eq!(copies.unfinished_before(&source[1].0).as_ref(), Some(&source[0].0));
    copies.give_up(&source[0].0);
    copies.write(&source[1].0, 0, &source[1].1, true).unwrap();
    copies.commit().unwrap();
    let copies = Copies::open(there.path()).unwrap();
    assert!(copies.held(&source[0].0).unwrap().finished && copies.held(&source[1].0).unwrap().finished);
    assert!(!read(there.path()).1.is_empty(), "what is lost is told");
}

#[test]
fn half_a_line_of_the_journal_is_no_promise() {
    let (here, there) = two();
    written(here.path(), 10, 20);
    let mut copies = Copies::open(there.path()).unwrap();
    ship(&mut Segments::new(here.path()), &mut copies, 100);
    let (name, whole) = bytes(there.path()).remove(0);
    let journal = there.path().join("received");
    let line = fs::read_to_string(&journal).unwrap();
    assert_eq!(line, format!("{name} {}\n", whole.len()));
    for cut in 0..line.len() {
        fs::write(&journal, &line.as_bytes()[..cut]).unwrap();
        let mut copies = Copies::open(there.path()).unwrap();
        assert!(!copies.held(&name).unwrap().finished);
        assert_eq!(copies.write(&name, whole.len() as u64, &[], true).unwrap(), Written::Held);
        copies.commit().unwrap();
        assert_eq!(fs::read_to_string(&journal).unwrap(), line);
    }
}

/// Fills a log until nothing more is taken; gives how many were.
fn fill(log: &Log, lane: &mut crate::Lane) -> u64 {
    for number in 0.. {
        for _ in 0..200 {
            if lane.append(deny(number).note("x".repeat(400))).is_ok() {
                break;
            }
            if log.health().troubles.iter().any(|trouble| trouble.cause == crate::Cause::LogFull) {
                return number;
            }
            wait_for("the next segment, or none", || {
                let full = !log.health().troubles.is_empty();
                (full || lane.append(deny(number)).is_ok()).then_some(())
            });
        }
    }
    0
}

#[test]
fn what_is_kept_elsewhere_makes_room_and_is_not_missed() {
    let (here, there) = two();
    let small = crate::LogConfig { max_bytes: 8 * 65_536, ..config(here.path()) };
    let log = Log::open(small.clone(), Ticking::from(1_000_000)).unwrap();
    let mut lane = log.lane("a").unwrap();
    let mut shipped = Segments::new(here.path());
    let mut copies = Copies::open(there.path()).unwrap();
    let _ = put(&mut lane, &deny(1));
    ship(&mut shipped, &mut copies, 65_536);
    assert_eq!(log.release(&shipped.look().unwrap()).unwrap(), 0, "less than half: everything stays");

    assert!(fill(&log, &mut lane) > 100);
    let states = shipped.look().unwrap();
    let first = states[0].clone();
    assert!(first.finished && states.len() > 4);
    assert_eq!(log.release(&[]).unwrap(), 0);
    let shorter = SegmentState { bytes: first.bytes - 4, ..first.clone() };
    let unfinished = SegmentState { finished: false, ..first.clone() };
    assert_eq!(log.release(&[shorter, unfinished]).unwrap(), 0, "only what is whole elsewhere goes");
    assert_eq!(log.release(&states[1..]).unwrap(), 0, "nothing goes before an older one of its lane");
    let last = states.last().unwrap();
    let current = SegmentState { bytes: 65_536, finished: true, ..last.clone() };
    log.release(std::slice::from_ref(&current)).unwrap();
    assert!(here.path().join(&last.name).exists(), "what is written to stays, whatever anybody says");

    ship(&mut shipped, &mut copies, 65_536);
    let freed = log.release(&shipped.look().unwrap()).unwrap();
    assert!(freed > 0 && log.health().used_bytes <= 5 * 65_536, "{freed}: {:?}", log.health());
    assert!(!here.path().join(&first.name).exists());
    let damage = read(here.path()).1;
    assert_eq!(damage, [], "what was released is not missed");
    let _ = wait_for("room", || lane.append(deny(7)).ok());
    ship(&mut shipped, &mut copies, 65_536);
    let (records, damage) = read(there.path());
    assert_eq!(damage, []);
    assert_eq!(sequences(&records), (0..records.len() as u64).collect::<Vec<_>>());

    // what is lost for no reason is told, released or not
    drop((lane, log));
    fs::remove_file(&segments(here.path())[1]).unwrap();
    assert!(matches!(
        kinds(&read(here.path()).1)[..],
        [DamageKind::MissingSegments { count: 1 }, DamageKind::Sequence { .. }]
    ));
    let log = Log::open(small, Ticking::from(1_000_000)).unwrap();
    assert!(matches!(kinds(&log.recovery().damage)[..], [DamageKind::MissingSegments { count: 1 }]));
}

#[test]
fn a_log_that_is_shipped_all_the_time_never_fills_up() {
    let (here, there) = two();
    let small = crate::LogConfig { max_bytes: 8 * 65_536, ..config(here.path()) };
    let log = Arc::new(Log::open(small, Ticking::from(1_000_000)).unwrap());
    let mut lane = log.lane("a").unwrap();
    let mut shipped = Segments::new(here.path());
    let mut copies = Copies::open(there.path()).unwrap();
    for number in 0..6_000_u64 {
        let _ = put(&mut lane, &deny(number).note("x".repeat(400)));
        if number % 100 == 0 {
            ship(&mut shipped, &mut copies, 65_536);
            log.release(&shipped.look().unwrap()).unwrap();
        }
    }
    ship(&mut shipped, &mut copies, 65_536);
    assert!(copies.bytes() > 4 * 8 * 65_536, "more than the log can hold");
    let (records, damage) = read(there.path());
    assert_eq!((records.len(), damage), (6_000, vec![]));
}

#[test]
fn a_start_is_later_than_one_whose_segments_were_all_released() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path()), Ticking::from(9_000_000)).unwrap();
    let late = log.start();
    drop(log);
    let log = Log::open(config(dir.path()), Ticking::from(1_000)).unwrap();
    assert!(log.start() > late, "the clock went back");
}
