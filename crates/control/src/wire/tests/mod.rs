//! The wire over memory, with peers that verify what they are told.

mod adopting;
mod bounded;
mod following;
mod hearing;
mod joining;
mod killed;
mod placing;
mod rotating;
mod support;
