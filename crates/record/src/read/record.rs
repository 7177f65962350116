//! What a reader hands out: records, and what is wrong with the log.

use core::fmt;
use std::{path::PathBuf, sync::Arc};

use serde::Serialize;
use types::{Timestamp, facts::Facts};

use crate::{
    codec::{self, Malformed},
    format::StartId,
};

/// One thing that a [`crate::Cursor`] found.
#[derive(Clone, Debug)]
pub enum Item {
    /// A record.
    Record(OwnedRecord),
    /// Something that is not as it was written.
    Damage(Damage),
}

/// Whose records a lane holds.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    pub(crate) enforcer: String,
    pub(crate) lane: String,
    pub(crate) start: StartId,
}

/// A record's bytes, known to be readable. [`Self::view`] gives their meaning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedRecord {
    origin: Arc<Origin>,
    /// INVARIANT: `codec::decode` reads it.
    payload: Box<[u8]>,
}

impl OwnedRecord {
    pub(crate) fn new(origin: Arc<Origin>, payload: &[u8]) -> Result<Self, Malformed> {
        codec::decode(payload)?;
        Ok(Self { origin, payload: payload.into() })
    }

    /// The record's meaning, borrowed from its bytes.
    pub fn view(&self) -> Record<'_> {
        #[expect(clippy::expect_used, reason = "`new` decoded these bytes; they cannot change and decoding is pure")]
        let (stamp, facts) = codec::decode(&self.payload).expect("decoded when it was made");
        Record {
            enforcer: &self.origin.enforcer,
            lane: &self.origin.lane,
            start: self.origin.start,
            sequence: stamp.sequence,
            at: stamp.at,
            facts,
        }
    }

    /// The payload as it stands in the segment (`docs/log-format.md`).
    pub fn bytes(&self) -> &[u8] {
        &self.payload
    }
}

/// A record of the log. Serializes as one flat object: these keys, `kind`, and the keys of the facts.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Record<'a> {
    /// The enforcer that wrote it.
    pub enforcer: &'a str,
    /// Its lane.
    pub lane: &'a str,
    /// The start of the enforcer.
    pub start: StartId,
    /// The position in the lane, from 0.
    pub sequence: u64,
    /// When it was appended, by the enforcer's clock.
    pub at: Timestamp,
    /// What it says.
    #[serde(flatten)]
    pub facts: Facts<'a>,
}

/// A place where the log is not as it was written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// The first byte concerned.
    pub offset: u64,
    /// What is wrong.
    #[serde(flatten)]
    pub what: DamageKind,
}

/// What is wrong at a place of the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum DamageKind {
    /// The writer died within a record: its last bytes are no record. No answer was given on its account.
    TornTail {
        /// How many bytes of it stand.
        bytes: u64,
    },
    /// Bytes have changed since they were written.
    Corrupt {
        /// How many bytes cannot be read.
        bytes: u64,
    },
    /// The lane's sequence does not go on where it should: with `found` above `expected`, those between are lost.
    Sequence {
        /// The sequence that should stand there.
        expected: u64,
        /// The sequence that does.
        found: u64,
    },
    /// Segments of the lane are gone. The file named is the first that is.
    MissingSegments {
        /// How many.
        count: u32,
    },
    /// The file's header or name is not that of the segment it should be; none of its records were read.
    Header {
        /// Why.
        why: &'static str,
    },
    /// The file was written by a later program; none of its records were read.
    NewerFormat {
        /// The version that it names.
        version: u32,
    },
    /// A record is whole, but this program cannot read it.
    Unreadable {
        /// The record's sequence, where that much can be read.
        sequence: Option<u64>,
        /// Why.
        why: String,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` at byte {}: {}", self.file.display(), self.offset, self.what)
    }
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TornTail { bytes } => write!(f, "the writer died within a record, {bytes} bytes of it stand"),
            Self::Corrupt { bytes } => write!(f, "{bytes} bytes have changed since they were written"),
            Self::Sequence { expected, found } if found > expected => {
                write!(f, "records {expected} to {} of the lane are lost", found - 1)
            }
            Self::Sequence { expected, found } => write!(f, "record {found} stands where {expected} should"),
            Self::MissingSegments { count: 1 } => f.write_str("the segment is gone"),
            Self::MissingSegments { count } => write!(f, "{count} segments from this one on are gone"),
            Self::Header { why } => f.write_str(why),
            Self::NewerFormat { version } => write!(f, "it has log format {version}, this program knows format 1"),
            Self::Unreadable { sequence: Some(sequence), why } => write!(f, "record {sequence} cannot be read: {why}"),
            Self::Unreadable { sequence: None, why } => write!(f, "a record cannot be read: {why}"),
        }
    }
}
