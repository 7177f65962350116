//! Tests of whole directories.

mod all;
mod approval;
mod attest;
mod bad;
mod directory;
mod federation;
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
mod svid;
