//! Readers: nothing that was changed, cut or taken away is passed over in silence, and a live log can be followed.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use proptest::{collection::vec, prelude::*};
use types::{DecisionId, Timestamp, facts::Facts};

use super::support::{
    Sample, Ticking, allow, config, deny, done, drain, id, kinds, open, put, read, segments, sequences, wait_for,
    written,
};
use crate::{
    Cursor, DamageKind, Log, OwnedRecord, find,
    format::{FRAME_BYTES, HEADER_BYTES, HeaderState, frame_bytes},
    read::SegmentFile,
};

#[test]
fn every_flipped_bit_is_found_and_costs_no_other_record() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 6, 3);
    let path = segments(dir.path()).pop().unwrap();
    let good = fs::read(&path).unwrap();
    let whole = read(dir.path()).0;
    assert_eq!(whole.len(), 6);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, bad).unwrap();
        let (records, damage) = read(dir.path());
        assert!(!damage.is_empty(), "byte {at} was changed unseen");
        assert!(damage.iter().all(|damage| damage.file == path));
        if at >= HEADER_BYTES {
            let left: Vec<_> = whole.iter().filter(|record| records.contains(record)).collect();
            assert_eq!((records.len(), left.len()), (5, 5), "byte {at}");
            let size = (good.len() - HEADER_BYTES) / 6;
            let broken = HEADER_BYTES + (at - HEADER_BYTES) / size * size;
            assert_eq!(damage[0].offset, broken as u64, "the record of byte {at}");
        } else {
            assert_eq!(records.len(), 0, "nothing is believed under a broken header");
        }
    }
}

#[test]
fn a_broken_record_in_the_middle_is_named_with_the_sequence_that_it_had() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 900, 200);
    let path = &segments(dir.path())[1];
    let mut bytes = fs::read(path).unwrap();
    // the length, so that the way to the next record is lost too
    bytes[HEADER_BYTES] ^= 0x04;
    fs::write(path, bytes).unwrap();
    let (records, damage) = read(dir.path());
    assert_eq!(records.len(), 899);
    let [DamageKind::Corrupt { bytes }, DamageKind::Sequence { expected, found }] = kinds(&damage)[..] else {
        panic!("{damage:?}")
    };
    assert_eq!(found, expected + 1);
    assert!(!sequences(&records).contains(&expected));
    assert_eq!(bytes, frame_bytes(records[0].bytes().len() + 1) as u64, "sequences above 127 take two bytes");
    assert_eq!(
        damage[1].to_string(),
        format!("`{}` at byte {}: records {expected} to {expected} of the lane are lost", path.display(), 256 + bytes)
    );
}

#[test]
fn wiped_records_and_cut_segments_are_named() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 900, 200);
    let path = segments(dir.path()).remove(1);
    let good = fs::read(&path).unwrap();
    let mut wiped = good.clone();
    wiped[HEADER_BYTES..HEADER_BYTES + 5_000].fill(0);
    fs::write(&path, &wiped).unwrap();
    assert!(matches!(kinds(&read(dir.path()).1)[..], [DamageKind::Corrupt { .. }, DamageKind::Sequence { .. }]));
    // its end wiped to zeros, and its end cut off
    let keep = good.len() - 10_000;
    wiped = good.clone();
    wiped[keep..].fill(0);
    fs::write(&path, &wiped).unwrap();
    assert!(matches!(kinds(&read(dir.path()).1)[..], [DamageKind::Corrupt { .. }, DamageKind::Sequence { .. }]));
    fs::write(&path, &good[..keep]).unwrap();
    assert!(matches!(kinds(&read(dir.path()).1)[..], [DamageKind::Corrupt { .. }, DamageKind::Sequence { .. }]));
    // a header that is wiped, over records that are not
    wiped = good;
    wiped[..HEADER_BYTES].fill(0);
    fs::write(&path, &wiped).unwrap();
    assert!(matches!(kinds(&read(dir.path()).1)[..], [DamageKind::Header { .. }, DamageKind::Sequence { .. }]));
}

#[test]
fn segments_that_were_taken_away_renamed_or_put_in_are_named() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 900, 200);
    let paths = segments(dir.path());
    let middle = fs::read(&paths[1]).unwrap();
    fs::remove_file(&paths[1]).unwrap();
    let (records, damage) = read(dir.path());
    let [DamageKind::MissingSegments { count: 1 }, DamageKind::Sequence { expected, found }] = kinds(&damage)[..]
    else {
        panic!("{damage:?}")
    };
    assert_eq!(damage[0].file, paths[1]);
    assert_eq!(records.len() as u64, 900 - (found - expected));

    fs::copy(&paths[2], &paths[1]).unwrap();
    assert!(matches!(kinds(&read(dir.path()).1)[..], [DamageKind::Header { .. }, DamageKind::Sequence { .. }]));
    fs::write(&paths[1], &middle).unwrap();
    assert_eq!(read(dir.path()).1, []);
    fs::write(dir.path().join("x.seg"), &middle).unwrap();
    assert!(matches!(kinds(&read(dir.path()).1)[..], [DamageKind::Header { .. }]));
}

/// A caller writes bytes into the log that look like a record; something then breaks the record around them.
#[test]
fn bytes_inside_a_record_cannot_pose_as_one() {
    let dir = tempfile::tempdir().unwrap();
    // a lifecycle record with sequence 2, whose unsalted checksum happens to be text
    let forged = (0u64..).find_map(|micros| {
        let payload = [&[5, 2][..], &(micros * 0x0101).to_le_bytes(), &[28, 1, b'x']].concat();
        let frame = [&13u32.to_le_bytes()[..], &crc32c::crc32c(&payload).to_le_bytes(), &payload, &[0; 3]].concat();
        String::from_utf8(frame).ok()
    });
    let forged = forged.unwrap();
    {
        let log = open(dir.path());
        let mut lane = log.lane("a").unwrap();
        for pad in 0..4 {
            let _ = put(&mut lane, &deny(pad).note(format!("{}{forged}", " ".repeat(pad as usize))));
        }
    }
    let path = segments(dir.path()).pop().unwrap();
    let good = fs::read(&path).unwrap();
    let mut offset = HEADER_BYTES;
    // among the four paddings one puts the forged record where a reader looks for the next one
    for (broken, record) in read(dir.path()).0.iter().enumerate() {
        let mut bad = good.clone();
        bad[offset] ^= 0x40;
        fs::write(&path, bad).unwrap();
        let (records, _) = read(dir.path());
        assert_eq!(records.len(), 3, "record {broken} alone is lost");
        assert!(records.iter().all(|record| matches!(record.view().facts, Facts::Decision(_))));
        offset += frame_bytes(record.bytes().len());
    }
}

#[test]
fn a_live_tail_is_not_damage_until_its_writer_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut lane = log.lane("a").unwrap();
    let first = put(&mut lane, &deny(0));
    let mut cursor = Cursor::open(dir.path()).unwrap();
    assert_eq!(sequences(&drain(&mut cursor).0), [first.sequence()]);

    // what a reader sees that looks while a record is being written
    let path = segments(dir.path()).pop().unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    let end = (HEADER_BYTES + frame_bytes(read(dir.path()).0[0].bytes().len())) as u64;
    file.write_all_at(&[90, 0, 0, 0, 1, 2, 3, 4, 1, 1], end).unwrap();
    for _ in 0..2 {
        cursor.poll().unwrap();
        assert_eq!(drain(&mut cursor), (vec![], vec![]));
    }
    let second = put(&mut lane, &deny(1));
    cursor.poll().unwrap();
    let (records, damage) = drain(&mut cursor);
    assert_eq!((sequences(&records), damage), (vec![second.sequence()], vec![]));

    let end = end + frame_bytes(records[0].bytes().len()) as u64;
    file.write_all_at(&[90, 0, 0, 0, 1, 2, 3, 4, 1, 1], end).unwrap();
    core::mem::forget(lane);
    // the lane never closes its segment, as after a crash; the lock goes when the last file that holds it does
    cursor.poll().unwrap();
    assert_eq!(drain(&mut cursor), (vec![], vec![]));
    let copy = tempfile::tempdir().unwrap();
    fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    assert_eq!(kinds(&read(copy.path()).1), [DamageKind::TornTail { bytes: 10 }]);
}

#[test]
fn a_record_broken_in_a_live_segment_is_named_while_it_is_live() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut lane = log.lane("a").unwrap();
    let mut cursor = Cursor::open(dir.path()).unwrap();
    for number in 0..3 {
        let _ = put(&mut lane, &deny(number));
    }
    let path = segments(dir.path()).pop().unwrap();
    fs::File::options().write(true).open(&path).unwrap().write_all_at(&[0; 4], HEADER_BYTES as u64).unwrap();
    cursor.poll().unwrap();
    let (records, damage) = drain(&mut cursor);
    assert_eq!(sequences(&records), [1, 2]);
    assert!(matches!(kinds(&damage)[..], [DamageKind::Corrupt { .. }, DamageKind::Sequence { expected: 0, found: 1 }]));
}

#[test]
fn a_log_can_be_followed_while_it_is_written() {
    const COUNT: u64 = 4_000;
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let written = Arc::new(AtomicBool::new(false));
    let seen = Arc::new(AtomicBool::new(false));
    let mut cursor = Cursor::open(dir.path()).unwrap();
    let writers: Vec<_> = ["a", "b"]
        .map(|name| {
            let mut lane = log.lane(name).unwrap();
            let seen = Arc::clone(&seen);
            thread::spawn(move || {
                for number in 0..COUNT {
                    if number == COUNT / 2 {
                        wait_for("the reader to see something", || seen.load(Ordering::SeqCst).then_some(()));
                    }
                    let _ = put(&mut lane, &deny(number).note("x".repeat(number as usize % 300)));
                }
            })
        })
        .into();
    let waiter = {
        let written = Arc::clone(&written);
        thread::spawn(move || {
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            written.store(true, Ordering::SeqCst);
        })
    };
    let mut next = [0u64; 2];
    loop {
        let last = written.load(Ordering::SeqCst);
        cursor.poll().unwrap();
        let (records, damage) = drain(&mut cursor);
        assert_eq!(damage, []);
        seen.fetch_or(!records.is_empty(), Ordering::SeqCst);
        for record in records {
            let view = record.view();
            let next = &mut next[usize::from(view.lane == "b")];
            assert_eq!(view.sequence, *next, "each lane comes in its order");
            *next += 1;
        }
        if last {
            break;
        }
    }
    waiter.join().unwrap();
    assert_eq!(next, [COUNT, COUNT]);
    drop(log);
    cursor.poll().unwrap();
    assert_eq!(drain(&mut cursor), (vec![], vec![]), "the end of the writer changes nothing");
    let _ = put(&mut open(dir.path()).lane("c").unwrap(), &deny(1));
    cursor.poll().unwrap();
    assert_eq!(drain(&mut cursor).0.len(), 1, "and its next start is followed too");
}

#[test]
fn since_skips_segments_that_are_older() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 900, 200);
    let (all, _) = read(dir.path());
    let since = all[700].view().at;
    // damage in what is skipped is not seen: so it was skipped
    let first = &segments(dir.path())[0];
    let mut bytes = fs::read(first).unwrap();
    bytes[1_000] ^= 1;
    fs::write(first, bytes).unwrap();
    let mut cursor = Cursor::open_since(dir.path(), since).unwrap();
    let (records, damage) = drain(&mut cursor);
    assert_eq!(damage, []);
    assert_eq!(records, all[700..]);
    assert_ne!(read(dir.path()).1, []);
    let end = Timestamp::from_micros(u64::MAX);
    assert_eq!(drain(&mut Cursor::open_since(dir.path(), end).unwrap()), (vec![], vec![]));
}

#[test]
fn a_clock_that_is_set_back_changes_no_order_and_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Ticking::from(5_000_000);
    let log = Log::open(config(dir.path()), Arc::clone(&clock) as _).unwrap();
    let mut lane = log.lane("a").unwrap();
    for number in 0..900 {
        if number == 450 {
            clock.0.store(1_000_000, Ordering::Relaxed);
        }
        let _ = put(&mut lane, &deny(number).note("x".repeat(200)));
    }
    let (records, damage) = read(dir.path());
    assert_eq!((sequences(&records), damage), ((0..900).collect(), vec![]));
    let mut late = Cursor::open_since(dir.path(), Timestamp::from_micros(5_000_000)).unwrap();
    assert_eq!(sequences(&drain(&mut late).0), (0..450).collect::<Vec<_>>());
}

#[test]
fn a_decision_is_found_with_its_completion() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(config(dir.path()), Ticking::from(2_000_000_000_000)).unwrap();
    let mut lane = log.lane("a").unwrap();
    // an id of the record's time, and one that is a day ahead of it
    let timely = DecisionId::new(2_000_000_000, [1; 10]);
    let ahead = DecisionId::new(2_086_400_000, [2; 10]);
    for id in [timely, ahead] {
        let _ = put(&mut lane, &Sample { id, ..allow(0) });
        let _ = put(&mut lane, &deny(3));
        let _ = put(&mut lane, &Sample { id, ..done(0) });
        let found = find(dir.path(), id).unwrap().unwrap();
        let completion = found.completion.unwrap();
        assert_eq!(completion.view().sequence, found.decision.view().sequence + 2);
        assert!(matches!(found.decision.view().facts, Facts::Decision(decision) if decision.id == id));
        assert!(matches!(completion.view().facts, Facts::Completion(completion) if completion.id == id));
    }
    assert_eq!(find(dir.path(), id(3)).unwrap().unwrap().completion, None);
    assert_eq!(find(dir.path(), id(4)).unwrap(), None);
}

#[test]
fn a_record_is_one_flat_object_with_stable_keys() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut lane = log.lane("a").unwrap();
    let verified = Sample { verified: true, ..allow(1) };
    let _ = put(&mut lane, &verified);
    let _ = put(&mut lane, &done(1));
    let (records, _) = read(dir.path());
    let json = |record: &OwnedRecord| serde_json::to_string(&record.view()).unwrap();
    let head = format!(r#"{{"enforcer":"gw-1","lane":"a","start":"{}","sequence""#, log.start());
    let caller = format!(
        r#"{{"identity":"verified","spiffe_id":"","serial":"","sha256":"{}","not_before":0,"not_after":0,"via":""}}"#,
        "0".repeat(64)
    );
    assert_eq!(
        json(&records[0]),
        format!(
            r#"{head}:0,"at":{},"kind":"decision","id":"{}","outcome":"allow","reason":"","note":"","listener":"","revision":null,"source":null,"protocol":"tls","caller":{caller},"host":"","service":"","method":"","template":"","risk":null,"determining":[],"noted":[],"epoch":0}}"#,
            records[0].view().at.micros(),
            id(1),
        )
    );
    assert!(json(&records[1]).contains(r#""kind":"completion","id":"#));
    let damage = crate::Damage { file: "x.seg".into(), offset: 7, what: DamageKind::TornTail { bytes: 3 } };
    assert_eq!(serde_json::to_string(&damage).unwrap(), r#"{"file":"x.seg","offset":7,"what":"torn-tail","bytes":3}"#);
}

#[test]
fn a_log_that_is_not_there_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("log");
    assert_eq!(Cursor::open(&missing).err().unwrap().to_string(), format!("`{}` cannot be read", missing.display()));
    assert_eq!(read(dir.path()), (vec![], vec![]), "an empty one can");
}

fn name(dir: &Path) -> std::path::PathBuf {
    dir.join("0000000000000001-a-000000.seg")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_file_makes_a_reader_panic_or_loop(bytes in vec(any::<u8>(), 0..2_000), keep_header: bool) {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path(), 1, 1);
        let path = segments(dir.path()).pop().unwrap();
        let whole = fs::read(&path).unwrap();
        let keep = if keep_header { whole.len() } else { 0 };
        fs::write(&path, [&whole[..keep], &bytes].concat()).unwrap();
        let (records, damage) = read(dir.path());
        prop_assert_eq!(records.len(), usize::from(keep_header));
        let blank = bytes.iter().skip(if keep_header { 0 } else { 256 }).all(|byte| *byte == 0);
        prop_assert!(!damage.is_empty() || blank);
        fs::rename(&path, name(dir.path())).unwrap();
        read(dir.path());
    }
}

#[test]
fn lengths_beyond_the_file_or_the_format_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 1, 1);
    let path = segments(dir.path()).pop().unwrap();
    let (mut segment, state) = SegmentFile::open(&path).unwrap();
    assert!(matches!(state, HeaderState::Valid(_)));
    let (payload, next) = segment.record(HEADER_BYTES as u64).unwrap().unwrap();
    assert_eq!(next, (HEADER_BYTES + (FRAME_BYTES + payload.len()).next_multiple_of(4)) as u64);
    let good = fs::read(&path).unwrap();
    for length in [u32::MAX, 65_536, 65_535, 0] {
        let mut bad = good.clone();
        bad[HEADER_BYTES..HEADER_BYTES + 4].copy_from_slice(&length.to_le_bytes());
        fs::write(&path, bad).unwrap();
        let (records, damage) = read(dir.path());
        assert_eq!((records.len(), damage.len()), (0, 1), "length {length}");
    }
}

#[test]
fn a_reader_goes_on_by_sequence_whatever_the_clock_did() {
    let dir = tempfile::tempdir().unwrap();
    // three starts, each with a clock that is behind the one before
    for start in 0..3u64 {
        let log = Log::open(config(dir.path()), Ticking::from(9_000_000 - start * 1_000_000)).unwrap();
        for name in ["a", "b"] {
            let mut lane = log.lane(name).unwrap();
            for number in 0..700 {
                let _ = put(&mut lane, &deny(number).note("x".repeat(200)));
            }
        }
    }
    let place = |record: &OwnedRecord| {
        let record = record.view();
        ((record.start.value(), record.lane.to_owned()), record.sequence)
    };
    let all = read(dir.path()).0;
    assert!(segments(dir.path()).len() > 6, "every lane has more than one segment");
    for step in [1, 7, 500, 701] {
        let (mut seen, mut positions) = (Vec::new(), std::collections::BTreeMap::new());
        loop {
            let cursor = Cursor::open_after(dir.path(), positions.clone()).unwrap();
            let taken: Vec<_> = cursor.take(if step < 100 { 900 + step } else { step }).collect();
            if taken.is_empty() {
                break;
            }
            for item in taken {
                let crate::Item::Record(record) = item.unwrap() else { panic!("nothing is damaged or missing") };
                let (lane, sequence) = place(&record);
                positions.insert(lane.clone(), sequence + 1);
                seen.push((lane, sequence));
            }
        }
        seen.sort();
        let mut wanted: Vec<_> = all.iter().map(place).collect();
        wanted.sort();
        assert!(seen == wanted, "step {step}: {} of {}", seen.len(), wanted.len());
    }
}
