//! Reading a log, live or at rest. Readers use `pread` and never map or lock out the writer.

mod cursor;
mod find;
mod lane;
mod record;
mod segment;

pub use cursor::Cursor;
pub use find::{Found, find};
pub use record::{Damage, DamageKind, Item, OwnedRecord, Record};
pub(crate) use segment::{SegmentFile, Stop, Tail};
