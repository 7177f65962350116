//! When control was last heard, on the disk: two records of fixed size, written in turn, so that one is always whole.
//!
//! A record is written once a second and not forced to the disk: after a loss of power an older one counts, and what is in
//! force is then taken for older than it is, never for younger.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Mutex};

use types::Timestamp;

use super::{
    held::Floors,
    shelf::{Shelf, digest_of, private},
};

const NAME: &str = "heard";
/// Eight numbers and the SHA-256 over them.
const SIZE: usize = 8 * 8 + 32;

/// What a record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Beat {
    /// Grows with every record.
    sequence: u64,
    /// The epoch that was the latest, and when.
    pub(super) epoch: u64,
    pub(super) heard: Timestamp,
    /// The publication that was current, and when.
    pub(super) publication: u64,
    pub(super) confirmed: Timestamp,
    /// The highest numbers that were in force.
    pub(super) floors: Floors,
}

/// The file.
pub(super) struct Beats {
    file: File,
    last: Mutex<Beat>,
}

impl Beats {
    /// Opens the file and reads the younger of its good records. Where none is good, control was never heard.
    pub(super) fn open(shelf: &Shelf) -> io::Result<(Self, Beat)> {
        let file = private(&shelf.path(NAME))?;
        let records = [read(&file, 0), read(&file, 1)];
        let is_new = file.metadata()?.len() == 0;
        let found = records.into_iter().flatten().max_by_key(|beat| beat.sequence);
        if found.is_none() && !is_new {
            tracing::error!(file = %shelf.path(NAME).display(), "when control was last heard cannot be read; it counts as never");
        }
        let beat = found.unwrap_or_default();
        Ok((Self { file, last: Mutex::new(beat) }, beat))
    }

    /// Writes over the older record.
    pub(super) fn write(&self, beat: Beat) -> io::Result<()> {
        let Ok(mut last) = self.last.lock() else { return Ok(()) };
        let beat = Beat { sequence: last.sequence.saturating_add(1), ..beat };
        self.file.write_all_at(&encode(&beat), offset(beat.sequence % 2))?;
        *last = beat;
        Ok(())
    }
}

fn offset(slot: u64) -> u64 {
    slot * SIZE as u64
}

fn encode(beat: &Beat) -> Vec<u8> {
    let Floors { publication, epoch, bundles } = beat.floors;
    let numbers = [
        beat.sequence,
        beat.epoch,
        beat.heard.micros(),
        beat.publication,
        beat.confirmed.micros(),
        publication,
        epoch,
        bundles,
    ];
    let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    bytes.extend(digest_of(&bytes));
    bytes
}

fn read(file: &File, slot: u64) -> Option<Beat> {
    let mut bytes = [0; SIZE];
    file.read_exact_at(&mut bytes, offset(slot)).ok()?;
    let (numbers, digest) = bytes.split_last_chunk::<32>()?;
    if digest_of(numbers) != *digest {
        return None;
    }
    let mut numbers = numbers.as_chunks::<8>().0.iter().map(|bytes| u64::from_be_bytes(*bytes));
    let mut next = || numbers.next().unwrap_or_default();
    let (sequence, epoch, heard, publication, confirmed) = (next(), next(), next(), next(), next());
    let floors = Floors { publication: next(), epoch: next(), bundles: next() };
    let (heard, confirmed) = (Timestamp::from_micros(heard), Timestamp::from_micros(confirmed));
    Some(Beat { sequence, epoch, heard, publication, confirmed, floors })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(epoch: u64) -> Beat {
        let floors = Floors { publication: epoch + 1, epoch, bundles: 9 };
        let at = Timestamp::from_micros(epoch * 100);
        Beat { sequence: 0, epoch, heard: at, publication: epoch + 1, confirmed: at, floors }
    }

    #[test]
    fn the_younger_record_counts_and_a_torn_one_leaves_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        for epoch in 1..=3 {
            let shelf = Shelf::open(path.clone()).unwrap();
            Beats::open(&shelf).unwrap().0.write(beat(epoch)).unwrap();
        }
        let shelf = Shelf::open(path).unwrap();
        let read_back = || Beats::open(&shelf).unwrap().1;
        assert_eq!(read_back(), Beat { sequence: 3, ..beat(3) });
        let good = std::fs::read(shelf.path(NAME)).unwrap();
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 0x40;
            std::fs::write(shelf.path(NAME), &bad).unwrap();
            // the third record is in the second place
            let expected = if index < SIZE { 3 } else { 2 };
            assert_eq!(read_back().epoch, expected, "byte {index}");
        }
        std::fs::write(shelf.path(NAME), b"short").unwrap();
        assert_eq!(read_back(), Beat::default());
    }
}
