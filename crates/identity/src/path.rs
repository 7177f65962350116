//! Path validation (RFC 5280 section 6): `rustls-webpki` for signatures, names, validity, constraints and unknown
//! critical extensions; on top what it leaves out: key usage of signers, the root's own validity and path length, and a
//! bound on the work (PV-1, PV-2, PV-6, XS-3, XS-5).

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use core::time::Duration;
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, UnixTime,
};
use types::{Reason, Timestamp, limits};
use webpki::{EndEntityCert, Error, KeyUsage, VerifiedPath, aws_lc_rs as algorithms};

use crate::bundle::Bundle;
use crate::certificate::Certificate;
use crate::refusal::SvidRefusal;
use crate::signer;

/// What may sign a certificate: SHA-2 with RSA from 2048 bits, ECDSA from P-256, or Ed25519. SHA-1 is not among them
/// (PV-6).
static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 16] = [
    algorithms::ECDSA_P256_SHA256,
    algorithms::ECDSA_P256_SHA384,
    algorithms::ECDSA_P256_SHA512,
    algorithms::ECDSA_P384_SHA256,
    algorithms::ECDSA_P384_SHA384,
    algorithms::ECDSA_P384_SHA512,
    algorithms::ECDSA_P521_SHA256,
    algorithms::ECDSA_P521_SHA384,
    algorithms::ECDSA_P521_SHA512,
    algorithms::ED25519,
    algorithms::RSA_PKCS1_2048_8192_SHA256,
    algorithms::RSA_PKCS1_2048_8192_SHA384,
    algorithms::RSA_PKCS1_2048_8192_SHA512,
    algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// Finds a path from the leaf to a root of the bundle, valid at `now`, whose certificates allow `purpose` where they
/// name purposes at all.
///
/// # Errors
/// [`Reason::IdentityUntrusted`] with the rule that the best path broke, or [`Reason::IdentityMalformed`].
pub(crate) fn validate(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    bundle: &Bundle,
    now: Timestamp,
    purpose: KeyUsage,
) -> Result<(), SvidRefusal> {
    let end_entity = EndEntityCert::try_from(leaf).map_err(|error| untrusted("PV-1", words(&error)))?;
    let budget = Budget::new();
    let counted = ALGORITHMS.map(|inner| Counted { inner, budget: &budget });
    let supported: Vec<&dyn SignatureVerificationAlgorithm> =
        counted.iter().map(|counted| -> &dyn SignatureVerificationAlgorithm { counted }).collect();
    let flaw = RefCell::new(None);
    let judge = |path: &VerifiedPath<'_>| {
        judge_path(path, bundle, now).map_err(|(rule, detail)| {
            flaw.replace(Some(untrusted(rule, detail)));
            Error::UnknownIssuer
        })
    };
    let outcome = end_entity.verify_for_usage(
        &supported,
        bundle.anchors(),
        intermediates,
        UnixTime::since_unix_epoch(Duration::from_secs(now.seconds())),
        purpose,
        None,
        Some(&judge),
    );
    match outcome {
        Ok(_) => Ok(()),
        Err(_) if budget.is_spent() => Err(untrusted("PV-1", "the chain takes too many signature checks".to_owned())),
        Err(error) => Err(flaw.take().unwrap_or_else(|| untrusted(rule_of(&error), words(&error)))),
    }
}

/// What webpki does not look at, on a path whose signatures it has checked.
fn judge_path(path: &VerifiedPath<'_>, bundle: &Bundle, now: Timestamp) -> Result<(), signer::Flaw> {
    let mut signers = 0;
    for intermediate in path.intermediate_certificates() {
        let der = intermediate.der();
        let certificate = Certificate::read(&der).map_err(|refusal| (refusal.rule, refusal.detail))?;
        signer::check(&certificate)?;
        signers += 1;
    }
    if bundle.vouches(path.anchor(), signers, now) {
        Ok(())
    } else {
        Err(("PV-1", "the root is not valid at this moment, or allows fewer intermediates".to_owned()))
    }
}

fn rule_of(error: &Error) -> &'static str {
    match error {
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => "XS-6",
        Error::UnsupportedSignatureAlgorithmContext(_) | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            "PV-6"
        }
        _ => "PV-1",
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::UnknownIssuer => "no root of the trust domain has signed this chain".to_owned(),
        Error::InvalidSignatureForPublicKey => "a signature of the chain is not by the key of its issuer".to_owned(),
        Error::CertExpired { .. } => "a certificate of the chain is expired".to_owned(),
        Error::CertNotValidYet { .. } => "a certificate of the chain is not yet valid".to_owned(),
        Error::EndEntityUsedAsCa => "a certificate that is no certificate authority has signed another".to_owned(),
        Error::CaUsedAsEndEntity => "a certificate authority is presented as a workload".to_owned(),
        Error::PathLenConstraintViolated => "the chain is longer than a certificate authority in it allows".to_owned(),
        Error::UnsupportedCriticalExtension => "a certificate holds a critical extension that is not known".to_owned(),
        Error::NameConstraintViolation => "a name lies outside the name constraints of an issuer".to_owned(),
        Error::RequiredEkuNotFoundContext(_) => {
            "a certificate of the chain is not for client authentication".to_owned()
        }
        Error::MaximumPathDepthExceeded => "the chain is too deep".to_owned(),
        other => format!("path validation failed: {other:?}").chars().take(200).collect(),
    }
}

pub(crate) fn untrusted(rule: &'static str, detail: String) -> SvidRefusal {
    SvidRefusal::new(Reason::IdentityUntrusted, rule, detail)
}

/// Signature checks left for one chain. Path building is a search; a hostile chain makes it try everything
/// (CVE-2018-16875).
#[derive(Debug)]
struct Budget(AtomicU64);

impl Budget {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    fn take(&self) -> Result<(), InvalidSignature> {
        if self.0.fetch_add(1, Ordering::Relaxed) < limits::CHAIN_SIGNATURES.default {
            Ok(())
        } else {
            Err(InvalidSignature)
        }
    }

    fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) > limits::CHAIN_SIGNATURES.default
    }
}

/// An algorithm that takes from the budget.
#[derive(Debug)]
struct Counted<'a> {
    inner: &'static dyn SignatureVerificationAlgorithm,
    budget: &'a Budget,
}

impl SignatureVerificationAlgorithm for Counted<'_> {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        self.budget.take()?;
        self.inner.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.inner.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.inner.signature_alg_id()
    }
}

#[cfg(test)]
mod tests;
