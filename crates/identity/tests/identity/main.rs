//! Identity against outside vectors, hand-made chains and mutated bytes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests stop at the first thing that is not as it should be"
)]

mod bundles;
mod chains;
mod ids;
mod mutations;
mod svids;
mod vectors;
