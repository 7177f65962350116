//! Certificate requests: proof of possession of a key, and nothing else. Names and extensions in them are not read.

use api::issuance::IssueError;
use identity::check_key;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, SubjectPublicKeyInfo};
use types::limits;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::der_parser::oid::Oid;
use x509_parser::oid_registry::{
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512, OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer as _;

/// What may sign a request. SHA-1 is not among them (PV-6).
static SIGNATURES: [&Oid<'static>; 7] = [
    &OID_SIG_ECDSA_WITH_SHA256,
    &OID_SIG_ECDSA_WITH_SHA384,
    &OID_SIG_ECDSA_WITH_SHA512,
    &OID_SIG_ED25519,
    &OID_PKCS1_SHA256WITHRSA,
    &OID_PKCS1_SHA384WITHRSA,
    &OID_PKCS1_SHA512WITHRSA,
];

/// The public key of a DER PKCS#10 request that was signed with its own, strong key.
///
/// # Errors
/// [`IssueError::BadRequest`] in words for whoever made the request.
pub(crate) fn public_key(csr_der: &[u8]) -> Result<SubjectPublicKeyInfo, IssueError> {
    if csr_der.len() > limits::CSR_BYTES.default_usize() {
        return refuse("it is too large");
    }
    let Ok(([], csr)) = X509CertificationRequest::from_der(csr_der) else { return refuse("it is not DER PKCS#10") };
    let spki = csr.certification_request_info.subject_pki.raw;
    check_key(spki).map_err(|error| IssueError::BadRequest(error.to_string()))?;
    if !SIGNATURES.contains(&&csr.signature_algorithm.algorithm) {
        return refuse("its signature algorithm is not accepted; use SHA-256 or better");
    }
    if csr.verify_signature().is_err() {
        return refuse("its signature is not by the key that it holds");
    }
    SubjectPublicKeyInfo::from_der(spki).or_else(|_| refuse("its kind of key cannot be written into a certificate"))
}

/// A request that proves a key and names nothing.
pub(crate) fn for_key(key: &KeyPair) -> Result<Vec<u8>, String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serialize_request(key).map(|request| request.der().to_vec()).map_err(|error| error.to_string())
}

fn refuse<T>(why: &str) -> Result<T, IssueError> {
    Err(IssueError::BadRequest(why.to_owned()))
}
