//! Verification of an X.509-SVID: from a presented chain to a [`VerifiedPeer`].

use rustls_pki_types::CertificateDer;
use types::{Reason, SpiffeId, Timestamp, limits};
use webpki::KeyUsage;

use crate::bundle::{Bundle, BundleSet};
use crate::certificate::{Certificate, malformed};
use crate::peer::{Facts, VerifiedPeer};
use crate::refusal::SvidRefusal;
use crate::sign::sha256;
use crate::{leaf, path};

/// Verifies a peer's chain, leaf first, at the moment `now`.
///
/// The roots are those of the trust domain that the leaf names, chosen before any signature is looked at, so that the
/// authority of one domain can never vouch for another (XS-6). Names are not matched: who may call whom is policy.
///
/// # Errors
/// [`SvidRefusal`] with the first rule that the chain breaks: the leaf's names (XS-1, ID, PV-7), its shape (XS-2 to
/// XS-4, PV-6), the bundle (XS-6), validity, then the path (PV-1, XS-5).
pub fn verify(chain: &[CertificateDer<'_>], bundles: &BundleSet, now: Timestamp) -> Result<VerifiedPeer, SvidRefusal> {
    let Some((leaf_der, intermediates)) = chain.split_first() else {
        return Err(SvidRefusal::new(Reason::IdentityMissing, "PV-5", "no certificate was presented"));
    };
    check_size(chain)?;
    let leaf = Certificate::read(leaf_der)?;
    let id = leaf::spiffe_id(&leaf)?;
    check(&leaf, &id, leaf_der, intermediates, bundles, now).map_err(|refusal| refusal.claiming(&id))?;
    Ok(VerifiedPeer::new(facts(&leaf, id)))
}

pub(crate) fn check_size(chain: &[CertificateDer<'_>]) -> Result<(), SvidRefusal> {
    if chain.len() > limits::CHAIN_CERTIFICATES.default_usize() {
        return Err(malformed(format!("a chain of {} certificates is too long", chain.len())));
    }
    match chain.iter().find(|der| der.len() > limits::CERTIFICATE_BYTES.default_usize()) {
        Some(der) => Err(malformed(format!("a certificate of {} bytes is too large", der.len()))),
        None => Ok(()),
    }
}

fn check(
    leaf: &Certificate<'_>,
    id: &SpiffeId,
    leaf_der: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    bundles: &BundleSet,
    now: Timestamp,
) -> Result<(), SvidRefusal> {
    leaf::check_shape(leaf, id)?;
    let bundle = roots_for(id, bundles)?;
    check_validity(leaf, now)?;
    // XS-3 has made sure that the leaf is for both sides of a connection; an intermediate that names purposes must
    // name this one.
    path::validate(leaf_der, intermediates, bundle, now, KeyUsage::client_auth())
}

/// XS-6: before validation, and never more than one trust domain's.
fn roots_for<'a>(id: &SpiffeId, bundles: &'a BundleSet) -> Result<&'a Bundle, SvidRefusal> {
    let domain = id.trust_domain();
    let missing = |detail| SvidRefusal::new(Reason::IdentityNoBundle, "XS-6", detail);
    let bundle =
        bundles.get(domain).ok_or_else(|| missing(format!("no bundle is held for trust domain `{domain}`")))?;
    if bundle.is_empty() {
        // BU-2: an empty bundle revokes everything of its domain.
        return Err(missing(format!("the bundle of trust domain `{domain}` holds no roots")));
    }
    Ok(bundle)
}

/// PV-1: both ends of the validity count.
fn check_validity(leaf: &Certificate<'_>, now: Timestamp) -> Result<(), SvidRefusal> {
    let (not_before, not_after) = validity(leaf);
    let expired = |detail| Err(SvidRefusal::new(Reason::IdentityExpired, "PV-1", detail));
    if now.seconds() < not_before.seconds() {
        return expired(format!("not valid before {not_before}"));
    }
    if now.seconds() > not_after.seconds() {
        return expired(format!("expired at {not_after}"));
    }
    Ok(())
}

/// First and last moment of validity; what lies before 1970 counts as 1970.
pub(crate) fn validity(certificate: &Certificate<'_>) -> (Timestamp, Timestamp) {
    let validity = certificate.x509.validity();
    let moment = |seconds: i64| Timestamp::from_seconds(u64::try_from(seconds).unwrap_or(0));
    (moment(validity.not_before.timestamp()), moment(validity.not_after.timestamp()))
}

fn facts(leaf: &Certificate<'_>, spiffe_id: SpiffeId) -> Facts {
    let (not_before, not_after) = validity(leaf);
    Facts {
        spiffe_id,
        serial: serial(leaf.x509.raw_serial()),
        sha256: sha256(leaf.der),
        key_sha256: sha256(leaf.x509.public_key().raw),
        not_before,
        not_after,
        via: leaf.via.map(str::to_owned),
        dns: leaf.names.dns.iter().map(|name| (*name).into()).collect(),
    }
}

/// Lower-case hexadecimal without the zero byte that DER puts before a high bit.
fn serial(der: &[u8]) -> String {
    let start = der.iter().position(|byte| *byte != 0).unwrap_or(der.len().saturating_sub(1));
    der.iter().skip(start).map(|byte| format!("{byte:02x}")).collect()
}
