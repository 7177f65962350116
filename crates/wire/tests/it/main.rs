//! The peer's end of the wire against a control that does what each test tells it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first thing that is not as it should be"
)]

mod apart;
mod fake;
mod following;
mod issuing;
mod network;
mod pinned;
mod properties;
mod refusing;
