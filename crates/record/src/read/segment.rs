//! One segment file: whole records, and the judgement of a place where none stands.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use crate::format::{ALIGN, FRAME_BYTES, HEADER_BYTES, Header, HeaderState, PAYLOAD_MAX, array, frame_bytes};

const CHUNK: usize = 64 * 1024;
/// How far beyond the end of a live segment a reader looks for records that would prove damage: more than any record
/// in the making takes.
const WINDOW: u64 = 2 * (FRAME_BYTES + PAYLOAD_MAX) as u64;

/// What may still come after the end of a segment's records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tail {
    /// More records: its writer lives.
    Open,
    /// Nothing: its writer is gone, perhaps in the middle of a record.
    Last,
    /// Nothing: its writer went on to the next segment, so the last record is whole.
    Closed,
}

/// Why no whole record stands at an offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// One does, by now.
    Readable,
    /// Nothing was written there yet; perhaps there will be.
    NotYet,
    /// The end.
    End,
    /// The writer died within a record, of which so many bytes stand.
    Torn(u64),
    /// Bytes up to this offset are not what was written; records go on there, or the file ends.
    Corrupt(u64),
}

/// A segment file, read through a buffer.
pub(crate) struct SegmentFile {
    file: File,
    seed: u32,
    /// The bytes of the file from `start` on, as they were at some moment.
    buffer: Vec<u8>,
    start: u64,
}

impl SegmentFile {
    /// Opens a file and reads its header.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, HeaderState)> {
        let mut segment = Self { file: File::open(path)?, seed: 0, buffer: Vec::new(), start: 0 };
        let state = Header::decode(segment.window(0, HEADER_BYTES)?);
        if let HeaderState::Valid(header) = &state {
            segment.seed = header.seed();
        }
        Ok((segment, state))
    }

    /// Bytes of the file.
    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// The payload of the record at `offset` and where the next one starts; `None` where no whole record stands.
    pub(crate) fn record(&mut self, offset: u64) -> io::Result<Option<(&[u8], u64)>> {
        let seed = self.seed;
        let Some(length) = array(self.window(offset, FRAME_BYTES)?, 0).map(u32::from_le_bytes) else {
            return Ok(None);
        };
        let length = length as usize;
        if length == 0 || length > PAYLOAD_MAX {
            return Ok(None);
        }
        let frame = self.window(offset, frame_bytes(length))?;
        let crc = array(frame, 4).map(u32::from_le_bytes);
        let Some((payload, padding)) = frame.get(FRAME_BYTES..).and_then(|rest| rest.split_at_checked(length)) else {
            return Ok(None);
        };
        let whole = padding.iter().all(|byte| *byte == 0) && crc == Some(crc32c::crc32c_append(seed, payload));
        Ok(whole.then_some((payload, offset + frame_bytes(length) as u64)))
    }

    /// Judges an offset at which [`Self::record`] found none. What may follow must have been found out before, so that
    /// everything written until then is seen here.
    pub(crate) fn judge(&mut self, offset: u64, tail: Tail) -> io::Result<Stop> {
        if self.readable_now(offset)? {
            return Ok(Stop::Readable);
        }
        let limit = if tail == Tail::Open { offset.saturating_add(WINDOW) } else { u64::MAX };
        if let Some(next) = self.resume(offset, limit)? {
            // a live writer may have gone past this offset between two looks
            return Ok(if self.readable_now(offset)? { Stop::Readable } else { Stop::Corrupt(next) });
        }
        if tail == Tail::Open {
            return Ok(Stop::NotYet);
        }
        let written = self.written_end(offset)?.saturating_sub(offset);
        Ok(match tail {
            _ if written == 0 => Stop::End,
            Tail::Last if written <= (FRAME_BYTES + PAYLOAD_MAX) as u64 => Stop::Torn(written),
            Tail::Open | Tail::Last | Tail::Closed => Stop::Corrupt(self.len()?),
        })
    }

    /// Where the bytes that are not zero end, at or after `offset`; `offset` where there are none.
    pub(crate) fn written_end(&mut self, offset: u64) -> io::Result<u64> {
        let (mut at, mut end) = (offset, offset);
        loop {
            let chunk = self.window(at, CHUNK)?;
            if chunk.is_empty() {
                return Ok(end);
            }
            if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
                end = at + last as u64 + 1;
            }
            at += chunk.len() as u64;
        }
    }

    /// Whether a segment without a header was never written to: its writer may have died within the header at most.
    pub(crate) fn is_blank(&mut self) -> io::Result<bool> {
        Ok(self.written_end(0)? <= HEADER_BYTES as u64)
    }

    fn readable_now(&mut self, offset: u64) -> io::Result<bool> {
        self.buffer.clear();
        Ok(self.record(offset)?.is_some())
    }

    /// The next offset after `offset` at which a whole record stands. The salted checksum keeps bytes inside of a
    /// payload from posing as one.
    fn resume(&mut self, offset: u64, limit: u64) -> io::Result<Option<u64>> {
        let mut at = offset + ALIGN as u64;
        while at < limit {
            let chunk = self.window(at, CHUNK)?;
            if chunk.len() < FRAME_BYTES {
                return Ok(None);
            }
            let words = chunk.len() / ALIGN;
            let likely = |word: &[u8]| {
                array(word, 0).map(u32::from_le_bytes).is_some_and(|n| n != 0 && n as usize <= PAYLOAD_MAX)
            };
            let found = chunk.chunks_exact(ALIGN).position(likely);
            at += (found.unwrap_or(words) * ALIGN) as u64;
            if found.is_some() {
                if self.record(at)?.is_some() {
                    return Ok(Some(at));
                }
                at += ALIGN as u64;
            }
        }
        Ok(None)
    }

    /// Up to `bytes` bytes at `offset`; fewer only at the end of the file.
    fn window(&mut self, offset: u64, bytes: usize) -> io::Result<&[u8]> {
        let held = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        let held = held.filter(|skip| skip.saturating_add(bytes) <= self.buffer.len());
        let skip = match held {
            Some(skip) => skip,
            None => {
                self.fill(offset, bytes.max(CHUNK))?;
                0
            }
        };
        let end = skip.saturating_add(bytes).min(self.buffer.len());
        Ok(self.buffer.get(skip..end).unwrap_or_default())
    }

    fn fill(&mut self, offset: u64, bytes: usize) -> io::Result<()> {
        self.start = offset;
        self.buffer.resize(bytes, 0);
        let mut filled = 0;
        while let Some(rest) = self.buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.buffer.clear();
                    return Err(error);
                }
            }
        }
        self.buffer.truncate(filled);
        Ok(())
    }
}
