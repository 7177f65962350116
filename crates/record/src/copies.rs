//! Copies of another's segments: bytes taken in order, on the disk before they count as held, never changed.
//!
//! A directory of copies has no `lock`. Its file `received` names the segments that are whole, one line each; they may be
//! moved away and are not asked for again.

mod error;
mod file;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

pub use error::CopyError;

use crate::{
    ReadError, SegmentState,
    directory::Listing,
    format::{LaneKey, SegmentName},
};

const JOURNAL: &str = "received";
/// What a file takes at least on the disk.
const BLOCK: u64 = 4_096;
/// The largest segment that there can be.
const SEGMENT_MAX: u64 = 1024 * 1024 * 1024;

/// What became of bytes that were handed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    /// They are held, or were already. [`Copies::commit`] brings them to the disk.
    Held,
    /// Bytes before them are missing; nothing was taken.
    Ahead,
}

/// The segments of one enforcer, kept elsewhere.
pub struct Copies {
    dir: PathBuf,
    journal: File,
    held: BTreeMap<SegmentName, Held>,
    /// Since the last commit: what was written to, with the bytes that were on the disk before.
    dirty: BTreeMap<SegmentName, u64>,
    /// Since the last commit: what was finished.
    ending: BTreeSet<SegmentName>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Held {
    bytes: u64,
    finished: bool,
    /// The file is there; a finished one may have been moved away.
    present: bool,
}

impl Copies {
    /// Opens a directory, and makes it where it is missing, readable by its owner only. Everything found is on the disk
    /// when this returns.
    ///
    /// # Errors
    /// When the directory cannot be read or written.
    pub fn open(dir: &Path) -> Result<Self, ReadError> {
        let failed = |source| ReadError::new(dir, source);
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let journal = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(dir.join(JOURNAL));
        let journal = journal.map_err(failed)?;
        cut_torn_line(dir, &journal).map_err(failed)?;
        let held = find(dir).map_err(failed)?;
        // a process that was killed may have left bytes that are only in memory
        journal.sync_all().and_then(|()| sync_directory(dir)).map_err(failed)?;
        Ok(Self { dir: dir.to_owned(), journal, held, dirty: BTreeMap::new(), ending: BTreeSet::new() })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is held of a segment; `None` for nothing. Bytes that are not committed count.
    pub fn held(&self, name: &str) -> Option<SegmentState> {
        let held = self.held.get(&SegmentName::parse(name)?)?;
        Some(SegmentState { name: name.to_owned(), bytes: held.bytes, finished: held.finished })
    }

    /// Bytes that the files take, each at least a block.
    pub fn bytes(&self) -> u64 {
        let present = self.held.values().filter(|held| held.present);
        present.fold(0, |sum, held| sum.saturating_add(held.bytes.max(BLOCK)))
    }

    /// How many more bytes the files would take with these.
    pub fn growth(&self, name: &str, offset: u64, data: usize) -> u64 {
        let Some(name) = SegmentName::parse(name) else { return 0 };
        let held = self.held.get(&name).copied();
        let had = held.map_or(0, |held| held.bytes);
        // what is ahead is not taken
        if offset > had || held.is_some_and(|held| !held.present) {
            return 0;
        }
        let before = if held.is_some() { had.max(BLOCK) } else { 0 };
        offset.saturating_add(data as u64).max(BLOCK).saturating_sub(before)
    }

    /// The segment of the same lane before this one that is not finished, where there is one.
    pub fn unfinished_before(&self, name: &str) -> Option<String> {
        let name = SegmentName::parse(name)?;
        let mut lane = self.held.iter().filter(|(other, _)| other.key == name.key && other.number < name.number);
        lane.find(|(_, held)| !held.finished).map(|(other, _)| other.to_string())
    }

    /// Takes bytes of a segment at `offset`; with `finished`, nothing comes after them. Segments of a lane come one after
    /// the other, each once the one before is finished.
    ///
    /// # Errors
    /// [`CopyError`] where they cannot belong there; nothing was changed then.
    pub fn write(&mut self, name: &str, offset: u64, data: &[u8], finished: bool) -> Result<Written, CopyError> {
        let segment = SegmentName::parse(name).ok_or(CopyError::Name)?;
        let end = offset.checked_add(data.len() as u64).filter(|end| *end <= SEGMENT_MAX).ok_or(CopyError::TooLarge)?;
        let held = self.held.get(&segment).copied();
        if held.is_none() {
            self.check_order(&segment)?;
        }
        let had = held.map_or(0, |held| held.bytes);
        if offset > had {
            return Ok(Written::Ahead);
        }
        if held.is_some_and(|held| !held.present) {
            // moved away after it was whole: there is nothing to compare with
            return if end <= had { Ok(Written::Held) } else { Err(CopyError::Finished) };
        }
        self.check_end(held, end, finished)?;
        let written = file::put(&self.dir.join(name), &segment, had, offset, data)?;
        if written > had || held.is_none() {
            self.dirty.entry(segment.clone()).or_insert(had);
        }
        let was_finished = held.is_some_and(|held| held.finished);
        if finished && !was_finished {
            self.ending.insert(segment.clone());
        }
        self.held.insert(segment, Held { bytes: written, finished: finished || was_finished, present: true });
        Ok(Written::Held)
    }

    /// Takes a segment to be whole as it is: its end will never come.
    pub fn give_up(&mut self, name: &str) {
        let Some(segment) = SegmentName::parse(name) else { return };
        if let Some(held) = self.held.get_mut(&segment).filter(|held| !held.finished) {
            held.finished = true;
            self.ending.insert(segment);
        }
    }

    /// Brings everything taken to the disk.
    ///
    /// # Errors
    /// When the disk does not take it. What was taken since the last commit is given back, and must be handed in again.
    pub fn commit(&mut self) -> io::Result<()> {
        let done = self.bring_to_the_disk();
        let dirty = std::mem::take(&mut self.dirty);
        self.ending.clear();
        if done.is_err() {
            // the system may hold as written what the disk never got
            for (name, bytes) in dirty {
                file::cut(&self.dir.join(name.to_string()), bytes)?;
            }
            cut_torn_line(&self.dir, &self.journal)?;
            self.held = find(&self.dir)?;
        }
        done
    }

    fn bring_to_the_disk(&mut self) -> io::Result<()> {
        for name in self.dirty.keys() {
            File::open(self.dir.join(name.to_string()))?.sync_all()?;
        }
        if self.dirty.values().any(|before| *before == 0) {
            sync_directory(&self.dir)?;
        }
        if self.ending.is_empty() {
            return Ok(());
        }
        let line = |name: &SegmentName| {
            let bytes = self.held.get(name).map_or(0, |held| held.bytes);
            format!("{name} {bytes}\n")
        };
        let lines: String = self.ending.iter().map(line).collect();
        self.journal.write_all(lines.as_bytes())?;
        self.journal.sync_all()
    }

    /// Looks again: copies may have been moved away. What is not committed stands.
    ///
    /// # Errors
    /// When the directory cannot be read; nothing is changed then.
    pub fn look_again(&mut self) -> io::Result<()> {
        let there: BTreeSet<SegmentName> = Listing::of(&self.dir)?.segments.into_iter().collect();
        for (name, held) in &mut self.held {
            held.present = !held.finished || self.ending.contains(name) || there.contains(name);
        }
        Ok(())
    }

    /// What is missing, one sentence each: numbers that never came, and copies that were moved away.
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        let mut lanes: BTreeMap<&LaneKey, BTreeSet<u32>> = BTreeMap::new();
        for name in self.held.keys() {
            lanes.entry(&name.key).or_default().insert(name.number);
        }
        for (lane, numbers) in lanes {
            let mut next = 0;
            for number in numbers {
                if number > next {
                    gaps.push(missing(lane, next, number.saturating_sub(1)));
                }
                next = number.saturating_add(1);
            }
        }
        let moved = self.held.values().filter(|held| !held.present).count();
        if moved > 0 {
            let are = if moved == 1 {
                "1 segment that was received whole is"
            } else {
                "segments that were received whole are"
            };
            let count = if moved == 1 { String::new() } else { format!("{moved} ") };
            gaps.push(format!("{count}{are} no longer in `{}`", self.dir.display()));
        }
        gaps
    }

    /// A new segment is the latest of its lane, and all before it are whole.
    fn check_order(&self, name: &SegmentName) -> Result<(), CopyError> {
        let mut lane = self.held.iter().filter(|(other, _)| other.key == name.key);
        if lane.clone().any(|(other, _)| other.number > name.number) {
            return Err(CopyError::Late);
        }
        lane.find(|(_, held)| !held.finished).map_or(Ok(()), |(other, _)| Err(CopyError::Early(other.to_string())))
    }

    fn check_end(&self, held: Option<Held>, end: u64, finished: bool) -> Result<(), CopyError> {
        match held {
            Some(held) if held.finished && end > held.bytes => Err(CopyError::Finished),
            Some(held) if finished && end < held.bytes => Err(CopyError::EndsEarly { held: held.bytes, end }),
            Some(_) | None => Ok(()),
        }
    }
}

fn missing(lane: &LaneKey, first: u32, last: u32) -> String {
    let what = if first == last { format!("segment {first}") } else { format!("segments {first} to {last}") };
    format!("{what} of lane {} of start {} never came", lane.lane, lane.start)
}

/// The segments that were received whole, with their bytes; `None` where the directory holds no copies.
pub(crate) fn journal(dir: &Path) -> io::Result<Option<BTreeMap<SegmentName, u64>>> {
    match fs::read_to_string(dir.join(JOURNAL)) {
        Ok(text) => {
            let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
            Ok(Some(whole.lines().filter_map(entry).collect()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn entry(line: &str) -> Option<(SegmentName, u64)> {
    let (name, bytes) = line.split_once(' ')?;
    Some((SegmentName::parse(name)?, bytes.parse().ok()?))
}

/// A process that was killed may have left half a line.
fn cut_torn_line(dir: &Path, journal: &File) -> io::Result<()> {
    let text = fs::read(dir.join(JOURNAL))?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last.saturating_add(1));
    if whole < text.len() { journal.set_len(whole as u64) } else { Ok(()) }
}

/// What is there, with everything that is not finished brought to the disk.
fn find(dir: &Path) -> io::Result<BTreeMap<SegmentName, Held>> {
    let listing = Listing::of(dir)?;
    let finished = listing.received.unwrap_or_default();
    let mut held: BTreeMap<SegmentName, Held> = BTreeMap::new();
    for name in listing.segments {
        let file = File::open(dir.join(name.to_string()))?;
        let is_finished = finished.contains_key(&name);
        if !is_finished {
            file.sync_all()?;
        }
        held.insert(name, Held { bytes: file.metadata()?.len(), finished: is_finished, present: true });
    }
    for (name, bytes) in finished {
        held.entry(name).or_insert(Held { bytes, finished: true, present: false });
    }
    Ok(held)
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()?;
    dir.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
