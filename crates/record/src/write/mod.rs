//! Writing a log: one writer per lane, no lock and no system call on its path.

mod lane;
mod log;
mod prepare;
mod recovery;
mod release;
mod segment;

pub use lane::{Lane, NotRecorded, Recorded, Why};
pub use log::{Log, LogConfig};
pub use prepare::{Cause, Health, Trouble};
pub use recovery::Recovery;
