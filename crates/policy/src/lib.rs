//! The policy heart: what may happen, decided from what was verified.
//!
//! This is the only crate that knows Cedar. It holds the model that policies speak about ([`model`]), the states of a
//! request ([`call`]), the compiler from Cedar text to one policy set per domain ([`compile()`]), and the judge. A
//! [`Permit`] is made here and nowhere else, from evidence that only the verifiers make:
//!
//! ```compile_fail,E0451
//! # fn forge(situated: countersign_policy::call::Situated) {
//! let permit = countersign_policy::Permit { situated, determining: Vec::new(), noted: Vec::new(), note: String::new() };
//! # }
//! ```
//!
//! The crate is pure: no sockets, no clock, no file system, no environment. Time is passed in; time zones come from the
//! database compiled into the binary.

pub mod call;
pub mod model;
pub mod problem;

mod admin;
mod check;
mod compile;
mod consent;
mod context;
mod entities;
mod generate;
mod judge;
mod literal;
mod lost;
mod modes;
mod names;
mod note;
mod permit;
mod policies;
mod schema;
mod scope;
mod source;
mod weigh;
mod why;

pub use admin::Act;
pub use compile::{check_incomplete, compile, compile_part};
pub use judge::{Principal, Question, Verdict, Withdrawn};
pub use lost::Lost;
pub use model::{Model, Role};
pub use modes::{Noted, Relaxation, check_of, is_enforced_for};
pub use permit::{Basis, Permit};
pub use policies::{Policies, PolicyEffect, PolicyInfo, PolicyNames};
pub use problem::{Problem, Severity};
pub use schema::{admin_schema, schema};
pub use source::{SourceFile, Sources};
pub use why::{Access, Clause, Near, Reading, Survey, did_you_mean};

#[cfg(test)]
mod tests;
