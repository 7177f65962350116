//! What tests need and products must not have: an authority that makes any good or bad chain, and clocks.

#![expect(clippy::expect_used, reason = "test support: a plan that cannot be carried out shall stop the test")]

mod authority;
mod clock;

pub use authority::{Authority, Leaf, LeafPlan};
pub use clock::{ManualClock, RealClock};
