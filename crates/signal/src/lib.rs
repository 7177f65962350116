//! Signals: facts that change trust. So far there is one kind, the revocation of an identity, a certificate or a key.
//!
//! [`State`] is an immutable snapshot that the enforcers read without a lock; a new fact makes a new snapshot with a
//! higher epoch. A call is judged only with a [`Cleared`], which only a snapshot gives: nobody can forget to ask.
//!
//! This crate is pure: no sockets, no clock, no files. The moment of each question is passed in.

mod state;
mod subject;

pub use state::{Cleared, Revocation, State};
pub use subject::{Subject, SubjectError};

#[cfg(test)]
mod tests;
