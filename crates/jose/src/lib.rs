//! JOSE, the strict part of it: JSON Web Signatures in compact form, public keys and sets of them.
//!
//! The caller says which algorithms may be used and with which key; a token names neither for itself (JW-1, JW-5). There
//! is no `none`, no HMAC, no encryption, no second way to write the same token, and nothing is fetched. What breaks a
//! rule is refused with the rule's name (STANDARDS JW-1 to JW-11).
//!
//! This crate is pure: no sockets, no clock, no files.

mod algorithm;
mod base64url;
pub mod compact;
pub mod der;
mod ecdsa;
mod encode;
pub mod json;
mod jwk;
mod key;
mod params;
mod refusal;
mod set;

pub use algorithm::Algorithm;
pub use compact::Compact;
pub use ecdsa::raw_ecdsa;
pub use encode::encode;
pub use key::{Key, KeyRefusal};
pub use refusal::Refusal;
pub use set::{Jwk, JwkSet};
