//! What a log's directory holds, for those who bring it elsewhere: each segment's bytes that stand for good.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::{
    ReadError,
    directory::Listing,
    format::{HEADER_BYTES, HeaderState, SegmentName},
    lock,
    read::{SegmentFile, Stop, Tail},
};

/// A segment, and how much of it stands for good.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SegmentState {
    /// The name of its file.
    pub name: String,
    /// Bytes from its beginning on that will not change: whole records, or everything where it is finished.
    pub bytes: u64,
    /// Nothing will be added to it.
    pub finished: bool,
}

/// The segments of a directory, also those of earlier starts, looked at again and again. Each byte is read once.
pub struct Segments {
    dir: PathBuf,
    known: BTreeMap<SegmentName, Known>,
}

#[derive(Clone, Copy)]
struct Known {
    bytes: u64,
    finished: bool,
}

impl Segments {
    /// Nothing is read yet.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), known: BTreeMap::new() }
    }

    /// What the directory holds now, in the order of lanes and numbers: older starts first. Segments that were made ahead
    /// and hold nothing are left out.
    ///
    /// # Errors
    /// When the directory or a segment cannot be read.
    pub fn look(&mut self) -> Result<Vec<SegmentState>, ReadError> {
        let failed = |source| ReadError::new(&self.dir, source);
        let before = lock::live_start(&self.dir).map_err(failed)?;
        let listing = Listing::of(&self.dir).map_err(failed)?;
        let after = lock::live_start(&self.dir).map_err(failed)?;
        let live = before.into_iter().chain(after).min();
        let mut known = BTreeMap::new();
        for lane in listing.segments.chunk_by(|a, b| a.key == b.key) {
            let is_live = lane.first().is_some_and(|name| live.is_some_and(|start| name.key.start >= start));
            let mut tail = if is_live { Tail::Open } else { Tail::Last };
            for name in lane.iter().rev() {
                let found = self.measure(name, tail).map_err(|source| ReadError::new(self.path(name), source))?;
                if let Some(found) = found {
                    known.insert(name.clone(), found);
                    tail = Tail::Closed;
                }
            }
        }
        self.known = known;
        let state = |(name, known): (&SegmentName, &Known)| SegmentState {
            name: name.to_string(),
            bytes: known.bytes,
            finished: known.finished,
        };
        Ok(self.known.iter().map(state).collect())
    }

    /// At most so many bytes of a segment from `offset` on; fewer only at the end of what stands for good.
    ///
    /// # Errors
    /// When the segment is gone, or cannot be read.
    pub fn read(&self, name: &str, offset: u64, most: usize) -> Result<Vec<u8>, ReadError> {
        let failed = |source| ReadError::new(self.dir.join(name), source);
        let known = SegmentName::parse(name).and_then(|name| self.known.get(&name));
        let known = known.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let left = usize::try_from(known.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; left.min(most)];
        let file = File::open(self.dir.join(name)).map_err(failed)?;
        file.read_exact_at(&mut bytes, offset).map_err(failed)?;
        Ok(bytes)
    }

    /// `None` for one that holds nothing, or is gone.
    fn measure(&self, name: &SegmentName, tail: Tail) -> io::Result<Option<Known>> {
        let known = self.known.get(name).copied();
        if let Some(known) = known.filter(|known| known.finished) {
            return Ok(Some(known));
        }
        let (mut file, header) = match SegmentFile::open(&self.path(name)) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = file.len()?;
        let finished = tail != Tail::Open;
        let bytes = match header {
            HeaderState::Unused => return Ok(None),
            // whoever keeps copies takes none of it, and says so
            HeaderState::Newer(_) | HeaderState::Bad(_) => file.written_end(0)?,
            // its writer has cut off what it had reserved
            HeaderState::Valid(header) if finished && length != header.capacity => length,
            HeaderState::Valid(_) => scan(&mut file, known.map_or(HEADER_BYTES as u64, |known| known.bytes), tail)?,
        };
        Ok(Some(Known { bytes: bytes.min(length), finished }))
    }

    fn path(&self, name: &SegmentName) -> PathBuf {
        self.dir.join(name.to_string())
    }
}

/// The end of what stands for good.
fn scan(file: &mut SegmentFile, from: u64, tail: Tail) -> io::Result<u64> {
    let mut offset = from;
    loop {
        while let Some((_, next)) = file.record(offset)? {
            offset = next;
        }
        match file.judge(offset, tail)? {
            Stop::Readable => {}
            Stop::NotYet => return Ok(offset),
            Stop::Corrupt(next) if next < file.len()? => offset = next,
            Stop::Corrupt(_) | Stop::Torn(_) | Stop::End => return file.written_end(offset),
        }
    }
}
