//! What earlier starts left in the directory. Says what is damaged, gives back space that was never written to, and
//! changes no byte that was.

use std::{
    fs::{self, OpenOptions},
    path::Path,
};

use crate::{
    Damage, DamageKind, OpenError, ReadError,
    directory::Listing,
    format::{HEADER_BYTES, Header, HeaderState, SegmentName},
    read::{SegmentFile, Stop, Tail},
};

/// What was found when a log was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// Segments of earlier starts.
    pub segments: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes that earlier starts had reserved and not written, now given back.
    pub reclaimed_bytes: u64,
    /// What is not as it was written: torn tails, missing segments, and damaged records of segments that had to be
    /// read, which are the last of each lane and those not closed. A [`crate::Cursor`] reads them all.
    pub damage: Vec<Damage>,
}

impl Recovery {
    /// Lanes whose writer died within a record.
    pub fn torn_tails(&self) -> impl Iterator<Item = &Damage> {
        self.damage.iter().filter(|damage| matches!(damage.what, DamageKind::TornTail { .. }))
    }
}

/// Looks at everything in `dir`, whose lock is held. Also gives the segment with the latest start.
pub(crate) fn recover(dir: &Path) -> Result<(Recovery, Option<SegmentName>), OpenError> {
    let listing = Listing::of(dir).map_err(|source| ReadError::new(dir, source))?;
    if let Some(odd) = listing.odd.first() {
        return Err(OpenError::Damaged { file: dir.join(odd), what: "it is not named like a segment" });
    }
    let mut recovery = Recovery::default();
    for lane in listing.segments.chunk_by(|a, b| a.key == b.key) {
        let mut after: Option<Box<Header>> = None;
        for name in lane.iter().rev() {
            let header = Old { dir, name, after: after.as_deref() }.look(&mut recovery)?;
            after = header.or(after);
        }
    }
    let last = listing.segments.into_iter().max_by_key(|name| name.key.start);
    Ok((recovery, last))
}

/// One segment of an earlier start, with the header of the one after it.
struct Old<'a> {
    dir: &'a Path,
    name: &'a SegmentName,
    after: Option<&'a Header>,
}

impl Old<'_> {
    /// Looks at one segment; gives its header, or `None` where it was prepared and never used.
    fn look(&self, recovery: &mut Recovery) -> Result<Option<Box<Header>>, OpenError> {
        let file = self.dir.join(self.name.to_string());
        let failed = |source| ReadError::new(&file, source);
        let (mut segment, state) = SegmentFile::open(&file).map_err(failed)?;
        let header = match state {
            HeaderState::Valid(header) if header.name == *self.name => header,
            HeaderState::Valid(_) => {
                return Err(OpenError::Damaged { file, what: "its header names another segment" });
            }
            HeaderState::Newer(version) => return Err(OpenError::NewerFormat { file, version }),
            HeaderState::Bad(what) => return Err(OpenError::Damaged { file, what }),
            HeaderState::Unused => {
                if self.after.is_some() || !segment.is_blank().map_err(failed)? {
                    return Err(OpenError::Damaged { file, what: "its header was wiped" });
                }
                recovery.reclaimed_bytes += segment.len().map_err(failed)?;
                fs::remove_file(&file).map_err(|source| OpenError::NotWritable { path: file, source })?;
                return Ok(None);
            }
        };
        recovery.segments += 1;
        let missing = self.missing_after();
        if missing > 0 {
            let next = SegmentName { number: self.name.number.saturating_add(1), ..self.name.clone() };
            let what = DamageKind::MissingSegments { count: missing };
            recovery.damage.push(Damage { file: self.dir.join(next.to_string()), offset: 0, what });
        }
        let length = segment.len().map_err(failed)?;
        match self.after {
            // closed and followed by the next: how many records it has is known
            Some(after) if missing == 0 && length != header.capacity => {
                recovery.records += after.first_sequence.saturating_sub(header.first_sequence);
            }
            _ => self.scan(&mut segment, length, recovery)?,
        }
        Ok(Some(header))
    }

    fn missing_after(&self) -> u32 {
        self.after.map_or(0, |after| after.name.number.saturating_sub(self.name.number).saturating_sub(1))
    }

    /// Reads a segment that was not closed, and shrinks it to what was written.
    fn scan(&self, segment: &mut SegmentFile, length: u64, recovery: &mut Recovery) -> Result<(), OpenError> {
        let file = self.dir.join(self.name.to_string());
        let failed = |source| ReadError::new(&file, source);
        let tail = if self.after.is_some() { Tail::Closed } else { Tail::Last };
        let mut offset = HEADER_BYTES as u64;
        let found = |what| Damage { file: file.clone(), offset: 0, what };
        loop {
            if let Some((_, next)) = segment.record(offset).map_err(failed)? {
                recovery.records += 1;
                offset = next;
                continue;
            }
            match segment.judge(offset, tail).map_err(failed)? {
                Stop::Readable => {}
                Stop::Corrupt(until) => {
                    let what = DamageKind::Corrupt { bytes: until.saturating_sub(offset) };
                    recovery.damage.push(Damage { offset, ..found(what) });
                    offset = until;
                }
                Stop::Torn(bytes) => {
                    recovery.damage.push(Damage { offset, ..found(DamageKind::TornTail { bytes }) });
                    break;
                }
                Stop::End | Stop::NotYet => break,
            }
        }
        let end = segment.written_end(offset).map_err(failed)?;
        if end < length {
            let shrunk = OpenOptions::new().write(true).open(&file).and_then(|open| open.set_len(end));
            shrunk.map_err(|source| OpenError::NotWritable { path: file, source })?;
            recovery.reclaimed_bytes += length - end;
        }
        Ok(())
    }
}
