//! JOSE against the rules, outside vectors and mutated bytes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests stop at the first thing that is not as it should be"
)]

mod documents;
mod keys;
mod properties;
mod rules;
mod support;
