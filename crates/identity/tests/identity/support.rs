//! A trust domain with a root, certificates under it, and tokens.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _, RsaEncoding};
use countersign_identity::{Bundle, BundleSet, SvidRefusal, VerifiedPeer, verify};
use jose::Algorithm;
use rustls_pki_types::CertificateDer;
use serde_json::Value;
use testkit::{Authority, Leaf, LeafPlan, ManualClock};
use types::{Clock as _, Reason, Timestamp, TrustDomain};

pub const DOMAIN: &str = "finance.acme.internal";
pub const ID: &str = "spiffe://finance.acme.internal/payments";

pub fn now() -> Timestamp {
    ManualClock::default().now()
}

pub fn domain(name: &str) -> TrustDomain {
    TrustDomain::parse(name).unwrap()
}

pub fn bundle(name: &str, roots: &[&Authority]) -> Bundle {
    Bundle::from_der(domain(name), roots.iter().map(|root| root.der().to_vec()).collect()).unwrap()
}

/// One trust domain, its root, and what is held of it.
pub struct World {
    pub now: Timestamp,
    pub root: Authority,
    pub bundles: BundleSet,
}

impl World {
    pub fn new() -> Self {
        Self::under(Authority::of(DOMAIN, now()))
    }

    pub fn under(root: Authority) -> Self {
        let bundles = [bundle(DOMAIN, &[&root])].into_iter().collect();
        Self { now: now(), root, bundles }
    }

    pub fn plan(&self) -> LeafPlan {
        LeafPlan::svid(ID, self.now)
    }

    /// A correct intermediate.
    pub fn signer(&self) -> LeafPlan {
        LeafPlan { common_name: Some("intermediate".into()), ..LeafPlan::authority(DOMAIN, self.now) }
    }

    pub fn verify(&self, leaf: &Leaf) -> Result<VerifiedPeer, SvidRefusal> {
        self.verify_at(leaf, self.now)
    }

    pub fn verify_at(&self, leaf: &Leaf, now: Timestamp) -> Result<VerifiedPeer, SvidRefusal> {
        verify(&der(leaf), &self.bundles, now)
    }

    pub fn accepts(&self, plan: LeafPlan) -> bool {
        self.verify(&self.root.issue(&plan)).map_err(|refusal| println!("{refusal}")).is_ok()
    }

    /// The rule that a leaf under the root breaks.
    pub fn broken(&self, plan: LeafPlan) -> (&'static str, Reason) {
        let refusal = self.verify(&self.root.issue(&plan)).unwrap_err();
        (refusal.rule, refusal.reason)
    }

    /// The rule that a correct leaf breaks by its intermediate.
    pub fn broken_under(&self, signer: &LeafPlan) -> Option<&'static str> {
        let leaf = self.root.intermediate(signer).issue(&self.plan());
        self.verify(&leaf).err().map(|refusal| refusal.rule)
    }
}

pub fn der(leaf: &Leaf) -> Vec<CertificateDer<'_>> {
    leaf.chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect()
}

/// A key that signs tokens.
pub struct Signer {
    pub kid: &'static str,
    pub algorithm: Algorithm,
    key: Pair,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(Box<rsa::KeyPair>, &'static dyn RsaEncoding),
}

impl Signer {
    pub fn new(kid: &'static str, algorithm: Algorithm) -> Self {
        let ecdsa = |of: &'static EcdsaSigningAlgorithm| Pair::Ecdsa(EcdsaKeyPair::generate(of).unwrap());
        let rsa = |encoding: &'static dyn RsaEncoding| {
            Pair::Rsa(Box::new(rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap()), encoding)
        };
        let key = match algorithm {
            Algorithm::Es256 => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::Es512 => ecdsa(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
            Algorithm::Rs256 => rsa(&signature::RSA_PKCS1_SHA256),
            Algorithm::Rs384 => rsa(&signature::RSA_PKCS1_SHA384),
            Algorithm::Rs512 => rsa(&signature::RSA_PKCS1_SHA512),
            Algorithm::Ps256 => rsa(&signature::RSA_PSS_SHA256),
            Algorithm::Ps384 => rsa(&signature::RSA_PSS_SHA384),
            Algorithm::Ps512 => rsa(&signature::RSA_PSS_SHA512),
            Algorithm::EdDsa => unreachable!("it signs no JWT-SVIDs"),
        };
        Self { kid, algorithm, key }
    }

    pub fn spki(&self) -> Vec<u8> {
        use aws_lc_rs::encoding::AsDer as _;
        match &self.key {
            Pair::Ecdsa(key) => key.public_key().as_der().unwrap().as_ref().to_vec(),
            Pair::Rsa(key, _) => key.public_key().as_der().unwrap().as_ref().to_vec(),
        }
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Pair::Ecdsa(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(*encoding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// A token with exactly these parts, whatever they say.
    pub fn token(&self, header: &str, payload: &str) -> String {
        jose::encode(header.as_bytes(), payload.as_bytes(), |input| Ok::<_, ()>(self.sign(input))).unwrap()
    }

    /// The usual header with other members.
    pub fn header(&self, changes: Value) -> String {
        changed(serde_json::json!({ "alg": self.algorithm.as_str(), "kid": self.kid, "typ": "JWT" }), changes)
    }

    /// The key as it stands in a bundle.
    pub fn published(&self) -> (String, Vec<u8>) {
        (self.kid.to_owned(), self.spki())
    }
}

/// An object with some members replaced; `null` takes one out.
pub fn changed(mut object: Value, changes: Value) -> String {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(name);
        } else {
            object[name] = value.clone();
        }
    }
    object.to_string()
}
