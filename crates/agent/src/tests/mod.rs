//! The agent over real sockets and real processes, with an issuer that does as it is told.

mod fake;
mod process;
mod rotation;
mod service;
mod socket;
mod wallet;
