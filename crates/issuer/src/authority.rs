//! One domain's certificate authority: its root, and what it signs.

use api::issuance::Svid;
use core::time::Duration;
use identity::{Bundle, via_value};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _,
    SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use time::OffsetDateTime;
use types::{Host, SpiffeId, Timestamp, TrustDomain, limits};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::error::OpenError;
use crate::store::{Files, Slot};

/// Ten years: a root is replaced by rotation, not by expiry.
const ROOT_SECONDS: u64 = 3650 * 86_400;

/// A root is good a day before it was made, for machines whose clocks are behind.
/// INVARIANT: more than anything that it signs is backdated by.
const ROOT_BACKDATE_SECONDS: u64 = 86_400;

/// The same for what it signs.
pub(crate) const LEAF_BACKDATE_SECONDS: u64 = 60;

/// The longest serial number that RFC 5280 4.1.2.2 allows.
const SERIAL_BYTES: usize = 20;

/// A domain's key and root.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    trust_domain: TrustDomain,
    root_der: Vec<u8>,
    not_after: Timestamp,
}

/// What shall be signed.
pub(crate) struct Order<'a> {
    pub id: &'a SpiffeId,
    pub dns: &'a [Host],
    pub ttl: Duration,
    pub via: Option<&'a str>,
    /// How long before the present moment it is good already, in seconds.
    pub backdated: u64,
}

impl Authority {
    /// Makes a key and a root for a trust domain, as the texts of their files.
    pub fn generate(trust_domain: &TrustDomain, now: Timestamp) -> Result<Files, String> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| error.to_string())?;
        let mut params = CertificateParams::default();
        // Two roots of one domain, before and after a rotation, must not share a name.
        let tag: String = random::<4>()?.iter().map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name = common_name(&format!("{} root {tag}", shorten(trust_domain.as_str())));
        params.subject_alt_names = vec![uri(&trust_domain.id())?];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(serial()?);
        params.not_before = moment(now.seconds().saturating_sub(ROOT_BACKDATE_SECONDS))?;
        params.not_after = moment(now.seconds().saturating_add(ROOT_SECONDS))?;
        let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
        Ok(Files { key: Zeroizing::new(key.serialize_pem()), certificate: certificate.pem() })
    }

    /// Takes the files of a slot into use, after checking that they belong together, to this trust domain, and now.
    pub fn load(slot: &Slot, files: &Files, trust_domain: TrustDomain, now: Timestamp) -> Result<Self, OpenError> {
        let damaged = |path: &std::path::Path, detail: String| OpenError::Damaged { path: path.to_owned(), detail };
        let key = KeyPair::from_pem(&files.key)
            .map_err(|_| damaged(&slot.key, "it does not hold one PKCS#8 private key in PEM".to_owned()))?;
        let root = CertificateDer::from_pem_slice(files.certificate.as_bytes())
            .map_err(|_| damaged(&slot.certificate, "it does not hold a certificate in PEM".to_owned()))?;
        Bundle::from_der(trust_domain.clone(), vec![root.to_vec()])
            .map_err(|error| damaged(&slot.certificate, error.to_string()))?;
        let (_, x509) = X509Certificate::from_der(&root)
            .map_err(|_| damaged(&slot.certificate, "it is not DER X.509".to_owned()))?;
        if x509.public_key().raw != key.subject_public_key_info() {
            return Err(OpenError::Mismatch { key: slot.key.clone(), certificate: slot.certificate.clone() });
        }
        if !names(&x509, &trust_domain) {
            return Err(damaged(&slot.certificate, format!("it is not a root of trust domain `{trust_domain}`")));
        }
        let not_after = check_validity(slot, &x509, now)?;
        let issuer =
            Issuer::from_ca_cert_der(&root, key).map_err(|error| damaged(&slot.certificate, error.to_string()))?;
        Ok(Self { issuer, trust_domain, root_der: root.to_vec(), not_after })
    }

    /// Whose root this is.
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The root.
    pub fn root_der(&self) -> &[u8] {
        &self.root_der
    }

    /// The root's last moment of validity.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Signs a leaf by the rules of X509-SVID (XS-1 to XS-4), never beyond the root's own life.
    ///
    /// # Errors
    /// Words for the operator.
    pub fn sign(&self, order: &Order<'_>, key: &SubjectPublicKeyInfo, now: Timestamp) -> Result<Svid, String> {
        self.signed(order, key, now).map(|(_, svid)| svid)
    }

    /// As [`Self::sign`], as the text of a file.
    pub fn sign_pem(&self, order: &Order<'_>, key: &SubjectPublicKeyInfo, now: Timestamp) -> Result<String, String> {
        self.signed(order, key, now).map(|(certificate, _)| certificate.pem())
    }

    fn signed(
        &self,
        order: &Order<'_>,
        key: &SubjectPublicKeyInfo,
        now: Timestamp,
    ) -> Result<(Certificate, Svid), String> {
        let wanted = now.seconds().saturating_add(order.ttl.as_secs());
        let not_after = Timestamp::from_seconds(wanted.min(self.not_after.seconds()));
        if not_after.seconds() <= now.seconds() {
            return Err("it would be expired at once; check the root's validity and `svid.ttl`".to_owned());
        }
        let not_before = Timestamp::from_seconds(now.seconds().saturating_sub(order.backdated));
        let serial = serial()?;
        let text = serial.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let params = leaf_params(order, serial, not_before, not_after)?;
        let certificate = params.signed_by(key, &self.issuer).map_err(|error| error.to_string())?;
        let leaf = certificate.der().to_vec();
        if leaf.len() > limits::CERTIFICATE_BYTES.default_usize() {
            return Err("the domain has more hosts than fit into one certificate".to_owned());
        }
        let svid = Svid { spiffe_id: order.id.clone(), chain_der: vec![leaf], not_before, not_after, serial: text };
        Ok((certificate, svid))
    }
}

fn leaf_params(
    order: &Order<'_>,
    serial: SerialNumber,
    not_before: Timestamp,
    not_after: Timestamp,
) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::default();
    // The subject stays empty, which makes the names critical (XS-4).
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![uri(order.id)?];
    for host in order.dns {
        let name = host.as_str().try_into().map_err(|error: rcgen::Error| error.to_string())?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(serial);
    params.not_before = moment(not_before.seconds())?;
    params.not_after = moment(not_after.seconds())?;
    if let Some(operator) = order.via {
        let value = via_value(operator).ok_or("the operator's name cannot be written into a certificate")?;
        params.custom_extensions = vec![CustomExtension::from_oid_content(identity::VIA_OID, value)];
    }
    Ok(params)
}

/// Whether the root's one URI name is the trust domain's.
fn names(root: &X509Certificate<'_>, trust_domain: &TrustDomain) -> bool {
    let Ok(Some(names)) = root.subject_alternative_name() else { return false };
    let id = trust_domain.id();
    names
        .value
        .general_names
        .iter()
        .any(|name| matches!(name, x509_parser::extensions::GeneralName::URI(uri) if *uri == id.as_str()))
}

fn check_validity(slot: &Slot, root: &X509Certificate<'_>, now: Timestamp) -> Result<Timestamp, OpenError> {
    let seconds = |at: i64| Timestamp::from_seconds(u64::try_from(at).unwrap_or(0));
    let not_before = seconds(root.validity().not_before.timestamp());
    let not_after = seconds(root.validity().not_after.timestamp());
    if (not_before..=not_after).contains(&now) {
        Ok(not_after)
    } else {
        Err(OpenError::NotValid { path: slot.certificate.clone(), not_before, not_after, now })
    }
}

fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

/// A common name has at most 64 characters (RFC 5280 appendix A); trust domains are ASCII.
fn shorten(name: &str) -> String {
    name.chars().take(48).collect()
}

fn uri(id: &SpiffeId) -> Result<SanType, String> {
    id.as_str().try_into().map(SanType::URI).map_err(|error: rcgen::Error| error.to_string())
}

/// Positive, with 158 random bits, always of the same length.
fn serial() -> Result<SerialNumber, String> {
    let mut bytes = random::<SERIAL_BYTES>()?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x3f) | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "no random numbers are to be had".to_owned())?;
    Ok(bytes)
}

fn moment(seconds: u64) -> Result<OffsetDateTime, String> {
    let seconds = i64::try_from(seconds).map_err(|_| "the date is out of range".to_owned())?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| "the date is out of range".to_owned())
}
