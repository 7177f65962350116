//! Keys of workloads: made here, of the kind that is asked for, and never sent anywhere but to the workload.

use api::issuance::Predecessor;
use api::protocol::PREDECESSOR_CONTEXT;
use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256,
    PublicKeyData as _, RsaKeySize, SigningKey as _,
};
use tokio::sync::Semaphore;
use types::KeyKind;

use crate::secret::Secret;

/// RSA keys made at once: each takes a core for a tenth of a second or more.
static RSA_MAKERS: Semaphore = Semaphore::const_new(1);

/// A fresh key with a request that proves it. The request names nothing: names come from the issuer.
pub(crate) struct Fresh {
    /// DER PKCS#8.
    pub key: Secret,
    /// DER PKCS#10.
    pub csr_der: Vec<u8>,
    /// SHA-256 of the public key, DER SubjectPublicKeyInfo.
    pub sha256: [u8; 32],
}

/// Makes a key. RSA is made on a thread of its own, one at a time: it would hold up everybody else.
///
/// # Errors
/// Why not, for the operator.
pub(crate) async fn make(kind: KeyKind) -> Result<Fresh, String> {
    match kind {
        KeyKind::P256 => fresh(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)),
        KeyKind::P384 => fresh(KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)),
        KeyKind::Rsa2048 => {
            let _turn = RSA_MAKERS.acquire().await.map_err(|error| error.to_string())?;
            let made = || fresh(KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048));
            tokio::task::spawn_blocking(made).await.map_err(|error| error.to_string())?
        }
    }
}

fn fresh(key: Result<KeyPair, rcgen::Error>) -> Result<Fresh, String> {
    let key = key.map_err(|error| error.to_string())?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let csr = params.serialize_request(&key).map_err(|error| error.to_string())?;
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, &key.subject_public_key_info()).as_ref());
    Ok(Fresh { key: Secret::new(key.serialize_der()), csr_der: csr.der().to_vec(), sha256 })
}

/// Proves that whoever sends a request holds the key of the certificate that is to be replaced (docs/token-binding.md).
///
/// # Errors
/// Why not, for the operator.
pub(crate) fn predecessor(certificate_der: &[u8], key: &Secret, csr_der: &[u8]) -> Result<Predecessor, String> {
    let message = [PREDECESSOR_CONTEXT, digest(&SHA256, csr_der).as_ref()].concat();
    let key = KeyPair::try_from(key.reveal()).map_err(|error| error.to_string())?;
    let signature = key.sign(&message).map_err(|error| error.to_string())?;
    Ok(Predecessor { certificate_der: certificate_der.to_vec(), signature })
}
