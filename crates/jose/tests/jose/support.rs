//! Keys that sign, and files of others.

use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_jose::{Algorithm, Key};
use serde_json::Value;

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Signs by one algorithm.
pub struct Signer {
    pub algorithm: Algorithm,
    pub spki: Vec<u8>,
    sign: Sign,
}

impl Signer {
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Es256 => Self::ecdsa(algorithm, &signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => Self::ecdsa(algorithm, &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::Es512 => Self::ecdsa(algorithm, &signature::ECDSA_P521_SHA512_FIXED_SIGNING),
            Algorithm::Rs256 => Self::rsa(algorithm, &signature::RSA_PKCS1_SHA256),
            Algorithm::Rs384 => Self::rsa(algorithm, &signature::RSA_PKCS1_SHA384),
            Algorithm::Rs512 => Self::rsa(algorithm, &signature::RSA_PKCS1_SHA512),
            Algorithm::Ps256 => Self::rsa(algorithm, &signature::RSA_PSS_SHA256),
            Algorithm::Ps384 => Self::rsa(algorithm, &signature::RSA_PSS_SHA384),
            Algorithm::Ps512 => Self::rsa(algorithm, &signature::RSA_PSS_SHA512),
            Algorithm::EdDsa => {
                let key = Ed25519KeyPair::generate().unwrap();
                let spki = key.public_key().as_der().unwrap().as_ref().to_vec();
                Self { algorithm, spki, sign: Box::new(move |message| key.sign(message).as_ref().to_vec()) }
            }
        }
    }

    fn ecdsa(algorithm: Algorithm, of: &'static signature::EcdsaSigningAlgorithm) -> Self {
        let key = EcdsaKeyPair::generate(of).unwrap();
        let spki = key.public_key().as_der().unwrap().as_ref().to_vec();
        let sign = move |message: &[u8]| key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
        Self { algorithm, spki, sign: Box::new(sign) }
    }

    fn rsa(algorithm: Algorithm, encoding: &'static dyn signature::RsaEncoding) -> Self {
        let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let spki = key.public_key().as_der().unwrap().as_ref().to_vec();
        let sign = move |message: &[u8]| {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        };
        Self { algorithm, spki, sign: Box::new(sign) }
    }

    pub fn key(&self) -> Key {
        Key::from_spki(&self.spki).unwrap()
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        (self.sign)(message)
    }

    /// A token with exactly these parts, whatever they say.
    pub fn token(&self, header: &str, payload: &str) -> String {
        let sign = |input: &[u8]| Ok::<_, ()>(self.sign(input));
        countersign_jose::encode(header.as_bytes(), payload.as_bytes(), sign).unwrap()
    }

    pub fn header(&self) -> String {
        format!(r#"{{"alg":"{}"}}"#, self.algorithm)
    }
}

pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A third-party file that is not part of the project: from `$COUNTERSIGN_VECTORS`, else from beside the project.
/// Absent, the suite is reported as skipped by name.
#[expect(clippy::disallowed_methods, reason = "a test finds its vectors through the environment")]
pub fn third_party(name: &str) -> Option<Value> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("COUNTERSIGN_VECTORS").map_or(beside, PathBuf::from);
    let text = std::fs::read_to_string(folder.join(name));
    if text.is_err() {
        eprintln!("skipped: {name} (not in {})", folder.display());
    }
    Some(serde_json::from_str(&text.ok()?).unwrap())
}
