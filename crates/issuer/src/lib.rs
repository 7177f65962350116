//! The issuer: one certificate authority per business domain, and SVIDs for what is registered and attested.
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

pub use error::OpenError;
pub use issuer::{IMPERSONATION_SECONDS, Issuer};
pub use record::{NotRecorded, Recorder};
pub use registrations::{DomainRegistration, Registrations, WorkloadRegistration};

#[cfg(test)]
mod tests;
