//! Tests of the policy heart, by promise.

mod fixture;

mod admin;
mod calls;
mod compile;
mod consent;
mod golden;
mod judge;
mod names;
mod property;
mod wall;
