//! Tests of whole directories.

mod bad;
mod directory;
mod fuzz;
mod good;
mod messages;
mod nodes;
mod odd;
