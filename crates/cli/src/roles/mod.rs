//! The roles: control, a proxy and an agent, each in a process of its own, or all three in one (`up`).
//!
//! There is one way to start each. What they say to each other goes over the wire (crate `wire`), also within one process.

pub mod agent;
mod banner;
mod beside;
mod clusters;
pub mod control;
mod core;
mod current;
mod doors;
mod enforcer;
mod figures;
mod follow;
mod log;
mod memory;
mod place;
mod plan;
mod protection;
pub mod proxy;
mod reload;
pub mod serving;
mod signals;
mod system_tls;
pub mod up;
mod workloads;

#[cfg(feature = "demo")]
pub use signals::Signals;
