//! The node agent: the SPIFFE Workload API on a Unix socket.
//!
//! Who calls is found out by the agent, never told by the caller (WA-7): the process is pinned by a pidfd, then what it
//! runs is read. The SVIDs themselves come from whoever implements [`api::issuance::Issuance`]; keys are made here and
//! never leave the machine.

mod attest;
mod authority;
mod callers;
mod client;
mod connection;
mod digest;
mod hands;
mod jwt;
pub mod k8s;
mod key;
mod pin;
pub mod proc;
mod quota;
mod refusal;
mod retry;
mod secret;
mod serve;
mod service;
mod skew;
mod socket;
mod state;
mod stream;
mod tell;
mod tokens;
mod trust;
mod wallet;

pub use client::{FetchError, Fetched, FetchedJwt, FetchedSvid, fetch, fetch_all, fetch_jwt, follow};
pub use secret::Secret;
pub use serve::{Cluster, Options, ServeError, serve, serve_on};
pub use socket::{BindError, Socket};

#[cfg(test)]
mod tests;
