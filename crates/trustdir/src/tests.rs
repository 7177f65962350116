//! Tests of whole directories.

mod all;
mod bad;
mod directory;
mod fuzz;
mod good;
mod messages;
mod modes;
mod nodes;
mod odd;
mod slips;
