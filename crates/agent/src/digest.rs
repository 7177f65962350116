//! SHA-256 of executables, remembered as long as the file does not change (WA-7: hashing is capped).

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use rustix::time::{ClockId, clock_gettime};
use types::limits;

const CHUNK: usize = 64 * 1024;

/// How long a file must have been left alone before its digest is remembered. A stamp is only as fine as a tick of the kernel
/// (10 ms at most, 2 s on some file systems): of two changes within one, the second would be taken for the first.
const SETTLED_SECONDS: i64 = 3; // tidy: a property of file systems

/// Remembered digests.
#[derive(Default)]
pub(crate) struct Digests(Mutex<HashMap<Stamp, [u8; 32]>>);

/// One state of one file. A change of its contents changes the modification time or, where that is set back, the
/// change time, which only the kernel sets.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Digests {
    /// The digest of an open file. Reads the whole file the first time.
    ///
    /// # Errors
    /// When it cannot be read, is larger than `workload_binary_bytes`, or changes meanwhile.
    pub fn of(&self, file: &mut File) -> io::Result<[u8; 32]> {
        // By the kernel's clock, which writes the stamps: no other would do.
        self.at(file, clock_gettime(ClockId::Realtime).tv_sec)
    }

    fn at(&self, file: &mut File, now: i64) -> io::Result<[u8; 32]> {
        let stamp = Stamp::of(&file.metadata()?);
        if let Some(digest) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&stamp) {
            return Ok(*digest);
        }
        let digest = hash(file, stamp.size)?;
        if Stamp::of(&file.metadata()?) != stamp {
            return Err(io::Error::other("the executable changed while it was read"));
        }
        if stamp.changed.0.saturating_add(SETTLED_SECONDS) > now {
            return Ok(digest);
        }
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= limits::WORKLOAD_DIGESTS.default_usize() {
            remembered.clear();
        }
        remembered.insert(stamp, digest);
        Ok(digest)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

fn hash(file: &mut File, size: u64) -> io::Result<[u8; 32]> {
    let most = limits::WORKLOAD_BINARY_BYTES.default;
    if size > most {
        return Err(io::Error::other("the executable is too large to be hashed"));
    }
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; CHUNK];
    let mut total = 0u64;
    loop {
        let read = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        total = total.saturating_add(read as u64);
        if total > most {
            return Err(io::Error::other("the executable is too large to be hashed"));
        }
        context.update(bytes);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_digest_is_remembered_until_the_file_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        std::fs::write(&path, "abc").unwrap();
        let digests = Digests::default();
        let later = clock_gettime(ClockId::Realtime).tv_sec + 60;
        let of = || digests.at(&mut File::open(&path).unwrap(), later).unwrap();
        let abc = of();
        assert_eq!(abc[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!((of(), digests.len()), (abc, 1));
        File::options().append(true).open(&path).unwrap().write_all(b"d").unwrap();
        assert_ne!(of(), abc);
        assert_eq!(digests.len(), 2);
    }

    /// Two changes within one tick of the kernel's clock leave one stamp.
    #[test]
    fn the_digest_of_a_file_that_was_changed_just_now_is_not_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        std::fs::write(&path, "abc").unwrap();
        let digests = Digests::default();
        digests.of(&mut File::open(&path).unwrap()).unwrap();
        assert_eq!(digests.len(), 0);
        let changed = std::fs::metadata(&path).unwrap().ctime();
        digests.at(&mut File::open(&path).unwrap(), changed + SETTLED_SECONDS - 1).unwrap();
        assert_eq!(digests.len(), 0);
        digests.at(&mut File::open(&path).unwrap(), changed + SETTLED_SECONDS).unwrap();
        assert_eq!(digests.len(), 1);
    }
}
