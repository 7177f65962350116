//! The agent over real sockets and real processes, with an issuer that does as it is told.

mod calls;
mod emergency;
mod fake;
mod flood;
mod hands;
mod jwt;
mod outage;
mod place;
mod pod;
mod process;
mod reuse;
mod revoked;
mod rotation;
mod socket;
mod tokens;
mod wallet;
mod workload_api;
