//! Tests of whole directories.

mod all;
mod approval;
mod bad;
mod directory;
mod fuzz;
mod good;
mod messages;
mod modes;
mod node_schema;
mod nodes;
mod odd;
mod owners;
mod part;
mod slips;
mod stale;
