//! The one unsafe module of the workspace: a preallocated file, mapped shared and written through.
//!
//! A shared mapping is what makes "recorded" survive `kill -9`: the bytes belong to the page cache at the moment they
//! are stored, without a system call. Readers never map; they use `pread`, so that no reference to these bytes exists
//! outside this process.
#![expect(unsafe_code, reason = "writing through a mapping takes raw pointers; each block carries its proof")]

use core::{
    slice,
    sync::atomic::{AtomicU32, Ordering},
};
use std::{fs::File, io, ops::Range};

use memmap2::{MmapOptions, MmapRaw};

/// A writable shared mapping of a whole file.
pub(crate) struct Map {
    /// INVARIANT: maps `len()` bytes of a file that this process created (`O_EXCL`), reserved with `fallocate`, maps
    /// once, and does not shrink before its last store to it: see [`Map::of`].
    raw: MmapRaw,
}

impl Map {
    /// Maps the first `bytes` of a file. The caller has created the file (`O_EXCL`, mode 0600) in a directory that it
    /// holds the lock of, has reserved `bytes` of it with `fallocate`, maps it only once, and shrinks it only when it
    /// is done with the map.
    ///
    /// # Errors
    /// What `mmap` says.
    pub(crate) fn of(file: &File, bytes: usize) -> io::Result<Self> {
        Ok(Self { raw: MmapOptions::new().len(bytes).map_raw(file)? })
    }

    /// Bytes mapped.
    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    /// The bytes of a range, to be written. `None` where the range is not inside the map.
    pub(crate) fn slot(&mut self, range: Range<usize>) -> Option<&mut [u8]> {
        let bytes = range.end.checked_sub(range.start)?;
        if range.end > self.raw.len() {
            return None;
        }
        // SAFETY: `range` lies within the mapping (checked above), so the pointer is valid for reads and writes of
        // `bytes` bytes for as long as `self.raw` lives, and the slice borrows `self`. Exclusive: the slice is derived
        // from `&mut self`, `raw` is private and maps this file as the only one (INVARIANT); readers go through
        // `pread`, which makes no reference. Any bit pattern is a `u8`. Storage is reserved, so a store cannot fault
        // for lack of space.
        Some(unsafe { slice::from_raw_parts_mut(self.raw.as_mut_ptr().add(range.start), bytes) })
    }

    /// Stores a word, little-endian, so that whoever sees it sees everything stored before it. `None` where the word is not inside the
    /// map or `at` is no multiple of 4.
    pub(crate) fn publish(&mut self, at: usize, word: u32) -> Option<()> {
        if !at.is_multiple_of(4) || at.checked_add(4)? > self.raw.len() {
            return None;
        }
        // SAFETY: the four bytes at `at` lie within the mapping (checked above) and are aligned: a mapping starts at
        // a page border and `at` is a multiple of 4. The atomic lives only within this statement, `&mut self` keeps
        // every slice of `slot` away meanwhile, so no access to these bytes is concurrent with it in this process.
        unsafe { AtomicU32::from_ptr(self.raw.as_mut_ptr().add(at).cast()) }.store(word.to_le(), Ordering::Release);
        Some(())
    }
}
