//! The glue to the machine that all roles share: the clock, listening sockets, worker threads, shutdown, and TLS with
//! SPIFFE verification. Nothing here decides anything about a request.

pub mod clock;
pub mod freshness;
pub mod listen;
pub mod shutdown;
pub mod tls;
pub mod workers;
