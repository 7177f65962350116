//! What a leaf must be before anybody looks at its signature (XS-1 to XS-4, PV-6).

use types::spiffe::SpiffeIdError;
use types::{Reason, SpiffeId};

use crate::certificate::Certificate;
use crate::key;
use crate::refusal::SvidRefusal;

/// XS-1: the SPIFFE ID is the only URI among the names, of any scheme.
pub(crate) fn spiffe_id(leaf: &Certificate<'_>) -> Result<SpiffeId, SvidRefusal> {
    let wrong = |rule, detail: String| SvidRefusal::new(Reason::IdentityUriSan, rule, detail);
    match leaf.names.uris.as_slice() {
        [] => Err(wrong("XS-1", "the certificate holds no URI name".to_owned())),
        [uri] => SpiffeId::parse(uri).map_err(|error| {
            let shown: String = uri.chars().take(160).collect();
            wrong(id_rule(error), format!("`{shown}` is not a SPIFFE ID: {error}"))
        }),
        several => Err(wrong("XS-1", format!("the certificate holds {} URI names instead of one", several.len()))),
    }
}

pub(crate) fn id_rule(error: SpiffeIdError) -> &'static str {
    match error {
        SpiffeIdError::WrongScheme | SpiffeIdError::EmptyTrustDomain => "ID-1",
        SpiffeIdError::TrustDomainTooLong | SpiffeIdError::BadTrustDomainCharacter => "ID-2",
        SpiffeIdError::EmptySegment | SpiffeIdError::DotSegment | SpiffeIdError::BadPathCharacter => "ID-3",
        SpiffeIdError::TooLong => "ID-4",
    }
}

/// Something that a leaf must be by itself.
type Rule = fn(&Certificate<'_>) -> Result<(), SvidRefusal>;

/// What a leaf must be by itself, in the order in which a verification looks: XS-2 to XS-4, PV-1, PV-6.
pub(crate) const SHAPE: [Rule; 8] = [
    is_no_authority,
    constrains_nobody,
    has_key_usage,
    signs_no_certificates,
    signs_digitally,
    is_for_both_sides,
    has_visible_name,
    has_strong_key,
];

fn is_no_authority(leaf: &Certificate<'_>) -> Result<(), SvidRefusal> {
    let is_authority = leaf.basic.as_ref().is_some_and(|(_, basic)| basic.ca);
    unless(is_authority, "XS-2", "a certificate authority is presented as a workload")
}

/// RFC 5280 4.2.1.10: only in certificates of authorities.
fn constrains_nobody(leaf: &Certificate<'_>) -> Result<(), SvidRefusal> {
    unless(leaf.constraints.is_some(), "PV-1", "a workload's certificate holds name constraints")
}

/// XS-2: a leaf names somebody in a trust domain.
pub(crate) fn names_somebody(id: &SpiffeId) -> Result<(), SvidRefusal> {
    unless(id.path().is_empty(), "XS-2", "the SPIFFE ID of a workload needs a path")
}

fn has_key_usage(leaf: &Certificate<'_>) -> Result<(), SvidRefusal> {
    unless(leaf.key_usage.is_none(), "XS-3", "the key usage extension is missing")?;
    let is_critical = leaf.key_usage.as_ref().is_some_and(|(critical, _)| *critical);
    unless(!is_critical, "XS-3", "the key usage extension is not critical")
}

fn signs_no_certificates(leaf: &Certificate<'_>) -> Result<(), SvidRefusal> {
    let signs = leaf.key_usage.as_ref().is_some_and(|(_, usage)| usage.key_cert_sign() || usage.crl_sign());
    unless(signs, "XS-2", "the key usage of a workload allows signing certificates or revocation lists")
}

fn signs_digitally(leaf: &Certificate<'_>) -> Result<(), SvidRefusal> {
    let signs = leaf.key_usage.as_ref().is_some_and(|(_, usage)| usage.digital_signature());
    unless(!signs, "XS-2", "the key usage lacks digitalSignature")
}

fn is_for_both_sides(leaf: &Certificate<'_>) -> Result<(), SvidRefusal> {
    let is_partial = leaf.purposes.as_ref().is_some_and(|purposes| !(purposes.server_auth && purposes.client_auth));
    unless(is_partial, "XS-3", "the extended key usage must hold both serverAuth and clientAuth")
}

fn has_visible_name(leaf: &Certificate<'_>) -> Result<(), SvidRefusal> {
    let is_nameless = leaf.subject_is_empty() && !leaf.names.critical;
    unless(is_nameless, "XS-4", "with an empty subject the subject alternative name must be critical")
}

fn has_strong_key(leaf: &Certificate<'_>) -> Result<(), SvidRefusal> {
    key::check_parsed(leaf.x509.public_key())
        .map_err(|error| SvidRefusal::new(Reason::IdentityLeafShape, "PV-6", error.to_string()))
}

fn unless(broken: bool, rule: &'static str, detail: &str) -> Result<(), SvidRefusal> {
    if broken { Err(SvidRefusal::new(Reason::IdentityLeafShape, rule, detail)) } else { Ok(()) }
}
