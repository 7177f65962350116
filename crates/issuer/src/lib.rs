//! The issuer: one certificate authority and one JWT key per business domain, an authority for Countersign itself, SVIDs for
//! what is registered and attested, and the publisher's signature.
//!
//! Keys are made when a domain is first seen and in the steps of a rotation, and never silently remade. Nothing leaves the
//! issuer before it was handed to the recorder: what could not be recorded was not issued.

mod authority;
mod disk;
mod domain;
mod error;
mod issuer;
mod jwt;
mod key;
mod keyring;
mod leaf;
mod limiter;
mod mint;
mod predecessor;
mod protection;
mod record;
mod registrations;
mod request;
mod rotate;
mod store;
mod system;

pub use error::{OpenError, RotateError};
pub use issuer::Issuer;
pub use mint::IMPERSONATION_SECONDS;
pub use protection::{KeyProtection, Secret};
pub use record::{Counts, NotRecorded, Recorder};
pub use registrations::{DomainRegistration, Registrations, WorkloadRegistration};
pub use request::check_request;
pub use system::SystemIdentity;

#[cfg(test)]
mod tests;
