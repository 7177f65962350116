//! The administrator: publishes revisions, takes trust away, answers operators, tells the story of decisions.
//!
//! What operators ask travels as the types of `api::admin`; [`Control`] answers, [`serve`] listens. What must survive
//! is in the [`Store`]; what was done is in the decision log, by the [`Ledger`], before it takes effect.

mod access;
mod acts;
mod approvals;
mod bundles;
mod changes;
mod counted;
mod counting;
mod doctor;
mod doctor_fleet;
mod doctor_identity;
mod explain;
mod federation;
mod figures;
mod figures_fleet;
mod figures_identity;
mod files;
mod fleet;
mod history;
mod http;
mod identities;
mod intake;
mod ledger;
mod login;
mod map;
pub mod metrics;
mod names;
mod operators;
mod peers;
pub mod pem;
mod probe;
mod publish;
mod roles;
mod rotation;
mod service;
mod socket;
mod store;
mod trust;
pub mod wire;

pub use explain::{Known, explain};
pub use federation::{BundleCertificate, BundleEndpoint, CertificateError, keep_federated, serve_bundles};
pub use files::{DirFiles, texts};
pub use http::{AdminTls, serve, serve_tls};
pub use intake::{Intake, IntakeError, IntakeState};
pub use ledger::{Ledger, NotWritten};
pub use publish::first;
pub use roles::{Certificate, NotReady, Roles, Signature};
pub use rotation::keep_rotating;
pub use service::{ConsoleAt, Control, Parts};
pub use socket::{AdminSocket, SocketError};
pub use store::{Store, StoreError};

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod kill_tests;
