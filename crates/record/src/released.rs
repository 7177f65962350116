//! Which segments were let go on purpose, so that they are not missed: the file `released` of a log whose segments are
//! kept elsewhere, and the file `received` of copies that were moved away.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use types::Label;

use crate::{
    copies,
    format::{LaneKey, StartId},
};

const NAME: &str = "released";
const NEXT: &str = "released.next";

/// What is known of one lane.
pub(crate) struct Known {
    /// Segments before this number were released.
    before: u32,
    /// Segments that were received whole.
    received: BTreeSet<u32>,
}

impl Known {
    /// Reads both files. What cannot be read covers nothing, so that the gap is told.
    pub(crate) fn of(dir: &Path, lane: &LaneKey) -> Self {
        let before = read(dir).unwrap_or_default().get(lane).copied().unwrap_or_default();
        let received = copies::journal(dir).ok().flatten().unwrap_or_default();
        let received = received.into_keys().filter(|name| name.key == *lane).map(|name| name.number).collect();
        Self { before, received }
    }

    /// Whether a segment that is not there was let go on purpose.
    pub(crate) fn covers(&self, number: u32) -> bool {
        number < self.before || self.received.contains(&number)
    }
}

/// The first number of each lane that was not released; lanes of which nothing was have no entry.
pub(crate) fn read(dir: &Path) -> io::Result<BTreeMap<LaneKey, u32>> {
    match fs::read_to_string(dir.join(NAME)) {
        Ok(text) => Ok(text.lines().filter_map(parse).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

/// Replaces the file, whole or not at all.
pub(crate) fn write(dir: &Path, lanes: &BTreeMap<LaneKey, u32>) -> io::Result<()> {
    let text: String = lanes.iter().map(|(lane, before)| format!("{}-{} {before}\n", lane.start, lane.lane)).collect();
    let next = dir.join(NEXT);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(next, dir.join(NAME))?;
    File::open(dir)?.sync_all()
}

fn parse(line: &str) -> Option<(LaneKey, u32)> {
    let (key, before) = line.split_once(' ')?;
    let (start, lane) = key.split_once('-')?;
    Some((LaneKey { start: StartId::parse(start)?, lane: Label::parse(lane).ok()? }, before.parse().ok()?))
}
