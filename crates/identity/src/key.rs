//! Which public keys are strong enough (PV-6).

use thiserror::Error;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

const RSA_BITS: core::ops::RangeInclusive<usize> = 2048..=8192;

/// Why a public key is refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum KeyError {
    /// Not DER of a `SubjectPublicKeyInfo`.
    #[error("the public key cannot be read")]
    Unreadable,
    /// Neither ECDSA on a NIST curve, nor RSA, nor Ed25519.
    #[error("the key is neither ECDSA on P-256, P-384 or P-521, nor RSA, nor Ed25519")]
    Kind,
    /// An RSA modulus that is too short or unreasonably long.
    #[error("the RSA key has {0} bits; 2048 to 8192 are accepted")]
    RsaBits(usize),
}

/// Checks the DER of a `SubjectPublicKeyInfo`: ECDSA on P-256, P-384 or P-521, RSA of 2048 to 8192 bits, or Ed25519
/// (PV-6).
///
/// # Errors
/// [`KeyError`] for anything else.
pub fn check_key(spki_der: &[u8]) -> Result<(), KeyError> {
    match SubjectPublicKeyInfo::from_der(spki_der) {
        Ok(([], spki)) => check_parsed(&spki),
        Ok(_) | Err(_) => Err(KeyError::Unreadable),
    }
}

pub(crate) fn check_parsed(spki: &SubjectPublicKeyInfo<'_>) -> Result<(), KeyError> {
    let algorithm = &spki.algorithm.algorithm;
    if *algorithm == OID_SIG_ED25519 {
        return Ok(());
    }
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        return check_rsa(spki);
    }
    let curve = spki.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    let known = [OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521];
    match curve {
        Some(curve) if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && known.contains(&curve) => Ok(()),
        _ => Err(KeyError::Kind),
    }
}

fn check_rsa(spki: &SubjectPublicKeyInfo<'_>) -> Result<(), KeyError> {
    let Ok(PublicKey::RSA(key)) = spki.parsed() else { return Err(KeyError::Unreadable) };
    let start = key.modulus.iter().position(|byte| *byte != 0).unwrap_or(key.modulus.len());
    let modulus = key.modulus.get(start..).unwrap_or_default();
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = modulus.len().saturating_mul(8).saturating_sub(unused);
    if RSA_BITS.contains(&bits) { Ok(()) } else { Err(KeyError::RsaBits(bits)) }
}
