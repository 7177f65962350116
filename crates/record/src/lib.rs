//! The decision log: its format, its writer and its reader.
//!
//! A request is forwarded only with a [`Recorded`] decision, and [`Lane::append`] is the only place that makes one.
//! The format is documented byte by byte in `docs/log-format.md`. Durability is `process`: what was appended survives
//! the death of the process at any moment (the pages belong to the file), not the loss of power.
//!
//! - Writing: [`Log::open`] → [`Log::lane`] → [`Lane::append`].
//! - Reading: [`Cursor`] over all lanes of a directory, [`find`] for one decision.
//! - Shipping: [`Segments`] says what a directory holds, [`Copies`] keeps it elsewhere, [`Log::release`] makes room.

mod codec;
mod copies;
mod directory;
mod error;
mod format;
mod lock;
mod map;
mod read;
mod released;
mod segments;
mod write;

pub use copies::{Copies, CopyError, Written};
pub use error::{OpenError, ReadError};
pub use format::StartId;
pub use read::{Cursor, Damage, DamageKind, Found, Item, OwnedRecord, Record, find};
pub use segments::{SegmentState, Segments};
pub use write::{Cause, Health, Lane, Log, LogConfig, NotRecorded, Recorded, Recovery, Trouble, Why};

#[cfg(test)]
mod tests;
