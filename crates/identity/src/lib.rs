//! SPIFFE identity: trust bundles, and the verification of X.509-SVIDs that yields a [`VerifiedPeer`].
//!
//! A chain passes only if `rustls-webpki` finds a path to a root **of the trust domain that the leaf itself names** and
//! every rule of X509-SVID holds on top (STANDARDS XS-1 to XS-7, PV-1 to PV-7). Most certificates that break SPIFFE's
//! rules are fine for a TLS stack, so nothing here is left to it.
//!
//! This crate is pure: no sockets, no clock, no files. The moment of verification is passed in.

mod bundle;
mod certificate;
mod jwks;
mod key;
mod leaf;
mod path;
mod peer;
mod refusal;
pub mod sign;
mod signer;
mod verify;
mod via;

pub use bundle::{Bundle, BundleError, BundleSet};
pub use key::{KeyError, check_key};
pub use peer::VerifiedPeer;
pub use refusal::SvidRefusal;
pub use verify::verify;
pub use via::{VIA_OID, via_value};
