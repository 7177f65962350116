//! What lies in a log's directory.

use std::{collections::BTreeMap, fs, io, path::Path};

use crate::{
    copies,
    format::{EXTENSION, SegmentName},
};

/// The files of a directory.
#[derive(Default)]
pub(crate) struct Listing {
    /// Segments by lane, then number.
    pub(crate) segments: Vec<SegmentName>,
    /// Files that end like segments and are not named like one.
    pub(crate) odd: Vec<String>,
    /// Bytes of all files, with what is reserved in them.
    pub(crate) bytes: u64,
    /// Where these are copies of another's segments: those that are whole, with their bytes.
    pub(crate) received: Option<BTreeMap<SegmentName, u64>>,
}

impl Listing {
    /// Lists `dir`.
    pub(crate) fn of(dir: &Path) -> io::Result<Self> {
        let mut listing = Self::default();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            match entry.metadata() {
                Ok(metadata) if metadata.is_file() => listing.bytes = listing.bytes.saturating_add(metadata.len()),
                Ok(_) => continue,
                // a segment that was prepared and not needed goes away at any moment
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            let name = entry.file_name();
            match name.to_str().and_then(SegmentName::parse) {
                Some(name) => listing.segments.push(name),
                None if Path::new(&name).extension().is_some_and(|e| e == EXTENSION) => {
                    listing.odd.push(name.to_string_lossy().into_owned());
                }
                None => {}
            }
        }
        listing.segments.sort();
        listing.received = copies::journal(dir)?;
        Ok(listing)
    }
}
