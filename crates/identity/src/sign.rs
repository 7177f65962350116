//! Statements that were signed once and are believed later: by whom, and over what.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use rustls_pki_types::CertificateDer;
use thiserror::Error;
use types::{SpiffeId, Timestamp, TrustDomain};
use x509_parser::der_parser::oid::Oid;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION};
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::bundle::BundleSet;
use crate::certificate::{Certificate, malformed};
use crate::path::untrusted;
use crate::peer::VerifiedPeer;
use crate::refusal::SvidRefusal;
use crate::verify::validity as validity_of;
use crate::{leaf, signer, verify};

/// Before the items of a list, so that no list's digest is that of anything else.
const LIST: &[u8] = b"countersign list 1\n";

/// Why a signed statement is not believed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SignatureRefusal {
    /// The signer's certificate.
    #[error("the signer's certificate is refused")]
    Certificate(#[source] SvidRefusal),
    /// A good certificate, of somebody whose signature this is not to be.
    #[error("it is signed by `{found}` and not by `{wanted}`")]
    Signer {
        /// Whose certificate it is.
        found: SpiffeId,
        /// Whose it should be.
        wanted: SpiffeId,
    },
    /// The key is of a kind that signs nothing here.
    #[error("the signer's key is of a kind that signs no statements")]
    Key,
    /// The signature is not that of these bytes by that key.
    #[error("the signature is not that of the content")]
    Signature,
}

/// Believes a statement: `signature` is ECDSA P-256 with SHA-256 in ASN.1 over `context` and `message`, by the key of the
/// certificate that leads `chain`, which names `signer` and is good at the moment `now`.
///
/// # Errors
/// [`SignatureRefusal`], with the first thing that is wrong.
pub fn verify_signature(
    context: &[u8],
    message: &[u8],
    signature: &[u8],
    chain: &[CertificateDer<'_>],
    bundles: &BundleSet,
    signer: &SpiffeId,
    now: Timestamp,
) -> Result<VerifiedPeer, SignatureRefusal> {
    let peer = verify(chain, bundles, now).map_err(SignatureRefusal::Certificate)?;
    if peer.spiffe_id() != signer {
        return Err(SignatureRefusal::Signer { found: peer.spiffe_id().clone(), wanted: signer.clone() });
    }
    let leaf = chain.first().ok_or(SignatureRefusal::Key)?;
    let leaf = Certificate::read(leaf).map_err(SignatureRefusal::Certificate)?;
    let key = leaf.x509.public_key();
    if curve(key) != Some(OID_EC_P256) {
        return Err(SignatureRefusal::Key);
    }
    by_key(key, &[context, message].concat(), signature)?;
    Ok(peer)
}

/// Whether `signature` is that of `message` by the key of this leaf, DER: ECDSA P-256 with SHA-256 or P-384 with SHA-384
/// in ASN.1, or RSA PKCS#1 v1.5 with SHA-256. It proves that whoever made it has the key; whether the leaf is worth
/// anything is [`verify`]'s to say.
///
/// # Errors
/// [`SignatureRefusal`]: what is no certificate, another kind of key, or another signature.
pub fn verify_by_leaf(leaf_der: &[u8], message: &[u8], signature: &[u8]) -> Result<(), SignatureRefusal> {
    let leaf = Certificate::read(leaf_der).map_err(SignatureRefusal::Certificate)?;
    by_key(leaf.x509.public_key(), message, signature)
}

/// Whether `signature` is that of `message` by the key of this root, DER, of the same kinds as in [`verify_by_leaf`].
///
/// # Errors
/// [`SignatureRefusal`], also where the certificate is not one that may sign others.
pub fn verify_by_root(root_der: &[u8], message: &[u8], signature: &[u8]) -> Result<(), SignatureRefusal> {
    let root = Certificate::read(root_der).map_err(SignatureRefusal::Certificate)?;
    signer::check(&root).map_err(|(rule, detail)| SignatureRefusal::Certificate(untrusted(rule, detail)))?;
    by_key(root.x509.public_key(), message, signature)
}

fn by_key(key: &SubjectPublicKeyInfo<'_>, message: &[u8], signature: &[u8]) -> Result<(), SignatureRefusal> {
    let algorithm: &'static dyn VerificationAlgorithm = match curve(key) {
        Some(curve) if curve == OID_EC_P256 => &ECDSA_P256_SHA256_ASN1,
        Some(curve) if curve == OID_NIST_EC_P384 => &ECDSA_P384_SHA384_ASN1,
        None if key.algorithm.algorithm == OID_PKCS1_RSAENCRYPTION => &RSA_PKCS1_2048_8192_SHA256,
        _ => return Err(SignatureRefusal::Key),
    };
    UnparsedPublicKey::new(algorithm, &key.subject_public_key.data)
        .verify(message, signature)
        .map_err(|_| SignatureRefusal::Signature)
}

/// The curve of an ECDSA key.
fn curve<'a>(key: &'a SubjectPublicKeyInfo<'_>) -> Option<Oid<'a>> {
    let is_ecdsa = key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY;
    key.algorithm.parameters.as_ref().filter(|_| is_ecdsa).and_then(|parameters| parameters.as_oid().ok())
}

/// The digest of a list: SHA-256 over a context and, for each item, its length as 8 big-endian bytes and the item. Of the
/// same items in another order it is another one: whoever lists them sorts them by their bytes.
pub fn list_digest<'a>(items: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(LIST);
    for item in items {
        context.update(&u64::try_from(item.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(item);
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(context.finish().as_ref());
    sha256
}

/// SHA-256, as roots are pinned by.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    sha256
}

/// The trust domain that a root names in its one URI name. It proves nothing: whoever asks has the root from somewhere.
///
/// # Errors
/// [`SvidRefusal`] for what is no certificate, and for one that does not name a trust domain.
pub fn root_trust_domain(der: &[u8]) -> Result<TrustDomain, SvidRefusal> {
    let id = leaf::spiffe_id(&Certificate::read(der)?)?;
    if id.path().is_empty() {
        return Ok(id.trust_domain().clone());
    }
    Err(malformed(format!("`{id}` is an identity and not a trust domain")))
}

/// First and last moment of a certificate's validity, DER. They prove nothing: they are for words about clocks.
///
/// # Errors
/// [`SvidRefusal`] for what is no certificate.
pub fn validity(der: &[u8]) -> Result<(Timestamp, Timestamp), SvidRefusal> {
    Ok(validity_of(&Certificate::read(der)?))
}

#[cfg(test)]
#[path = "sign_tests.rs"]
mod tests;
