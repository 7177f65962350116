//! Private keys that sign: what the authorities need of one, and the kind that lives in a file.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _,
    RSA_PKCS1_SHA256,
};
use types::KeyKind;
use zeroize::Zeroizing;

/// 2,048 bits.
const RSA_BYTES: usize = 256;

/// A private key, wherever it is kept.
pub(crate) trait Signer: Send + Sync {
    /// Its kind, which also says the algorithm of its signatures: ECDSA in ASN.1 with the hash of the curve's size, or
    /// RSA PKCS#1 v1.5 with SHA-256.
    fn kind(&self) -> KeyKind;

    /// The public key, DER `SubjectPublicKeyInfo`.
    fn spki_der(&self) -> &[u8];

    /// Signs a message.
    ///
    /// # Errors
    /// Words for the operator.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String>;
}

/// A private key that was read from PKCS#8.
pub(crate) struct FileKey {
    kind: KeyKind,
    spki_der: Vec<u8>,
    pair: Pair,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl FileKey {
    /// Makes a key, as PKCS#8 in DER.
    ///
    /// # Errors
    /// Words for the operator.
    pub fn generate(kind: KeyKind) -> Result<Zeroizing<Vec<u8>>, String> {
        let failed = |_| format!("no key of the kind `{kind}` can be made");
        let der = match curve(kind) {
            Some(curve) => {
                EcdsaKeyPair::generate(curve).and_then(|pair| pair.to_pkcs8v1()).map_err(failed)?.as_ref().to_vec()
            }
            None => RsaKeyPair::generate(KeySize::Rsa2048)
                .and_then(|pair| pair.as_der().map(|der| der.as_ref().to_vec()))
                .map_err(failed)?,
        };
        Ok(Zeroizing::new(der))
    }

    /// Reads PKCS#8 in DER. Nothing for a key of another kind than those that are made here.
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let ecdsa = [KeyKind::P256, KeyKind::P384].into_iter().find_map(|kind| {
            let pair = EcdsaKeyPair::from_pkcs8(curve(kind)?, der).ok()?;
            let spki_der = pair.public_key().as_der().ok()?.as_ref().to_vec();
            Some(Self { kind, spki_der, pair: Pair::Ecdsa(pair) })
        });
        ecdsa.or_else(|| {
            let pair = RsaKeyPair::from_pkcs8(der).ok().filter(|pair| pair.public_modulus_len() == RSA_BYTES)?;
            let spki_der = pair.public_key().as_der().ok()?.as_ref().to_vec();
            Some(Self { kind: KeyKind::Rsa2048, spki_der, pair: Pair::Rsa(Box::new(pair)) })
        })
    }
}

impl Signer for FileKey {
    fn kind(&self) -> KeyKind {
        self.kind
    }

    fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let failed = |_| "the key could not sign".to_owned();
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => {
                pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()).map_err(failed)
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

const fn curve(kind: KeyKind) -> Option<&'static EcdsaSigningAlgorithm> {
    match kind {
        KeyKind::P256 => Some(&ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyKind::P384 => Some(&ECDSA_P384_SHA384_ASN1_SIGNING),
        KeyKind::Rsa2048 => None,
    }
}
