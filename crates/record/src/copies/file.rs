//! One file of copies: what is there is compared, what is new is appended.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use super::CopyError;
use crate::format::{HEADER_BYTES, Header, HeaderState, SegmentName};

/// Puts `data` at `offset`, which is within the `had` bytes that the file has or right behind them. Gives the bytes that
/// it has then.
pub(super) fn put(path: &Path, name: &SegmentName, had: u64, offset: u64, data: &[u8]) -> Result<u64, CopyError> {
    let known = usize::try_from(had.saturating_sub(offset)).unwrap_or(usize::MAX).min(data.len());
    let (known, new) = data.split_at_checked(known).unwrap_or((data, &[]));
    if !known.is_empty() {
        compare(path, offset, known)?;
    }
    if new.is_empty() && had > 0 {
        return Ok(had);
    }
    check_header(path, name, had, new)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path)?;
    match file.write_all_at(new, had) {
        Ok(()) => Ok(had.saturating_add(new.len() as u64)),
        Err(error) => {
            // half a piece must not count as held
            let _ = file.set_len(had);
            Err(error.into())
        }
    }
}

/// Back to so many bytes; a file that would be empty goes.
pub(super) fn cut(path: &Path, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return std::fs::remove_file(path);
    }
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(bytes)?;
    file.sync_all()
}

fn compare(path: &Path, offset: u64, data: &[u8]) -> Result<(), CopyError> {
    let mut there = vec![0; data.len()];
    File::open(path)?.read_exact_at(&mut there, offset)?;
    let differs = there.iter().zip(data).position(|(there, data)| there != data);
    differs.map_or(Ok(()), |at| Err(CopyError::Other { offset: offset.saturating_add(at as u64) }))
}

/// As soon as the header is whole it must be that of a segment of this name.
fn check_header(path: &Path, name: &SegmentName, had: u64, new: &[u8]) -> Result<(), CopyError> {
    let had = usize::try_from(had).unwrap_or(usize::MAX);
    if had >= HEADER_BYTES || had.saturating_add(new.len()) < HEADER_BYTES {
        return Ok(());
    }
    let mut bytes = vec![0; had];
    if had > 0 {
        File::open(path)?.read_exact_at(&mut bytes, 0)?;
    }
    bytes.extend_from_slice(new);
    match Header::decode(&bytes) {
        HeaderState::Valid(header) if header.name == *name => Ok(()),
        HeaderState::Valid(_) => Err(CopyError::Header("it names another segment")),
        // a later release may write what this one only keeps
        HeaderState::Newer(_) => Ok(()),
        HeaderState::Unused => Err(CopyError::Header("its first bytes are zeros")),
        HeaderState::Bad(why) => Err(CopyError::Header(why)),
    }
}
