//! Trust bundles: the roots of each trust domain, apart from each other (BU-4).

use std::collections::{BTreeMap, BTreeSet};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use thiserror::Error;
use types::{Timestamp, TrustDomain, limits};

use crate::certificate::Certificate;
use crate::{jwks, signer, verify};

/// The X.509 roots of one trust domain. An empty bundle is legal: it revokes everything of its domain (BU-2).
#[derive(Clone, Debug)]
pub struct Bundle {
    domain: TrustDomain,
    /// In the order of `roots`: webpki takes a slice of anchors.
    anchors: Vec<TrustAnchor<'static>>,
    roots: Vec<Root>,
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
    /// A JSON document that is not a SPIFFE bundle.
    #[error("not a SPIFFE bundle: {0}")]
    Jwks(String),
}

impl Bundle {
    /// From the DER of each root. Repeated roots count once.
    ///
    /// # Errors
    /// [`BundleError::TooManyRoots`]; [`BundleError::Root`] for one that is not a certificate authority, may not sign
    /// certificates, has a SPIFFE ID with a path, a weak key, or constrains URI names.
    pub fn from_der(domain: TrustDomain, roots: Vec<Vec<u8>>) -> Result<Self, BundleError> {
        if roots.len() > limits::BUNDLE_ROOTS.default_usize() {
            return Err(BundleError::TooManyRoots);
        }
        let mut seen = BTreeSet::new();
        let mut bundle = Self { domain, anchors: Vec::new(), roots: Vec::new() };
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

    /// From a SPIFFE bundle document (a JWK Set). Entries of unknown kind or use are ignored (BU-1); `jwt-svid` and
    /// other keys are not kept.
    ///
    /// # Errors
    /// [`BundleError::Jwks`] for JSON that is not a bundle, repeats a member, or holds a broken entry that claims to
    /// be usable; otherwise as [`Bundle::from_der`].
    pub fn from_jwks(domain: TrustDomain, json: &str) -> Result<Self, BundleError> {
        if json.len() > limits::BUNDLE_BYTES.default_usize() {
            return Err(BundleError::TooLarge);
        }
        let roots = jwks::x509_roots(json).map_err(BundleError::Jwks)?;
        Self::from_der(domain, roots)
    }

    /// Whose roots these are.
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// The DER of each root.
    pub fn roots(&self) -> impl Iterator<Item = &[u8]> {
        self.roots.iter().map(|root| root.der.as_slice())
    }

    /// Whether the bundle revokes everything.
    pub const fn is_empty(&self) -> bool {
        self.roots.is_empty()
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
        let path_length = certificate.basic.as_ref().and_then(|basic| basic.path_len_constraint);
        let anchor = webpki::anchor_from_trusted_cert(&CertificateDer::from(der.as_slice()))
            .map_err(|error| ("PV-2", format!("not usable as a trust anchor: {error:?}")))?
            .to_owned();
        self.anchors.push(anchor);
        self.roots.push(Root { der, not_before, not_after, path_length });
        Ok(())
    }
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
