//! What `Log::open` accepts, refuses and says.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use types::Label;

use super::support::{SEGMENT, Ticking, config, deny, kinds, open, put, read, segments, written};
use crate::{DamageKind, Log, LogConfig, OpenError, format::HEADER_BYTES};

fn refused(dir: &Path) -> OpenError {
    Log::open(config(dir), Ticking::from(1)).err().expect("refused")
}

#[test]
fn the_directory_is_the_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("data/log");
    let log = open(&inner);
    let _lane = log.lane("a").unwrap();
    assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
    let file = fs::metadata(&segments(&inner)[0]).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    assert!(file.blocks() * 512 >= SEGMENT, "its space is reserved");
}

#[test]
fn the_default_sizes_are_those_of_the_limits() {
    let config = LogConfig::new("/x", Label::parse("gw").unwrap());
    assert_eq!((config.max_bytes, config.segment_bytes), (4 << 30, 16 << 20));
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (max_bytes, segment_bytes) in [(SEGMENT, SEGMENT), (1 << 30, 1024), (8 << 30, 2 << 30)] {
        let config = LogConfig { max_bytes, segment_bytes, ..config(dir.path()) };
        let error = Log::open(config, Ticking::from(1)).err().unwrap();
        assert!(matches!(error, OpenError::Sizes { .. }));
    }
}

#[test]
fn a_file_where_the_directory_should_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log");
    fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("deeper")] {
        let error = refused(&path);
        assert_eq!(error.to_string(), format!("the decision log `{}` is not a directory", path.display()));
        assert_eq!(error.hint(), "move it away, or name another data directory");
    }
    assert!(matches!(refused(Path::new("/proc/self/log")), OpenError::NotWritable { .. }));
}

#[test]
fn names_of_lanes_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    assert!(matches!(log.lane("A b"), Err(OpenError::LaneName(_))));
    let _lane = log.lane("a").unwrap();
    assert!(matches!(log.lane("a"), Err(OpenError::LaneTwice(_))));
}

#[test]
fn each_start_is_later_than_the_one_before_whatever_the_clock_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut starts = Vec::new();
    for now in [5_000_000, 4_000_000, 9_000_000] {
        let log = Log::open(config(dir.path()), Ticking::from(now)).unwrap();
        let mut lane = log.lane("a").unwrap();
        let _ = put(&mut lane, &deny(1));
        starts.push(log.start());
    }
    assert!(starts.is_sorted_by(|a, b| a < b), "{starts:?}");
    let (records, damage) = read(dir.path());
    assert_eq!((records.len(), damage), (3, vec![]));
}

#[test]
fn recovery_counts_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 900, 200);
    let before = segments(dir.path());
    let log = open(dir.path());
    let found = log.recovery();
    assert_eq!((found.segments, found.records), (before.len() as u64, 900));
    assert_eq!((found.damage.len(), found.reclaimed_bytes), (0, 0));
}

/// What a crash leaves: segments as long as they were reserved, and three that were never used.
#[test]
fn recovery_gives_back_space_and_changes_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 300, 200);
    let paths = segments(dir.path());
    let contents: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    let mut reserved = 0;
    for path in &paths {
        reserved += SEGMENT - fs::metadata(path).unwrap().len();
        fs::File::options().write(true).open(path).unwrap().set_len(SEGMENT).unwrap();
    }
    let last = paths.last().unwrap().to_str().unwrap();
    let unused = last.replace(&format!("{:06}.seg", paths.len() - 1), &format!("{:06}.seg", paths.len()));
    fs::write(&unused, vec![0u8; SEGMENT as usize]).unwrap();
    // made, and killed before its space was reserved
    let first_of = |lane| last.replace("-a-", lane).replace(&format!("{:06}.seg", paths.len() - 1), "000000.seg");
    fs::write(first_of("-b-"), "").unwrap();
    // killed within the header
    let mut begun = contents[0][..HEADER_BYTES].to_vec();
    begun[..4].fill(0);
    begun.resize(SEGMENT as usize, 0);
    fs::write(first_of("-c-"), begun).unwrap();
    assert_eq!(read(dir.path()).1, [], "a reader takes no offence");

    let found = open(dir.path()).recovery().clone();
    assert_eq!((found.records, found.damage), (300, vec![]));
    assert_eq!(found.reclaimed_bytes, reserved + 2 * SEGMENT);
    assert_eq!(segments(dir.path()), paths);
    assert_eq!(paths.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), contents);
}

#[test]
fn a_torn_tail_is_named_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    // a payload with its length and without its end; and one whose length was never stored
    for torn in [&[200, 0, 0, 0, 1, 2, 3, 4, 1, 7, 7][..], &[0, 0, 0, 0, 9, 9, 9, 9, 1, 7]] {
        written(dir.path(), 5, 20);
        let path = segments(dir.path()).pop().unwrap();
        let whole = fs::read(&path).unwrap();
        let mut with_tail = [&whole, torn].concat();
        with_tail.resize(SEGMENT as usize, 0);
        fs::write(&path, &with_tail).unwrap();

        let (records, damage) = read(dir.path());
        assert_eq!(records.len() % 5, 0);
        let tail = DamageKind::TornTail { bytes: torn.len() as u64 };
        assert_eq!(damage.last().unwrap().what, tail);
        assert_eq!(damage.last().unwrap().offset, whole.len() as u64);
        let log = open(dir.path());
        let named: Vec<_> = log.recovery().torn_tails().collect();
        assert_eq!((named.last().unwrap().file.clone(), named.last().unwrap().what.clone()), (path.clone(), tail));
        assert_eq!(fs::read(&path).unwrap(), [&whole, torn].concat(), "only zeros are cut off");
        assert_eq!(read(dir.path()).1, damage, "and it is named again");
    }
}

#[test]
fn a_damaged_header_is_refused_with_the_file_named() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 3, 20);
    let path = segments(dir.path()).pop().unwrap();
    let good = fs::read(&path).unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        fs::write(&path, bad).unwrap();
        refused(dir.path())
    };
    let say = |what: &str| format!("`{}` is damaged: {what}", path.display());
    assert_eq!(with(0, b"garbage!").to_string(), say("it does not start as a segment does"));
    assert_eq!(with(40, &[0xff]).to_string(), say("its header has a wrong checksum"));
    assert_eq!(with(0, &[0; HEADER_BYTES]).to_string(), say("its header was wiped"));
    let newer = with(8, &[2]);
    assert_eq!(newer.to_string(), format!("`{}` has log format 2, this program knows format 1", path.display()));
    assert!(newer.hint().starts_with("start the newer version again"));
    fs::write(&path, &good[..100]).unwrap();
    assert_eq!(refused(dir.path()).to_string(), say("its header is cut off"));
    fs::write(&path, &good).unwrap();
    let odd = dir.path().join("copy of a segment.seg");
    fs::copy(&path, &odd).unwrap();
    assert_eq!(
        refused(dir.path()).to_string(),
        format!("`{}` is damaged: it is not named like a segment", odd.display())
    );
    fs::rename(&odd, path.to_str().unwrap().replace("-a-", "-b-")).unwrap();
    assert!(refused(dir.path()).to_string().ends_with("its header names another segment"));
}

#[test]
fn recovery_names_a_missing_segment() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), 900, 200);
    fs::remove_file(&segments(dir.path())[1]).unwrap();
    let log = open(dir.path());
    assert_eq!(kinds(&log.recovery().damage), [DamageKind::MissingSegments { count: 1 }]);
    assert!(log.recovery().damage[0].file.to_str().unwrap().ends_with("-a-000001.seg"));
}
