//! The administrator: keeps revisions, answers operators on the admin socket, tells the story of decisions.
//!
//! What operators ask travels as the types of `api::admin`; [`Control`] answers, [`serve`] listens.

mod explain;
mod files;
mod history;
mod http;
mod ledger;
mod names;
pub mod pem;
mod service;
mod socket;
mod store;

pub use files::DirFiles;
pub use http::serve;
pub use ledger::{Ledger, NotWritten};
pub use service::{Control, Mint, Parts};
pub use socket::{AdminSocket, SocketError};
pub use store::{Revisions, StoreError};
