//! Verification of an X.509-SVID: from a presented chain to a [`VerifiedPeer`].

use rustls_pki_types::CertificateDer;
use types::{Reason, SpiffeId, Timestamp, limits};
use webpki::KeyUsage;

use crate::bundle::{Bundle, BundleSet};
use crate::certificate::{Certificate, malformed};
use crate::peer::{Facts, VerifiedPeer};
use crate::refusal::SvidRefusal;
use crate::sign::sha256;
use crate::{leaf, path, signer};

/// Verifies a peer's chain, leaf first, at the moment `now`.
///
/// The roots are those of the trust domain that the leaf names, chosen before any signature is looked at, so that the
/// authority of one domain can never vouch for another (XS-6). Names are not matched: who may call whom is policy.
///
/// # Errors
/// [`SvidRefusal`] with the first rule that the chain breaks: the leaf's names (XS-1, ID, PV-7), its shape (XS-2 to
/// XS-4, PV-6), the bundle (XS-6), validity, then the path (PV-1, XS-5).
pub fn verify(chain: &[CertificateDer<'_>], bundles: &BundleSet, now: Timestamp) -> Result<VerifiedPeer, SvidRefusal> {
    let (leaf, intermediates) = read(chain)?;
    let id = leaf::spiffe_id(&leaf)?;
    check(&leaf, &id, intermediates, bundles, now).map_err(|refusal| refusal.claiming(&id))?;
    let federated = bundles.get(id.trust_domain()).is_none_or(Bundle::is_federated);
    Ok(VerifiedPeer::new(facts(leaf, id, federated)))
}

/// Every rule that a chain breaks, by the code of [`verify`]: what it refuses for comes first, and nothing is listed
/// exactly when it accepts. For people; it takes longer.
pub fn examine(chain: &[CertificateDer<'_>], bundles: &BundleSet, now: Timestamp) -> Vec<SvidRefusal> {
    let (leaf, intermediates) = match read(chain) {
        Ok(parts) => parts,
        Err(refusal) => return vec![refusal],
    };
    let shape = leaf::SHAPE.iter().filter_map(|rule| rule(&leaf).err());
    let id = match leaf::spiffe_id(&leaf) {
        Ok(id) => id,
        Err(refusal) => return [refusal].into_iter().chain(shape).chain(check_validity(&leaf, now).err()).collect(),
    };
    let bundle = roots_for(&id, bundles);
    let path = bundle.as_ref().map(|bundle| examine_path(&leaf, intermediates, bundle, now)).unwrap_or_default();
    let found = shape
        .chain(leaf::names_somebody(&id).err())
        .chain(bundle.err())
        .chain(check_validity(&leaf, now).err())
        .chain(path);
    found.map(|refusal| refusal.claiming(&id)).collect()
}

/// The leaf, parsed, and the rest of the chain, none of it too large.
fn read<'a, 'b>(chain: &'a [CertificateDer<'b>]) -> Result<(Certificate<'a>, &'a [CertificateDer<'b>]), SvidRefusal> {
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Err(SvidRefusal::new(Reason::IdentityMissing, "PV-5", "no certificate was presented"));
    };
    check_size(chain)?;
    Ok((Certificate::read(leaf)?, intermediates))
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
    intermediates: &[CertificateDer<'_>],
    bundles: &BundleSet,
    now: Timestamp,
) -> Result<(), SvidRefusal> {
    leaf::SHAPE.iter().try_for_each(|rule| rule(leaf))?;
    leaf::names_somebody(id)?;
    let bundle = roots_for(id, bundles)?;
    check_validity(leaf, now)?;
    check_path(leaf, intermediates, bundle, now)
}

/// XS-3 has made sure that the leaf is for both sides of a connection; an intermediate that names purposes must name
/// this one.
fn check_path(
    leaf: &Certificate<'_>,
    intermediates: &[CertificateDer<'_>],
    bundle: &Bundle,
    now: Timestamp,
) -> Result<(), SvidRefusal> {
    path::validate(&CertificateDer::from(leaf.der), intermediates, bundle, now, KeyUsage::client_auth())
}

/// What is wrong with the path, and with each signer on the way. A leaf that is not valid now is judged as of the
/// nearest moment at which it is, because path validation says nothing else about it.
fn examine_path(
    leaf: &Certificate<'_>,
    intermediates: &[CertificateDer<'_>],
    bundle: &Bundle,
    now: Timestamp,
) -> Vec<SvidRefusal> {
    let (not_before, not_after) = validity(leaf);
    let Err(first) = check_path(leaf, intermediates, bundle, now.min(not_after).max(not_before)) else {
        return Vec::new();
    };
    let mut found = vec![first];
    for der in intermediates {
        let flaws: Vec<SvidRefusal> = match Certificate::read(der) {
            Ok(signer) => signer::flaws(&signer).map(|(rule, detail)| path::untrusted(rule, detail)).collect(),
            Err(refusal) => vec![refusal],
        };
        let unsaid = flaws.into_iter().filter(|flaw| !found.contains(flaw)).collect::<Vec<_>>();
        found.extend(unsaid);
    }
    found
}

/// XS-6: before validation, and never more than one trust domain's.
fn roots_for<'a>(id: &SpiffeId, bundles: &'a BundleSet) -> Result<&'a Bundle, SvidRefusal> {
    let domain = id.trust_domain();
    let missing = |detail| SvidRefusal::new(Reason::IdentityNoBundle, "XS-6", detail);
    let bundle =
        bundles.get(domain).ok_or_else(|| missing(format!("no bundle is held for trust domain `{domain}`")))?;
    if bundle.roots().next().is_none() {
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

/// What our own extensions say counts in our own certificates only: another organisation's issuer may write anything.
fn facts(leaf: Certificate<'_>, spiffe_id: SpiffeId, federated: bool) -> Facts {
    let (not_before, not_after) = validity(&leaf);
    let ours = |text: Option<&str>| text.filter(|_| !federated).map(str::to_owned);
    Facts {
        spiffe_id,
        serial: serial(leaf.x509.raw_serial()),
        sha256: sha256(leaf.der),
        key_sha256: sha256(leaf.x509.public_key().raw),
        not_before,
        not_after,
        via: ours(leaf.via),
        node: ours(leaf.node),
        predecessors: if federated { Vec::new() } else { leaf.predecessors },
        dns: leaf.names.dns.iter().map(|name| (*name).into()).collect(),
    }
}

/// Lower-case hexadecimal without the zero byte that DER puts before a high bit.
fn serial(der: &[u8]) -> String {
    let start = der.iter().position(|byte| *byte != 0).unwrap_or(der.len().saturating_sub(1));
    der.iter().skip(start).map(|byte| format!("{byte:02x}")).collect()
}
