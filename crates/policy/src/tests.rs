//! Tests of the policy heart, by promise.

pub(crate) mod fixture;

mod admin;
mod calls;
mod compile;
mod consent;
mod golden;
mod judge;
mod lost;
mod modes;
mod names;
mod property;
mod roles;
mod wall;
