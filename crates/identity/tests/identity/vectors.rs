//! Reading vector files, and the list of known divergences.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file of this crate's own `tests/vectors`.
pub fn own(name: &str) -> Value {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)).unwrap()
}

/// A third-party file that is not part of the project: from `$COUNTERSIGN_VECTORS`, else from beside the project.
/// Absent, the suite is reported as skipped by name.
#[expect(clippy::disallowed_methods, reason = "a test finds its vectors through the environment")]
pub fn third_party(name: &str) -> Option<Value> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("COUNTERSIGN_VECTORS").map_or(beside, PathBuf::from);
    let found = read(&folder.join(name));
    if found.is_none() {
        eprintln!("skipped: {name} (not in {})", folder.display());
    }
    found
}

fn read(path: &Path) -> Option<Value> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

/// The ids of a suite whose outcome is known to differ.
pub fn divergences(suite: &str) -> Vec<String> {
    let list = own("known-divergences.json");
    let entries = list.as_array().unwrap().iter();
    entries.filter(|entry| entry["suite"] == suite).map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

/// Compares what differs with what is known to differ, both ways.
pub fn settle(suite: &str, mut differing: Vec<String>) {
    let mut known = divergences(suite);
    differing.sort();
    known.sort();
    assert_eq!(differing, known, "{suite}: cases that differ (left) are not those known to differ (right)");
}
