//! The administrator: publishes revisions, takes trust away, answers operators, tells the story of decisions.
//!
//! What operators ask travels as the types of `api::admin`; [`Control`] answers, [`serve`] listens. What must survive
//! is in the [`Store`]; what was done is in the decision log, by the [`Ledger`], before it takes effect.

mod access;
mod acts;
mod changes;
mod counted;
mod counting;
mod doctor;
mod explain;
mod figures;
mod files;
mod history;
mod http;
mod ledger;
mod login;
mod map;
pub mod metrics;
mod names;
pub mod pem;
mod probe;
mod publish;
mod roles;
mod service;
mod socket;
mod store;
mod trust;

pub use explain::{Known, explain};
pub use files::{DirFiles, texts};
pub use http::serve;
pub use ledger::{Ledger, NotWritten};
pub use publish::first;
pub use roles::{Certificate, NotReady, Roles};
pub use service::{Control, Parts};
pub use socket::{AdminSocket, SocketError};
pub use store::{Store, StoreError};

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod kill_tests;
