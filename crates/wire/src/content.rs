//! The lists of the wire and what they mean: revocations, bundles, registrations, what an agent proved, what it holds.
//!
//! Each of them is written and read here and nowhere else, so that both ends mean the same.

mod bundles;
mod held;
mod registrations;
mod revocations;
mod selectors;
mod succession;

use std::collections::BTreeSet;

use identity::sign::list_digest;
use thiserror::Error;
use types::limits;

pub use bundles::{ToldBundle, bundle_items, read_bundles, usable_bundles};
pub use held::{Holdings, holdings_message, read_holdings};
pub use registrations::{Registered, Registrations, read_registrations, read_revoked, registration};
pub use revocations::{Revocations, read_revocations, revocation_item};
pub use selectors::{read_selectors, selectors_message};
pub use succession::{Succession, succession_message, unvouched};

/// Why a list cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ContentError {
    /// More than a peer takes.
    #[error("it has more than {0} items")]
    TooMany(u64),
    /// Bytes that are not what they should be.
    #[error("{0}")]
    Malformed(String),
}

/// The digest of a list, whatever the order of its items: see `Fact.digest` of the protocol. Repeated items count once.
pub fn digest<'a>(items: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let sorted: BTreeSet<&[u8]> = items.into_iter().collect();
    list_digest(sorted.into_iter())
}

fn check_count(count: usize, limit: limits::Limit) -> Result<(), ContentError> {
    if count > limit.default_usize() { Err(ContentError::TooMany(limit.default)) } else { Ok(()) }
}

fn malformed(what: &str) -> ContentError {
    ContentError::Malformed(what.to_owned())
}

#[cfg(test)]
mod tests;
