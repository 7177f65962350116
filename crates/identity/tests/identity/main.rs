//! Identity against outside vectors, hand-made chains and mutated bytes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unreachable,
    reason = "tests stop at the first thing that is not as it should be"
)]

mod bundles;
mod chains;
mod documents;
mod endpoints;
mod examining;
mod ids;
mod js;
mod jwt_svids;
mod mutations;
mod pv;
mod support;
mod svids;
mod vectors;
mod xs;
