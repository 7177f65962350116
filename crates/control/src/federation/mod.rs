//! The trust domains of others, and our bundles for them (docs/federation.md).
//!
//! `reach` says where may be connected to, `proof` who may answer, `fetch` gets one document; `standing` says what may take
//! the place of what is in force; `entries` holds that and `refresh` brings it up to date. `serve` is our own endpoint.

mod entries;
mod fetch;
mod proof;
mod reach;
mod refresh;
mod serve;
mod standing;

pub(crate) use entries::Federations;
pub use refresh::keep_federated;
pub use serve::{BundleCertificate, BundleEndpoint, CertificateError, serve_bundles};

#[cfg(test)]
mod tests;
