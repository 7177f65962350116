//! Trust bundles: the roots of each trust domain, apart from each other (BU-4).

use std::collections::{BTreeMap, BTreeSet};

use jose::Key;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use thiserror::Error;
use types::{Timestamp, TrustDomain, limits};

use crate::certificate::Certificate;
use crate::document::Document;
use crate::jwt_svid::ALGORITHMS;
use crate::{signer, verify};

/// The keys of one trust domain: its X.509 roots, and what signs its JWT-SVIDs. An empty bundle is legal: it revokes
/// everything of its domain (BU-2).
#[derive(Clone, Debug)]
pub struct Bundle {
    domain: TrustDomain,
    /// In the order of `roots`: webpki takes a slice of anchors.
    anchors: Vec<TrustAnchor<'static>>,
    roots: Vec<Root>,
    jwt_keys: Vec<JwtKey>,
    federated: bool,
}

#[derive(Clone, Debug)]
struct JwtKey {
    kid: String,
    key: Key,
}

#[derive(Clone, Debug)]
struct Root {
    der: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    path_length: Option<u32>,
}

/// Why something is not a bundle.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BundleError {
    /// Larger than `bundle_bytes`.
    #[error("the bundle is larger than {} bytes", limits::BUNDLE_BYTES.default)]
    TooLarge,
    /// More roots than `bundle_roots`.
    #[error("the bundle holds more than {} roots", limits::BUNDLE_ROOTS.default)]
    TooManyRoots,
    /// PEM that does not decode, or holds no certificate.
    #[error("no certificates could be read from the PEM text")]
    Pem,
    /// A certificate that cannot be a root.
    #[error("root {number} cannot be used: {detail} ({rule})")]
    Root {
        /// Which one, counted from 1.
        number: usize,
        /// The requirement that it breaks.
        rule: &'static str,
        /// How.
        detail: String,
    },
    /// More keys for JWT-SVIDs than `bundle_jwt_keys`.
    #[error("the bundle holds more than {} keys for JWT-SVIDs", limits::BUNDLE_JWT_KEYS.default)]
    TooManyJwtKeys,
    /// A key for JWT-SVIDs that cannot be used.
    #[error("the key `{kid}` for JWT-SVIDs cannot be used: {detail} ({rule})")]
    JwtKey {
        /// Its id, shortened.
        kid: String,
        /// The requirement that it breaks.
        rule: &'static str,
        /// How.
        detail: String,
    },
    /// A JSON document that is not a SPIFFE bundle.
    #[error("not a SPIFFE bundle: {0}")]
    Document(String),
    /// One bundle of a map.
    #[error("the bundle of trust domain `{0}` is refused")]
    Of(TrustDomain, #[source] Box<Self>),
    /// A document with a lower number than one that was seen before (BU-3).
    #[error("the bundle goes back from sequence {held} to {offered}; the newer one is kept (BU-3)")]
    GoesBack {
        /// The number of the bundle that is held.
        held: u64,
        /// The number of the one that came.
        offered: u64,
    },
}

impl Bundle {
    /// From the DER of each root, and the id and DER `SubjectPublicKeyInfo` of each key for JWT-SVIDs. Repeated roots
    /// count once.
    ///
    /// # Errors
    /// [`BundleError::TooManyRoots`], [`BundleError::TooManyJwtKeys`]; [`BundleError::Root`] for one that is not a
    /// certificate authority, may not sign certificates, has a SPIFFE ID with a path, a weak key, or constrains URI names;
    /// [`BundleError::JwtKey`] for one whose id is empty, too long or that of another, and for a kind of key that signs no
    /// JWT-SVIDs.
    pub fn new(
        domain: TrustDomain,
        roots: Vec<Vec<u8>>,
        jwt_keys: Vec<(String, Vec<u8>)>,
    ) -> Result<Self, BundleError> {
        if jwt_keys.len() > limits::BUNDLE_JWT_KEYS.default_usize() {
            return Err(BundleError::TooManyJwtKeys);
        }
        let mut bundle = Self::from_der(domain, roots)?;
        for (kid, spki_der) in jwt_keys {
            let key =
                Key::from_spki(&spki_der).map_err(|refusal| jwt_key_error(&kid, refusal.rule, &refusal.detail))?;
            bundle.add_jwt_key(kid, key)?;
        }
        Ok(bundle)
    }

    /// Only roots, from the DER of each.
    ///
    /// # Errors
    /// As [`Bundle::new`].
    pub fn from_der(domain: TrustDomain, roots: Vec<Vec<u8>>) -> Result<Self, BundleError> {
        if roots.len() > limits::BUNDLE_ROOTS.default_usize() {
            return Err(BundleError::TooManyRoots);
        }
        let mut seen = BTreeSet::new();
        let mut bundle =
            Self { domain, anchors: Vec::new(), roots: Vec::new(), jwt_keys: Vec::new(), federated: false };
        for (index, der) in roots.into_iter().enumerate() {
            if seen.insert(der.clone()) {
                bundle.add(der).map_err(|(rule, detail)| BundleError::Root { number: index + 1, rule, detail })?;
            }
        }
        Ok(bundle)
    }

    /// From concatenated PEM certificates; text around them is ignored.
    ///
    /// # Errors
    /// [`BundleError::Pem`] when a block does not decode or there is none; otherwise as [`Bundle::from_der`].
    pub fn from_pem(domain: TrustDomain, pem: &str) -> Result<Self, BundleError> {
        if pem.len() > limits::BUNDLE_BYTES.default_usize() {
            return Err(BundleError::TooLarge);
        }
        let roots = CertificateDer::pem_slice_iter(pem.as_bytes())
            .map(|block| block.map(|der| der.to_vec()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| BundleError::Pem)?;
        if roots.is_empty() { Err(BundleError::Pem) } else { Self::from_der(domain, roots) }
    }

    /// From a SPIFFE bundle document, with what stands beside the keys.
    ///
    /// # Errors
    /// As [`Document::parse`].
    pub fn from_document(domain: TrustDomain, json: &str) -> Result<Document, BundleError> {
        Document::parse(domain, json)
    }

    /// The same keys, of somebody else's trust domain: what our private extensions say in its certificates does not count.
    #[must_use]
    pub fn federated(self) -> Self {
        Self { federated: true, ..self }
    }

    /// Whether these are somebody else's keys.
    pub const fn is_federated(&self) -> bool {
        self.federated
    }

    /// Whose roots these are.
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// The DER of each root.
    pub fn roots(&self) -> impl Iterator<Item = &[u8]> {
        self.roots.iter().map(|root| root.der.as_slice())
    }

    /// Id and DER `SubjectPublicKeyInfo` of each key for JWT-SVIDs, in order.
    pub fn jwt_keys(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.jwt_keys.iter().map(|entry| (entry.kid.as_str(), entry.key.spki_der()))
    }

    /// Whether the bundle revokes everything.
    pub const fn is_empty(&self) -> bool {
        self.roots.is_empty() && self.jwt_keys.is_empty()
    }

    /// The keys that a JWT-SVID may be signed with: the one of that id (JW-4: only compared), or without one all.
    pub(crate) fn keys_for<'a>(&'a self, kid: Option<&str>) -> impl Iterator<Item = &'a Key> {
        let of = move |entry: &&JwtKey| kid.is_none_or(|kid| kid == entry.kid);
        self.jwt_keys.iter().filter(of).map(|entry| &entry.key)
    }

    /// Each key for JWT-SVIDs with its id.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&str, &Key)> {
        self.jwt_keys.iter().map(|entry| (entry.kid.as_str(), &entry.key))
    }

    pub(crate) fn add_jwt_key(&mut self, kid: String, key: Key) -> Result<(), BundleError> {
        if self.jwt_keys.len() >= limits::BUNDLE_JWT_KEYS.default_usize() {
            return Err(BundleError::TooManyJwtKeys);
        }
        if kid.is_empty() || kid.len() > limits::KEY_ID_BYTES.default_usize() {
            return Err(jwt_key_error(&kid, "JS-5", "its id is empty or too long"));
        }
        if self.jwt_keys.iter().any(|entry| entry.kid == kid) {
            return Err(jwt_key_error(&kid, "JS-5", "another key has the same id"));
        }
        if !key.algorithms().any(|algorithm| ALGORITHMS.contains(&algorithm)) {
            return Err(jwt_key_error(&kid, "JS-1", "its kind signs no JWT-SVIDs"));
        }
        self.jwt_keys.push(JwtKey { kid, key });
        Ok(())
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// Whether a root with this key and name is valid at `now` and allows that many intermediates. Anchors carry
    /// neither fact, so webpki cannot know.
    pub(crate) fn vouches(&self, anchor: &TrustAnchor<'_>, intermediates: u32, now: Timestamp) -> bool {
        self.anchors.iter().zip(&self.roots).any(|(candidate, root)| {
            candidate == anchor
                && (root.not_before.seconds()..=root.not_after.seconds()).contains(&now.seconds())
                && root.path_length.is_none_or(|most| intermediates <= most)
        })
    }

    fn add(&mut self, der: Vec<u8>) -> Result<(), signer::Flaw> {
        let certificate = Certificate::read(&der).map_err(|refusal| (refusal.rule, refusal.detail))?;
        signer::check(&certificate)?;
        let (not_before, not_after) = verify::validity(&certificate);
        let path_length = certificate.basic.as_ref().and_then(|(_, basic)| basic.path_len_constraint);
        let anchor = webpki::anchor_from_trusted_cert(&CertificateDer::from(der.as_slice()))
            .map_err(|error| ("PV-2", format!("not usable as a trust anchor: {error:?}")))?
            .to_owned();
        self.anchors.push(anchor);
        self.roots.push(Root { der, not_before, not_after, path_length });
        Ok(())
    }
}

fn jwt_key_error(kid: &str, rule: &'static str, detail: &str) -> BundleError {
    BundleError::JwtKey { kid: kid.chars().take(80).collect(), rule, detail: detail.to_owned() }
}

/// Bundles by trust domain. They are never merged: each answers for its own domain only (BU-4).
#[derive(Clone, Debug, Default)]
pub struct BundleSet(BTreeMap<TrustDomain, Bundle>);

impl BundleSet {
    /// The bundle of exactly this trust domain.
    pub fn get(&self, domain: &TrustDomain) -> Option<&Bundle> {
        self.0.get(domain)
    }

    /// All bundles, by name of trust domain.
    pub fn iter(&self) -> impl Iterator<Item = &Bundle> {
        self.0.values()
    }
}

/// A later bundle of the same trust domain replaces an earlier one.
impl FromIterator<Bundle> for BundleSet {
    fn from_iter<I: IntoIterator<Item = Bundle>>(bundles: I) -> Self {
        Self(bundles.into_iter().map(|bundle| (bundle.domain.clone(), bundle)).collect())
    }
}
