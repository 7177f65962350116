//! The wire over memory, with peers that verify what they are told.

mod adopting;
mod following;
mod joining;
mod killed;
mod placing;
mod support;
