//! A public key, parsed once (PV-6, JW-1).

use core::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::ParsedPublicKey;
use thiserror::Error;

use crate::algorithm::Algorithm;
use crate::params::Params;
use crate::refusal::Refusal;

/// How many bits an RSA modulus may have (PV-6).
const RSA_BITS: core::ops::RangeInclusive<usize> = 2048..=8192;

/// The longest RSA exponent in bytes: what the library computes with.
const RSA_EXPONENT_BYTES: usize = 4;

/// Why something is not a key for us.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum KeyRefusal {
    /// Of a kind that is not known here. Sets of keys may hold such; they are passed over (BU-1).
    #[error("a key of an unknown kind: {0}")]
    Unknown(String),
    /// Of a known kind, and wrong.
    #[error(transparent)]
    Broken(#[from] Refusal),
}

/// A public key for signatures: ECDSA on P-256, P-384 or P-521, RSA of 2048 to 8192 bits, or Ed25519. Cheap to clone.
#[derive(Clone)]
pub struct Key(Arc<Parsed>);

struct Parsed {
    params: Params,
    spki: Vec<u8>,
    /// For each algorithm that the key may be used with.
    verifiers: Vec<(Algorithm, ParsedPublicKey)>,
}

impl Key {
    /// From the DER of a SubjectPublicKeyInfo, for every algorithm that fits the kind of key.
    ///
    /// # Errors
    /// [`Refusal`] by PV-6 for another kind of key, a point that is not on its curve, or numbers out of range; also for
    /// DER that is not the one way to write the key.
    pub fn from_spki(der: &[u8]) -> Result<Self, Refusal> {
        let params = Params::from_spki(der).ok_or_else(|| {
            let detail = "the public key is not the DER of ECDSA on P-256, P-384 or P-521, of RSA, or of Ed25519";
            Refusal::new("PV-6", detail)
        })?;
        Self::new(params, None)
    }

    /// For one algorithm where the key names one, otherwise for all that fit.
    pub(crate) fn new(params: Params, only: Option<Algorithm>) -> Result<Self, Refusal> {
        check_numbers(&params)?;
        let broken = || Refusal::new("PV-6", "the numbers of the public key are not those of a key");
        let spki = params.spki().ok_or_else(broken)?;
        let fitting = params.algorithms().iter().filter(|algorithm| only.is_none_or(|only| only == **algorithm));
        let verifiers = fitting
            .map(|algorithm| ParsedPublicKey::new(algorithm.verifier(), &spki).map(|key| (*algorithm, key)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| broken())?;
        match only {
            Some(only) if verifiers.is_empty() => {
                Err(Refusal::new("JW-1", format!("the key says `{only}`, which does not fit its kind")))
            }
            _ => Ok(Self(Arc::new(Parsed { params, spki, verifiers }))),
        }
    }

    /// Checks a signature, as JOSE writes it, over `message`.
    ///
    /// # Errors
    /// [`Refusal`]: the algorithm is not one of this key (JW-1); the signature has the wrong length or is not that of the
    /// message (JW-9).
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), Refusal> {
        let verifier = self.0.verifiers.iter().find(|(of, _)| *of == algorithm);
        let (_, key) = verifier
            .ok_or_else(|| Refusal::new("JW-1", format!("the algorithm `{algorithm}` does not fit the key")))?;
        if algorithm.signature_bytes().is_some_and(|bytes| bytes != signature.len()) {
            let detail = format!("a signature by `{algorithm}` does not have {} bytes", signature.len());
            return Err(Refusal::new("JW-9", detail));
        }
        key.verify_sig(message, signature)
            .map_err(|_| Refusal::new("JW-9", "the signature is not that of the token by this key"))
    }

    /// The algorithms that this key may be used with.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.0.verifiers.iter().map(|(algorithm, _)| *algorithm)
    }

    /// The DER of the SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.0.spki
    }

    pub(crate) fn params(&self) -> &Params {
        &self.0.params
    }
}

/// The same key, for whatever algorithms.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.spki == other.0.spki
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("algorithms", &self.algorithms().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

fn check_numbers(params: &Params) -> Result<(), Refusal> {
    let Params::Rsa { n, e } = params else { return Ok(()) };
    let unused = n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = n.len().saturating_mul(8).saturating_sub(unused);
    if !RSA_BITS.contains(&bits) {
        return Err(Refusal::new("PV-6", format!("the RSA key has {bits} bits; 2048 to 8192 are accepted")));
    }
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    if !is_odd(n) || !is_odd(e) || e.len() > RSA_EXPONENT_BYTES || e.as_slice() == [1] {
        return Err(Refusal::new("PV-6", "the RSA key's modulus or exponent is not one that keys have"));
    }
    Ok(())
}
