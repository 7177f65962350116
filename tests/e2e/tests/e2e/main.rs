//! The real binary over real sockets: what callers, upstreams and operators see of it.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests: what fails shall stop the test")]
#![expect(clippy::indexing_slicing, clippy::string_slice, reason = "tests: what fails shall stop the test")]

mod admin;
mod allow;
mod browser;
mod faults;
mod headers;
mod identity;
mod issuer;
mod kill;
mod limits;
mod modes;
mod odd;
mod promises;
mod publish;
mod readme;
mod refuse;
mod revoke;
mod roles;
mod streams;
mod tls;
mod upstreams;
mod vectors;

/// The host of the service that most tests call.
const API: &str = "api.e2e.internal";
/// The caller that may.
const CALLER: &str = "alpha/caller";
/// Both protocols of the gateway, as records name them.
const PROTOCOLS: [&str; 2] = ["http/1.1", "h2"];

/// A number of a test that `cargo xtask soak` raises.
#[expect(clippy::disallowed_methods, reason = "the one way in which these tests are told more")]
fn setting(name: &str, default: u32) -> u32 {
    match std::env::var(name) {
        Ok(number) => number.parse().unwrap_or_else(|_| panic!("{name} is a number")),
        Err(_) => default,
    }
}
