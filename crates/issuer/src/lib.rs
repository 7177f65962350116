//! The issuer: one certificate authority per business domain and one for Countersign itself, SVIDs for what is registered
//! and attested, and the publisher's signature.
//!
//! Keys are made once, when a domain is first seen, and never silently remade. Nothing leaves the issuer before it was
//! handed to the recorder: what could not be recorded was not issued.

mod authority;
mod error;
mod issuer;
mod record;
mod registrations;
mod request;
mod store;
mod system;

pub use error::OpenError;
pub use issuer::{IMPERSONATION_SECONDS, Issuer};
pub use record::{NotRecorded, Recorder};
pub use registrations::{DomainRegistration, Place, Registrations, WorkloadRegistration};
pub use system::SystemIdentity;

#[cfg(test)]
mod tests;
