//! The example organisation acme.internal: its trust directory, and its services as real processes.
//!
//! The services are ordinary axum programs over SQLite that know nothing of Countersign. One executable holds all of
//! them: [`install()`] puts it under a path per workload (`DATA/bin/acme-ledger`, `DATA/bin/acme-payments`, …), so that
//! attestation by path tells the processes apart, and the path by which it was started says what it is to be.

pub mod catalogue;
pub mod files;
pub mod install;
pub mod processes;
pub mod serve;
mod services;
mod store;
mod web;

pub use catalogue::Ports;
pub use install::install;
pub use processes::spawn_services;
pub use serve::{service_main, service_name_from_exe};

#[cfg(test)]
mod tests;
