//! The example organisation acme.internal: its trust directory, and its services as real processes.
//!
//! The services are ordinary axum programs over SQLite that know nothing of Countersign. One executable holds all of
//! them: [`install()`] puts it under a path per workload (`DATA/bin/acme-ledger`, `DATA/bin/acme-payments`, …), so that
//! attestation by path tells the processes apart, and the path by which it was started says what it is to be.

use std::{ffi::OsString, path::Path, process::ExitCode};

use self::traffic::Role;

pub mod callers;
pub mod catalogue;
pub mod files;
pub mod install;
pub mod processes;
pub mod serve;
mod services;
mod store;
pub mod traffic;
mod web;

pub use catalogue::Ports;
pub use install::install;
pub use processes::spawn_services;
pub use serve::{service_main, service_name_from_exe};

/// Whether this process is one of the example's, by the path of its executable and its first argument: then it runs as
/// that, and the exit code says how it ended. `None` for the command line itself, also under a workload's path.
pub fn run_as_installed(executable: &Path, mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let name = serve::name_from_exe(executable)?;
    let Some(first) = arguments.next() else {
        return service_name_from_exe(executable).map(|name| service_main(name, arguments));
    };
    if let Some(role) = Role::of(&first) {
        return Some(traffic::caller_main(name, role, arguments));
    }
    service_name_from_exe(executable).map(|name| service_main(name, std::iter::once(first).chain(arguments)))
}

#[cfg(test)]
mod tests;
