//! A key made here, and a certificate for it: what `call --as` and `identity fetch --as` begin with.

use api::admin::{Impersonate, Impersonated};
use control::pem;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use types::WorkloadId;

use crate::admin_client::AdminClient;
use crate::exit::Failed;
use crate::https::Credential;

/// A certificate in the name of a workload, with the key that never left this process.
pub struct Impersonation {
    /// What control answered.
    pub issued: Impersonated,
    key: KeyPair,
}

impl Impersonation {
    /// Makes a key and asks for the certificate.
    ///
    /// # Errors
    /// When policy refuses, or nothing is issued for another reason.
    pub async fn obtain(client: &AdminClient, workload: &WorkloadId) -> Result<Self, Failed> {
        let (key, csr) = request().map_err(|error| Failed::new(format!("no key could be made: {error}")))?;
        let issued = client.impersonate(&Impersonate { workload: workload.to_string(), csr }).await?;
        Ok(Self { issued, key })
    }

    /// The key in PEM, PKCS #8.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// For TLS.
    ///
    /// # Errors
    /// When control answered something that is no certificate.
    pub fn credential(&self) -> Result<Credential, Failed> {
        let chain = pem::read_certificates(&self.issued.chain)
            .ok_or_else(|| Failed::new("the admin service answered a chain that is not PEM"))?;
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        Ok(Credential { chain, key: PrivateKeyDer::from(key) })
    }
}

/// An ECDSA P-256 key and a request in PEM that proves it. The names in the certificate are the issuer's to choose.
///
/// # Errors
/// The library's.
pub fn request() -> Result<(KeyPair, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let csr = CertificateParams::default().serialize_request(&key)?;
    Ok((key, pem::encode("CERTIFICATE REQUEST", csr.der())))
}
