//! The enforcement point: takes calls, proves who makes them, decides, records, forwards.
//!
//! One file per step of a request's life (DESIGN section 5): accept, identify, parse, route, situate, the judge (crate
//! `policy`), the record (crate `record`), forward, watch. What is forwarded needs a `Recorded<Permit>`, which only
//! those two crates together can make.

mod accept;
mod body;
mod credentials;
mod decide;
mod early;
mod exchange;
mod flag;
mod forward;
mod gateway;
mod headers;
mod http1;
mod http2;
mod identify;
mod ids;
mod inbound;
mod line;
mod parse;
mod pool;
mod registry;
mod rejudge;
mod respond;
mod route;
mod situate;
mod slots;
mod stale;
mod standing;
mod start;
mod stats;
mod trusted;
mod watch;
mod worker;

pub use credentials::CredentialError;
pub use runtime::listen::bind_next_free as bind;
pub use start::{Config, Listener, Parts, Running, StartError, start};
pub use stats::{Histogram, NotedCount, Snapshot, Stats};
