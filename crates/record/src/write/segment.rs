//! A segment that is written to: reserved, mapped, and shrunk to what was written when it is dropped.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    rand::{GetRandomFlags, getrandom},
};
use types::facts::Facts;

use crate::{
    codec::{self, Stamp},
    format::{FRAME_BYTES, HEADER_BYTES, Header, frame_bytes},
    map::Map,
};

/// A segment, prepared or being written.
pub(crate) struct Segment {
    /// INVARIANT: the only map of a file made and reserved in [`Segment::create`].
    map: Map,
    file: File,
    path: PathBuf,
    salt: u32,
    seed: u32,
    /// Where the next record goes. 0 until the header is written.
    written: usize,
}

impl Segment {
    /// Makes a file of `bytes`, with its space reserved, and maps it.
    pub(crate) fn create(path: &Path, bytes: usize) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        let made = Self::reserve(&file, bytes);
        if made.is_err() {
            // what could not be made must not take space; the first error is the one to tell
            let _ = fs::remove_file(path);
        }
        let (map, salt) = made?;
        Ok(Self { map, file, path: path.to_owned(), salt, seed: 0, written: 0 })
    }

    fn reserve(file: &File, bytes: usize) -> io::Result<(Map, u32)> {
        let mut salt = [0u8; 4];
        getrandom(salt.as_mut_slice(), GetRandomFlags::empty())?;
        fallocate(file, FallocateFlags::empty(), 0, bytes as u64)?;
        Ok((Map::of(file, bytes)?, u32::from_le_bytes(salt)))
    }

    /// Bytes that are left.
    pub(crate) fn room(&self) -> usize {
        self.map.len().saturating_sub(self.written.max(HEADER_BYTES))
    }

    /// Whether more than half is written.
    pub(crate) fn is_past_half(&self) -> bool {
        self.written > self.map.len() / 2
    }

    /// Writes the header. `salt` and `capacity` are the segment's own.
    pub(crate) fn begin(&mut self, mut header: Header) -> Option<()> {
        header.salt = self.salt;
        header.capacity = self.map.len() as u64;
        let bytes = header.encode();
        let (first, rest) = bytes.split_first_chunk::<4>()?;
        self.map.slot(4..HEADER_BYTES)?.copy_from_slice(rest);
        self.map.publish(0, u32::from_le_bytes(*first))?;
        self.seed = header.seed();
        self.written = HEADER_BYTES;
        Some(())
    }

    /// Appends a record whose payload takes exactly `length` bytes. `None`, and nothing is written, where it does not
    /// fit. The length is stored last: until then there is no record.
    pub(crate) fn append(&mut self, stamp: Stamp, facts: &Facts<'_>, length: usize) -> Option<()> {
        let start = self.written;
        let slot = self.map.slot(start + 4..start + FRAME_BYTES + length)?;
        let (crc, payload) = slot.split_first_chunk_mut::<4>()?;
        codec::encode(payload, stamp, facts)?;
        *crc = crc32c::crc32c_append(self.seed, payload).to_le_bytes();
        self.map.publish(start, u32::try_from(length).ok()?)?;
        self.written = start + frame_bytes(length);
        Some(())
    }
}

impl Drop for Segment {
    /// Gives back what was reserved and not written. Where that fails, the space stays taken and is counted.
    fn drop(&mut self) {
        let _ = match self.written {
            0 => fs::remove_file(&self.path),
            written => self.file.set_len(written as u64),
        };
    }
}
