//! The trust directory: read strictly, checked as a whole, compiled into a [`Revision`].
//!
//! [`load`] takes files from wherever they lie ([`Files`]) and gives back a revision, or every problem at once, each
//! with its file, its bytes and a hint. What is wrong never becomes a revision, and the same files always make the same
//! one ([`Revision::id`]; the encoding is documented in the module `revision_id`).
//!
//! Everything is read into a tree in which each value knows its bytes, so that each problem has a place. There is one
//! reader for YAML and JSON, one way to take mappings apart, and one list of problems.
//!
//! Beside revisions there are two more questions about them: whose approval a change needs ([`approval`]), and what of a
//! revision an enforcer is given ([`part`]). `node.yaml` is read here too ([`node`]), with the same reader.
//!
//! The crate is pure: no file system, no clock, no environment.

pub mod approval;
mod assemble;
mod attest;
mod claims;
mod consent;
mod decode;
mod domain;
mod elsewhere;
mod federation;
mod files;
mod group;
mod host;
mod load;
mod lost;
mod modes;
pub mod node;
mod openapi;
mod operator;
mod organisation;
pub mod part;
mod problem;
mod revision;
mod revision_id;
mod routes;
mod run_tests;
mod service;
mod stale;
mod starter;
mod suggest;
mod svid;
mod table;
mod tests_check;
mod tests_file;
mod upstream;
mod workload;
mod yaml;

pub use federation::{Federation, FederationUrl, Profile};
pub use files::{FileEntry, FileKind, Files, FilesError, MemoryFiles, is_ignored};
pub use group::NodeGroup;
pub use host::HostPrefix;
pub use load::{Loaded, load};
pub use node::NodeConfig;
pub use operator::{Folder, Operator, Owner};
pub use problem::{Problem, Severity, line_column};
pub use revision::{Asks, Domain, Revision, Service, Workload};
pub use run_tests::{TestResult, run_tests};
pub use service::ServiceLimits;
pub use stale::{Stale, Then};
pub use starter::starter;
pub use suggest::nearest;
pub use tests_file::{Answer, TestBy, TestCaller, TestCase};
pub use upstream::{Upstream, UpstreamHost, UpstreamUrl};

#[cfg(test)]
mod tests;
