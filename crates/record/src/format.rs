//! The frame of format version 1: names of files, the header of a segment, the sizes. See `docs/log-format.md`.

use core::fmt;

use serde::Serialize;
use types::{Label, Timestamp};

/// The version that this program writes, and the only one it reads.
pub(crate) const VERSION: u32 = 1;
/// The first bytes of a segment.
pub(crate) const MAGIC: [u8; 8] = *b"CSIGNLOG";
/// Length of a segment's header.
pub(crate) const HEADER_BYTES: usize = 256;
/// Bytes before a record's payload: length and checksum.
pub(crate) const FRAME_BYTES: usize = 8;
/// Frames start at multiples of this, so that a length is published by one atomic store.
pub(crate) const ALIGN: usize = 4;
/// The longest payload that a reader takes for one. Writers stay within `limits::RECORD_BYTES`.
pub(crate) const PAYLOAD_MAX: usize = 65_535;
/// The extension of segment files.
pub(crate) const EXTENSION: &str = "seg";

/// Bytes that a payload of this length takes in a segment.
pub(crate) const fn frame_bytes(payload: usize) -> usize {
    (FRAME_BYTES + payload).next_multiple_of(ALIGN)
}

/// One run of an enforcer: the moment of its start in microseconds, moved forward where an earlier start in the same
/// directory has it. Starts of a directory sort by age. Written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StartId(u64);

impl StartId {
    pub(crate) const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number.
    pub const fn value(self) -> u64 {
        self.0
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        fits.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for StartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for StartId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A lane of a start: the unit with one writer and one sequence.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LaneKey {
    pub(crate) start: StartId,
    pub(crate) lane: Label,
}

/// The name of a segment file: `<start>-<lane>-<number>.seg`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct SegmentName {
    pub(crate) key: LaneKey,
    pub(crate) number: u32,
}

impl SegmentName {
    /// Parses a file name; `None` unless it is exactly what `Display` writes.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (start, rest) = name.strip_suffix(".seg")?.split_once('-')?;
        let (lane, number) = rest.rsplit_once('-')?;
        let key = LaneKey { start: StartId::parse(start)?, lane: Label::parse(lane).ok()? };
        let parsed = Self { key, number: number.parse().ok()? };
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:06}.{EXTENSION}", self.key.start, self.key.lane, self.number)
    }
}

/// What the header of a segment says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) enforcer: Label,
    pub(crate) name: SegmentName,
    /// Random; goes into every checksum of the segment, so that nothing inside a payload can pose as a record.
    pub(crate) salt: u32,
    /// The sequence of the first record.
    pub(crate) first_sequence: u64,
    /// The time of the first record.
    pub(crate) created: Timestamp,
    /// The latest time in earlier segments of the lane; 0 where there are none.
    pub(crate) latest: Timestamp,
    /// Length of the file while it is written to.
    pub(crate) capacity: u64,
}

/// What the first bytes of a file turned out to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum HeaderState {
    /// Prepared and not yet written to.
    Unused,
    /// A segment.
    Valid(Box<Header>),
    /// Of a version that this program does not know.
    Newer(u32),
    /// Not a header, and why.
    Bad(&'static str),
}

const LABEL_SLOT: usize = 64;

impl Header {
    /// The checksum of the salt, from which the checksums of the segment's records go on.
    pub(crate) fn seed(&self) -> u32 {
        crc32c::crc32c(&self.salt.to_le_bytes())
    }

    /// The bytes of the header.
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0u8; HEADER_BYTES];
        let fields: [(usize, &[u8]); 12] = [
            (0, &MAGIC),
            (8, &VERSION.to_le_bytes()),
            (12, &(HEADER_BYTES as u32).to_le_bytes()),
            (16, &self.name.key.start.value().to_le_bytes()),
            (24, &self.name.number.to_le_bytes()),
            (28, &self.salt.to_le_bytes()),
            (32, &self.first_sequence.to_le_bytes()),
            (40, &self.created.micros().to_le_bytes()),
            (48, &self.latest.micros().to_le_bytes()),
            (56, &self.capacity.to_le_bytes()),
            (64, self.enforcer.as_str().as_bytes()),
            (64 + LABEL_SLOT, self.name.key.lane.as_str().as_bytes()),
        ];
        for (at, bytes) in fields {
            put(&mut out, at, bytes);
        }
        let crc = out.get(..CRC_AT).map_or(0, crc32c::crc32c);
        put(&mut out, CRC_AT, &crc.to_le_bytes());
        out
    }

    /// Reads the first bytes of a file.
    pub(crate) fn decode(bytes: &[u8]) -> HeaderState {
        // The first bytes are published last: while they are zero the rest may be half written. They are missing where
        // the writer died between making the file and reserving its space.
        if bytes.iter().take(4).all(|byte| *byte == 0) {
            return HeaderState::Unused;
        }
        if bytes.get(..8) != Some(MAGIC.as_slice()) {
            return HeaderState::Bad("it does not start as a segment does");
        }
        match array(bytes, 8).map(u32::from_le_bytes) {
            Some(VERSION) => {}
            Some(version) => return HeaderState::Newer(version),
            None => return HeaderState::Bad("its header is cut off"),
        }
        Self::checked(bytes).map_or_else(HeaderState::Bad, |header| HeaderState::Valid(Box::new(header)))
    }

    fn checked(bytes: &[u8]) -> Result<Self, &'static str> {
        const SHORT: &str = "its header is cut off";
        let crc = bytes.get(..CRC_AT).map(crc32c::crc32c).ok_or(SHORT)?;
        if array(bytes, CRC_AT).map(u32::from_le_bytes).ok_or(SHORT)? != crc {
            return Err("its header has a wrong checksum");
        }
        let word = |at| array(bytes, at).map(u32::from_le_bytes).ok_or(SHORT);
        let long = |at| array(bytes, at).map(u64::from_le_bytes).ok_or(SHORT);
        let key = LaneKey { start: StartId(long(16)?), lane: label(bytes, 64 + LABEL_SLOT)? };
        Ok(Self {
            enforcer: label(bytes, 64)?,
            name: SegmentName { key, number: word(24)? },
            salt: word(28)?,
            first_sequence: long(32)?,
            created: Timestamp::from_micros(long(40)?),
            latest: Timestamp::from_micros(long(48)?),
            capacity: long(56)?,
        })
    }
}

const CRC_AT: usize = HEADER_BYTES - 4;

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(slot) = out.get_mut(at..at + bytes.len()) {
        slot.copy_from_slice(bytes);
    }
}

/// The `N` bytes at `at`.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn label(bytes: &[u8], at: usize) -> Result<Label, &'static str> {
    let slot: [u8; LABEL_SLOT] = array(bytes, at).ok_or("its header is cut off")?;
    let text = slot.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = core::str::from_utf8(text).map_err(|_| "its header holds a name that is none")?;
    Label::parse(text).map_err(|_| "its header holds a name that is none")
}
