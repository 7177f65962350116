//! One root with its key: the making of both, and what is signed by them.

use std::sync::Arc;

use api::issuance::Svid;
use identity::Bundle;
use identity::sign::sha256;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use types::{KeyKind, SpiffeId, Timestamp, TrustDomain};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::error::OpenError;
use crate::jwt::hex;
use crate::key::{FileKey, Signer};
use crate::leaf::{Order, Template, serial};
use crate::protection::random;
use crate::store::Folder;

/// Ten years: a root is replaced by rotation, not by expiry.
const ROOT_SECONDS: u64 = 3650 * 86_400;

/// A root is good a day before it was made, for machines whose clocks are behind.
/// INVARIANT: more than anything that it signs is backdated by.
const ROOT_BACKDATE_SECONDS: u64 = 86_400;

/// The same for what it signs.
pub(crate) const LEAF_BACKDATE_SECONDS: u64 = 60;

/// A trust domain's key and root.
pub(crate) struct Authority {
    signer: Arc<dyn Signer>,
    template: Template,
    trust_domain: TrustDomain,
    root_der: Vec<u8>,
    root_sha256: [u8; 32],
    not_before: Timestamp,
    not_after: Timestamp,
}

/// A new key and its root.
pub(crate) struct Made {
    /// PKCS#8, DER.
    pub pkcs8: Zeroizing<Vec<u8>>,
    /// PEM.
    pub root: String,
}

impl Authority {
    /// Makes a key and a root for a trust domain.
    ///
    /// # Errors
    /// Words for the operator.
    pub fn generate(trust_domain: &TrustDomain, kind: KeyKind, now: Timestamp) -> Result<Made, String> {
        let pkcs8 = FileKey::generate(kind)?;
        let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(pkcs8.as_slice())).map_err(|error| error.to_string())?;
        let mut params = CertificateParams::default();
        // Two roots of one domain, before and after a rotation, must not share a name.
        params.distinguished_name = DistinguishedName::new();
        let name = format!("{} root {}", shorten(trust_domain.as_str()), hex(&random::<4>()?));
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = vec![uri(&trust_domain.id())?];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(serial()?.to_vec().into());
        params.not_before = moment(now.seconds().saturating_sub(ROOT_BACKDATE_SECONDS))?;
        params.not_after = moment(now.seconds().saturating_add(ROOT_SECONDS))?;
        let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
        Ok(Made { pkcs8, root: certificate.pem() })
    }

    /// Takes the files of a key into use, after checking that they belong together and to this trust domain.
    pub fn load(folder: &Folder<'_>, name: &str, trust_domain: &TrustDomain) -> Result<Self, OpenError> {
        let (key_file, root_file) = (format!("{name}.key"), format!("{name}.pem"));
        let signer: Arc<dyn Signer> = Arc::new(folder.read_key(&key_file)?);
        let path = folder.file(&root_file);
        let damaged = |detail: String| OpenError::Damaged { path: path.clone(), detail };
        let root_der = certificate(&folder.read(&root_file)?).map_err(damaged)?;
        let (_, x509) = X509Certificate::from_der(&root_der).map_err(|_| damaged("it is not DER X.509".to_owned()))?;
        if x509.public_key().raw != signer.spki_der() {
            return Err(OpenError::Mismatch { key: folder.file(&key_file), certificate: path });
        }
        drop(x509);
        Self::new(signer, root_der, trust_domain).map_err(damaged)
    }

    /// Takes a key and its root into use, which must be one of this trust domain.
    ///
    /// # Errors
    /// What is wrong with the root.
    pub fn new(signer: Arc<dyn Signer>, root_der: Vec<u8>, trust_domain: &TrustDomain) -> Result<Self, String> {
        Bundle::from_der(trust_domain.clone(), vec![root_der.clone()]).map_err(|error| error.to_string())?;
        let (_, x509) = X509Certificate::from_der(&root_der).map_err(|_| "it is not DER X.509".to_owned())?;
        if !names(&x509, trust_domain) {
            return Err(format!("it is not a root of trust domain `{trust_domain}`"));
        }
        let identifier = key_identifier(&x509).unwrap_or_default();
        let template =
            Template::new(signer.kind(), x509.subject().as_raw(), identifier).ok_or("its name is too long")?;
        let seconds = |at: i64| Timestamp::from_seconds(u64::try_from(at).unwrap_or(0));
        let not_before = seconds(x509.validity().not_before.timestamp());
        let not_after = seconds(x509.validity().not_after.timestamp());
        let root_sha256 = sha256(&root_der);
        Ok(Self { signer, template, trust_domain: trust_domain.clone(), root_sha256, not_before, not_after, root_der })
    }

    /// Refuses a root outside its validity.
    pub fn check_validity(&self, folder: &Folder<'_>, name: &str, now: Timestamp) -> Result<(), OpenError> {
        let Self { not_before, not_after, .. } = *self;
        if (not_before.seconds()..=not_after.seconds()).contains(&now.seconds()) {
            return Ok(());
        }
        Err(OpenError::NotValid { path: folder.file(&format!("{name}.pem")), not_before, not_after, now })
    }

    /// Whose root this is.
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The root.
    pub fn root_der(&self) -> &[u8] {
        &self.root_der
    }

    /// SHA-256 of the root's DER.
    pub const fn root_sha256(&self) -> &[u8; 32] {
        &self.root_sha256
    }

    /// The root's last moment of validity.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Signs a leaf by the rules of X509-SVID, never beyond the root's own life. `spki_der` is the leaf's public key.
    ///
    /// # Errors
    /// Words for the operator.
    pub fn sign(&self, order: &Order<'_>, spki_der: &[u8], now: Timestamp) -> Result<Svid, String> {
        self.template.sign(&*self.signer, order, spki_der, now, self.not_after)
    }

    /// The signature of the root's key over a statement.
    ///
    /// # Errors
    /// Words for the operator.
    pub fn vouch(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        self.signer.sign(message)
    }
}

/// The one certificate of a PEM text, DER.
pub(crate) fn certificate(pem: &str) -> Result<Vec<u8>, String> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map(|der| der.to_vec())
        .map_err(|_| "it does not hold a certificate in PEM".to_owned())
}

/// Whether the root's one URI name is the trust domain's.
fn names(root: &X509Certificate<'_>, trust_domain: &TrustDomain) -> bool {
    let Ok(Some(names)) = root.subject_alternative_name() else { return false };
    let id = trust_domain.id();
    names.value.general_names.iter().any(|name| matches!(name, GeneralName::URI(uri) if *uri == id.as_str()))
}

fn key_identifier<'a>(root: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    root.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
        _ => None,
    })
}

/// A common name has at most 64 characters (RFC 5280 appendix A); trust domains are ASCII.
fn shorten(name: &str) -> String {
    name.chars().take(48).collect()
}

fn uri(id: &SpiffeId) -> Result<SanType, String> {
    id.as_str().try_into().map(SanType::URI).map_err(|error: rcgen::Error| error.to_string())
}

fn moment(seconds: u64) -> Result<OffsetDateTime, String> {
    let seconds = i64::try_from(seconds).map_err(|_| "the date is out of range".to_owned())?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| "the date is out of range".to_owned())
}
