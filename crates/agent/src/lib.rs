//! The node agent: the SPIFFE Workload API on a Unix socket.
//!
//! Who calls is found out by the agent, never told by the caller (WA-7): the process is pinned by a pidfd, then what it
//! runs is read. The SVIDs themselves come from whoever implements [`api::issuance::Issuance`]; keys are made here and
//! never leave the machine.

mod attest;
mod client;
mod digest;
mod pin;
mod quota;
mod secret;
mod serve;
mod service;
mod socket;
mod state;
mod stream;
mod wallet;

pub use client::{FetchError, Fetched, FetchedSvid, fetch, fetch_all};
pub use secret::Secret;
pub use serve::{ServeError, serve, serve_on};
pub use socket::{BindError, Socket};

#[cfg(test)]
mod tests;
