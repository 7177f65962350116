//! Wire types between the roles of Countersign: the SPIFFE Workload API, the wire between control and its peers, the
//! issuer as agents and proxies see it, and the admin API. No logic, so that a role never needs to see another.

pub mod admin;
pub mod issuance;
pub mod keys;
pub mod protocol;
mod redact;

/// The SPIFFE Workload API, generated from `proto/workload.proto` by `cargo xtask gen`.
#[rustfmt::skip]
#[expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod workload;

/// What control and its peers say to each other, generated from `proto/wire.proto` by `cargo xtask gen`.
#[rustfmt::skip]
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod wire;
