//! Certificates good and bad: a domain's own authority as it lies in the data directory, foreign ones, and what they sign.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;

/// The present moment.
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// A certificate and its key, as files: what curl takes.
#[derive(Clone, Debug)]
pub struct Identity {
    /// PEM, leaf first.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

impl Identity {
    /// The chain, leaf first.
    ///
    /// # Panics
    /// When the file holds none.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(&self.certificate).unwrap().map(Result::unwrap).collect()
    }

    /// The subject of the key, as `countersign revoke` takes it: the SHA-256 of its SubjectPublicKeyInfo.
    ///
    /// # Panics
    /// When the file holds none.
    pub fn key_subject(&self) -> String {
        let key = KeyPair::from_pem(&fs::read_to_string(&self.key).unwrap()).unwrap();
        let digest = digest(&SHA256, &key.subject_public_key_info());
        format!("key:{}", digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    /// The key.
    ///
    /// # Panics
    /// When the file holds none.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(&self.key).unwrap()
    }
}

/// Something that signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

/// So that each certificate has files of its own.
static MADE: AtomicUsize = AtomicUsize::new(0);

impl Authority {
    /// The authority in a folder of `DATA/keys`.
    ///
    /// # Panics
    /// When it is not there.
    pub fn read(folder: &Path) -> Self {
        Self::of(&folder.join("ca.key"), &folder.join("ca.pem"))
    }

    /// The authority with this key and certificate.
    ///
    /// # Panics
    /// When they are not there.
    pub fn of(key: &Path, certificate: &Path) -> Self {
        let key = KeyPair::from_pem(&fs::read_to_string(key).unwrap()).unwrap();
        let certificate = fs::read_to_string(certificate).unwrap();
        Self { issuer: Issuer::from_ca_cert_pem(&certificate, key).unwrap() }
    }

    /// An authority that calls itself that of a trust domain, and that nobody knows.
    ///
    /// # Panics
    /// When no key can be made.
    pub fn pretending(trust_domain: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![uri(&format!("spiffe://{trust_domain}"))];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self { issuer: Issuer::new(params, key) }
    }

    /// A good SVID.
    pub fn svid(&self, folder: &Path, id: &str) -> Identity {
        self.sign(folder, id, |_| {})
    }

    /// An SVID with something changed.
    ///
    /// # Panics
    /// When it cannot be signed or written.
    pub fn sign(&self, folder: &Path, id: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = svid_params(id);
        change(&mut params);
        write(folder, &params.signed_by(&key, &self.issuer).unwrap().pem(), &key)
    }

    /// An SVID for the key of another one, as a renewal that keeps its key.
    ///
    /// # Panics
    /// When it cannot be signed or written.
    pub fn renew(&self, folder: &Path, id: &str, before: &Identity) -> Identity {
        let key = KeyPair::from_pem(&fs::read_to_string(&before.key).unwrap()).unwrap();
        let mut params = svid_params(id);
        // left out, it would be made from the key
        params.serial_number = Some(vec![0x5c, 0x1e, 0x0b].into());
        write(folder, &params.signed_by(&key, &self.issuer).unwrap().pem(), &key)
    }

    /// An SVID that nobody but its own key signed.
    ///
    /// # Panics
    /// When it cannot be signed or written.
    pub fn self_signed(folder: &Path, id: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        write(folder, &svid_params(id).self_signed(&key).unwrap().pem(), &key)
    }
}

/// What an SVID says.
fn svid_params(id: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![uri(id)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = now() - Duration::from_secs(60);
    params.not_after = now() + Duration::from_secs(3600);
    params
}

/// A URI name.
///
/// # Panics
/// When it is not ASCII.
fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn write(folder: &Path, certificate: &str, key: &KeyPair) -> Identity {
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let path = |end: &str| folder.join(format!("made-{number}.{end}"));
    let identity = Identity { certificate: path("pem"), key: path("key") };
    fs::write(&identity.certificate, certificate).unwrap();
    fs::write(&identity.key, key.serialize_pem()).unwrap();
    identity
}
