//! The vocabulary every part of Countersign shares: identifiers, SPIFFE names, canonical requests, reasons,
//! the facts of a decision, the limits registry and the clock.
//!
//! This crate is pure: no sockets, no tokio, no environment, no clock of its own. Everything that reaches it from
//! outside is parsed once into types with private fields, so that later code cannot hold an unchecked value.

pub mod attest;
pub mod facts;
pub mod id;
pub mod key_kind;
pub mod limits;
pub mod mode;
pub mod reason;
pub mod request;
pub mod spiffe;
pub mod template;
pub mod time;

pub use attest::{AttestRule, PathRule, Selectors, UnixRule};
pub use facts::Recordable;
pub use id::{DecisionId, Label, PolicyId, RevisionId, RouteId, ServiceId, WorkloadId};
pub use key_kind::KeyKind;
pub use mode::Mode;
pub use reason::{Failure, Fault, Reason, Stage};
pub use request::{CanonicalRequest, Host, Method};
pub use spiffe::{SpiffeId, TrustDomain};
pub use template::Template;
pub use time::{Clock, Timestamp};

#[cfg(test)]
mod tests;
