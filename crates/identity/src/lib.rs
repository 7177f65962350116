//! SPIFFE identity: trust bundles, and the verification of SVIDs that yields a [`VerifiedPeer`] or a [`VerifiedJwtSvid`].
//!
//! A chain passes only if `rustls-webpki` finds a path to a root **of the trust domain that the leaf itself names** and
//! every rule of X509-SVID holds on top (STANDARDS XS-1 to XS-7, PV-1 to PV-7). Most certificates that break SPIFFE's
//! rules are fine for a TLS stack, so nothing here is left to it. A JWT-SVID passes only by a key of the trust domain
//! that its subject names (JS-1 to JS-5).
//!
//! This crate is pure: no sockets, no clock, no files. The moment of verification is passed in.

mod bundle;
mod certificate;
mod document;
pub mod endpoint;
mod extension;
pub mod jwt_svid;
mod key;
mod leaf;
mod path;
mod peer;
mod predecessor;
mod refusal;
pub mod sign;
mod signer;
mod verify;

pub use bundle::{Bundle, BundleError, BundleSet};
pub use document::{Document, document, jwt_document, read_bundle_map};
pub use extension::{NODE_OID, PREDECESSORS_OID, VIA_OID, node_value, via_value};
pub use jwt_svid::{JwtSvidRefusal, VerifiedJwtSvid, examine_jwt_svid, verify_jwt_svid};
pub use key::{KeyError, check_key};
pub use peer::VerifiedPeer;
pub use predecessor::{Predecessor, predecessors_value};
pub use refusal::SvidRefusal;
pub use verify::{examine, verify};
