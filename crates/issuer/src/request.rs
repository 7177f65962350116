//! Certificate requests: proof of possession of a key, and nothing else. Names and extensions in them are not read.

use api::issuance::IssueError;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use identity::check_key;
use jose::der::{BIT_STRING, SEQUENCE, value};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use types::limits;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::der_parser::oid::Oid;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512, OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

const OID: u8 = 0x06;

/// A curve or kind of key, an algorithm of signatures, and what verifies one by the other.
type Known = (Oid<'static>, Oid<'static>, &'static dyn VerificationAlgorithm);

/// What may sign a request. SHA-1 is not among them (PV-6).
static SIGNATURES: [Known; 11] = [
    (OID_EC_P256, OID_SIG_ECDSA_WITH_SHA256, &ECDSA_P256_SHA256_ASN1),
    (OID_EC_P256, OID_SIG_ECDSA_WITH_SHA384, &ECDSA_P256_SHA384_ASN1),
    (OID_NIST_EC_P384, OID_SIG_ECDSA_WITH_SHA256, &ECDSA_P384_SHA256_ASN1),
    (OID_NIST_EC_P384, OID_SIG_ECDSA_WITH_SHA384, &ECDSA_P384_SHA384_ASN1),
    (OID_NIST_EC_P521, OID_SIG_ECDSA_WITH_SHA256, &ECDSA_P521_SHA256_ASN1),
    (OID_NIST_EC_P521, OID_SIG_ECDSA_WITH_SHA384, &ECDSA_P521_SHA384_ASN1),
    (OID_NIST_EC_P521, OID_SIG_ECDSA_WITH_SHA512, &ECDSA_P521_SHA512_ASN1),
    (OID_PKCS1_RSAENCRYPTION, OID_PKCS1_SHA256WITHRSA, &RSA_PKCS1_2048_8192_SHA256),
    (OID_PKCS1_RSAENCRYPTION, OID_PKCS1_SHA384WITHRSA, &RSA_PKCS1_2048_8192_SHA384),
    (OID_PKCS1_RSAENCRYPTION, OID_PKCS1_SHA512WITHRSA, &RSA_PKCS1_2048_8192_SHA512),
    (OID_SIG_ED25519, OID_SIG_ED25519, &ED25519),
];

/// Whether something is a certificate request that could be signed: DER PKCS#10, signed with its own, strong key.
///
/// # Errors
/// [`IssueError::BadRequest`] in words for whoever made the request.
pub fn check_request(csr_der: &[u8]) -> Result<(), IssueError> {
    public_key(csr_der).map(|_| ())
}

/// The public key of a request, DER `SubjectPublicKeyInfo`.
///
/// # Errors
/// As [`check_request`].
pub(crate) fn public_key(csr_der: &[u8]) -> Result<&[u8], IssueError> {
    if csr_der.len() > limits::CSR_BYTES.default_usize() {
        return refuse("it is too large");
    }
    let Ok(([], csr)) = X509CertificationRequest::from_der(csr_der) else { return refuse("it is not DER PKCS#10") };
    let key = &csr.certification_request_info.subject_pki;
    check_key(key.raw).map_err(|error| IssueError::BadRequest(error.to_string()))?;
    let (kind, algorithm) = (kind(key), &csr.signature_algorithm.algorithm);
    let known = SIGNATURES.iter().find(|(of, by, _)| kind.as_ref() == Some(of) && algorithm == by);
    let Some((_, _, verifier)) = known else {
        return refuse("its signature algorithm does not fit its key or is not accepted; use SHA-256 or better");
    };
    let verified = UnparsedPublicKey::new(*verifier, &key.subject_public_key.data)
        .verify(csr.certification_request_info.raw, &csr.signature_value.data);
    if verified.is_err() {
        return refuse("its signature is not by the key that it holds");
    }
    if written_again(&csr).as_deref() != Some(csr_der) {
        return refuse("it is not DER PKCS#10: there is one way to write it, and this is another");
    }
    Ok(key.raw)
}

/// The request as DER has it: what its signature does not cover could be written in other ways that readers let pass.
fn written_again(csr: &X509CertificationRequest<'_>) -> Option<Vec<u8>> {
    let algorithm = &csr.signature_algorithm.algorithm;
    let by_rsa = [OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA].contains(algorithm);
    let parameters: &[u8] = if by_rsa { &[0x05, 0x00] } else { &[] };
    let algorithm = value(SEQUENCE, &[&value(OID, &[algorithm.as_bytes()])?, parameters])?;
    let signature = value(BIT_STRING, &[&[0], &csr.signature_value.data])?;
    value(SEQUENCE, &[csr.certification_request_info.raw, &algorithm, &signature])
}

/// The curve of an ECDSA key, the kind of another one.
fn kind<'a>(key: &'a SubjectPublicKeyInfo<'_>) -> Option<Oid<'a>> {
    if key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        return key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    }
    Some(key.algorithm.algorithm.clone())
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
