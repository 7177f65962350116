//! An authority that signs whatever a test asks for. A plan starts as a correct SVID; a test breaks one thing.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
    SignatureAlgorithm, SigningKey,
};
use time::OffsetDateTime;
use types::Timestamp;

/// A root or an intermediate.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The key once more, DER PKCS#8: an issuer keeps its own to itself.
    key_der: Vec<u8>,
    der: Vec<u8>,
    /// The signers between this one and its root, nearest first, itself included; empty for a root.
    path: Vec<Vec<u8>>,
}

/// What a certificate shall say.
#[derive(Clone)]
pub struct LeafPlan {
    /// URI names.
    pub uris: Vec<String>,
    /// DNS names.
    pub dns: Vec<String>,
    /// The common name; the subject is empty without.
    pub common_name: Option<String>,
    /// First second of validity.
    pub not_before: Timestamp,
    /// Last second of validity.
    pub not_after: Timestamp,
    /// Key usage; the extension is left out when empty.
    pub key_usages: Vec<KeyUsagePurpose>,
    /// Extended key usage; the extension is left out when empty.
    pub purposes: Vec<ExtendedKeyUsagePurpose>,
    /// Whether and how it is a certificate authority.
    pub is_ca: IsCa,
    /// Private extensions: components of the identifier, critical, DER value.
    pub extensions: Vec<(Vec<u64>, bool, Vec<u8>)>,
    /// The serial number.
    pub serial: Vec<u8>,
    /// The kind of key.
    pub algorithm: &'static SignatureAlgorithm,
}

/// An issued certificate with its key and the signers that belong to it.
pub struct Leaf {
    /// DER, leaf first, without the root.
    pub chain: Vec<Vec<u8>>,
    /// The private key.
    pub key: KeyPair,
}

impl LeafPlan {
    /// A correct SVID that is valid for an hour around `now`.
    pub fn svid(spiffe_id: &str, now: Timestamp) -> Self {
        Self {
            uris: vec![spiffe_id.to_owned()],
            dns: Vec::new(),
            common_name: None,
            not_before: Timestamp::from_seconds(now.seconds().saturating_sub(60)),
            not_after: now.plus_seconds(3600),
            key_usages: vec![KeyUsagePurpose::DigitalSignature],
            purposes: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            is_ca: IsCa::ExplicitNoCa,
            extensions: Vec::new(),
            serial: vec![0x5c, 0x1e, 0x01],
            algorithm: &PKCS_ECDSA_P256_SHA256,
        }
    }

    /// A correct authority of a trust domain, valid for ten years from a day before `now`.
    pub fn authority(trust_domain: &str, now: Timestamp) -> Self {
        Self {
            uris: vec![format!("spiffe://{trust_domain}")],
            common_name: Some(format!("{trust_domain} root")),
            not_before: Timestamp::from_seconds(now.seconds().saturating_sub(86_400)),
            not_after: now.plus_seconds(3650 * 86_400),
            key_usages: vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign],
            purposes: Vec::new(),
            is_ca: IsCa::Ca(BasicConstraints::Unconstrained),
            ..Self::svid("", now)
        }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        let uris = self.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().expect("an IA5 string")));
        let dns = self.dns.iter().map(|name| SanType::DnsName(name.as_str().try_into().expect("an IA5 string")));
        params.subject_alt_names = uris.chain(dns).collect();
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = &self.common_name {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        params.not_before = moment(self.not_before);
        params.not_after = moment(self.not_after);
        params.key_usages.clone_from(&self.key_usages);
        params.extended_key_usages.clone_from(&self.purposes);
        params.is_ca = self.is_ca;
        params.serial_number = Some(SerialNumber::from_slice(&self.serial));
        params.custom_extensions = self.extensions.iter().map(custom).collect();
        params
    }
}

fn custom((oid, critical, value): &(Vec<u64>, bool, Vec<u8>)) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, value.clone());
    extension.set_criticality(*critical);
    extension
}

impl Authority {
    /// A self-signed root.
    ///
    /// # Panics
    /// When the plan cannot be signed.
    pub fn root(plan: &LeafPlan) -> Self {
        let key = KeyPair::generate_for(plan.algorithm).expect("a key");
        let params = plan.params();
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        let key_der = key.serialize_der();
        Self { issuer: Issuer::new(params, key), key_der, der, path: Vec::new() }
    }

    /// The usual root of a trust domain.
    pub fn of(trust_domain: &str, now: Timestamp) -> Self {
        Self::root(&LeafPlan::authority(trust_domain, now))
    }

    /// Signs an authority below this one.
    ///
    /// # Panics
    /// When the plan cannot be signed.
    pub fn intermediate(&self, plan: &LeafPlan) -> Self {
        let key = KeyPair::generate_for(plan.algorithm).expect("a key");
        let params = plan.params();
        let der = params.signed_by(&key, &self.issuer).expect("a certificate").der().to_vec();
        let path = [std::slice::from_ref(&der), self.path.as_slice()].concat();
        let key_der = key.serialize_der();
        Self { issuer: Issuer::new(params, key), key_der, der, path }
    }

    /// Signs a certificate with a fresh key.
    ///
    /// # Panics
    /// When the plan cannot be signed.
    pub fn issue(&self, plan: &LeafPlan) -> Leaf {
        let key = KeyPair::generate_for(plan.algorithm).expect("a key");
        let der = plan.params().signed_by(&key, &self.issuer).expect("a certificate").der().to_vec();
        Leaf { chain: [&[der], self.path.as_slice()].concat(), key }
    }

    /// Signs a certificate for the key of a DER certificate request; the chain, leaf first.
    ///
    /// # Panics
    /// When the request cannot be read or the plan cannot be signed.
    pub fn issue_for(&self, plan: &LeafPlan, csr_der: &[u8]) -> Vec<Vec<u8>> {
        let request = CertificateSigningRequestParams::from_der(&csr_der.into()).expect("a certificate request");
        let der = plan.params().signed_by(&request.public_key, &self.issuer).expect("a certificate").der().to_vec();
        [&[der], self.path.as_slice()].concat()
    }

    /// A signature by the authority's key, as its algorithm makes them.
    ///
    /// # Panics
    /// When nothing can be signed.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let key = KeyPair::try_from(self.key_der.as_slice()).expect("a key");
        SigningKey::sign(&key, message).expect("a signature")
    }

    /// The authority's own certificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl Leaf {
    /// The private key as DER PKCS#8.
    pub fn key_der(&self) -> Vec<u8> {
        self.key.serialize_der()
    }
}

fn moment(timestamp: Timestamp) -> OffsetDateTime {
    let seconds = i64::try_from(timestamp.seconds()).expect("a date that X.509 can write");
    OffsetDateTime::from_unix_timestamp(seconds).expect("a date that X.509 can write")
}
