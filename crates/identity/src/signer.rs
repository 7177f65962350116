//! What a signing certificate must be, root or intermediate (XS-3, XS-5, PV-6).

use types::SpiffeId;

use crate::certificate::Certificate;
use crate::key;

/// The rule that a certificate breaks as a signer, and how.
pub(crate) type Flaw = (&'static str, String);

type Rule = fn(&Certificate<'_>) -> Result<(), Flaw>;

/// What a signer must be, in the order in which a verification looks.
const RULES: [Rule; 11] = [
    is_authority,
    says_so_critically,
    has_a_name,
    has_key_usage,
    signs_certificates,
    is_understood,
    constrains_no_uris,
    constrains_names_well,
    constrains_no_policies,
    check_id,
    has_strong_key,
];

/// The first rule that a signer breaks.
pub(crate) fn check(signer: &Certificate<'_>) -> Result<(), Flaw> {
    RULES.iter().try_for_each(|rule| rule(signer))
}

/// Every rule that a signer breaks.
pub(crate) fn flaws(signer: &Certificate<'_>) -> impl Iterator<Item = Flaw> {
    RULES.iter().filter_map(|rule| rule(signer).err())
}

fn is_authority(signer: &Certificate<'_>) -> Result<(), Flaw> {
    let is_authority = signer.basic.as_ref().is_some_and(|(_, basic)| basic.ca);
    unless(!is_authority, "XS-5", "a signing certificate is not marked as a certificate authority")
}

/// RFC 5280 4.2.1.9: readers that skip what is not critical would not see what it may sign.
fn says_so_critically(signer: &Certificate<'_>) -> Result<(), Flaw> {
    let is_critical = signer.basic.as_ref().is_some_and(|(critical, _)| *critical);
    unless(!is_critical, "PV-1", "the basic constraints of a signing certificate are not critical")
}

/// RFC 5280 4.1.2.6: certificates are chained by the names of their signers.
fn has_a_name(signer: &Certificate<'_>) -> Result<(), Flaw> {
    unless(signer.subject_is_empty(), "PV-1", "the subject of a signing certificate is empty")
}

/// A signer without a SPIFFE ID is no SVID; RFC 5280 4.2.1.3 only recommends that key usage be critical there.
fn has_key_usage(signer: &Certificate<'_>) -> Result<(), Flaw> {
    unless(signer.key_usage.is_none(), "XS-3", "a signing certificate lacks the key usage extension")?;
    let is_critical = signer.key_usage.as_ref().is_some_and(|(critical, _)| *critical);
    let must_be = !signer.names.uris.is_empty();
    unless(must_be && !is_critical, "XS-3", "the key usage extension of a signing SVID is not critical")
}

fn signs_certificates(signer: &Certificate<'_>) -> Result<(), Flaw> {
    let signs = signer.key_usage.as_ref().is_some_and(|(_, usage)| usage.key_cert_sign());
    unless(!signs, "XS-5", "the key usage of a signing certificate lacks keyCertSign")
}

/// A trust anchor is only a key and a name to path validation; for roots nobody else would look.
fn is_understood(signer: &Certificate<'_>) -> Result<(), Flaw> {
    unless(signer.unknown_critical, "PV-1", "a signing certificate holds a critical extension that is not known")
}

/// Path validation would refuse every chain under it (RUSTSEC-2026-0098), which is better said when the root is loaded.
fn constrains_no_uris(signer: &Certificate<'_>) -> Result<(), Flaw> {
    let detail = "a signing certificate constrains URI names, which cannot be checked; reissue it without";
    unless(signer.constraints.as_ref().is_some_and(|constraints| constraints.uris), "PV-1", detail)
}

/// RFC 5280 4.2.1.10: readers that skip what is not critical would trust more than we do.
fn constrains_names_well(signer: &Certificate<'_>) -> Result<(), Flaw> {
    let Some(constraints) = &signer.constraints else { return Ok(()) };
    unless(!constraints.critical, "PV-1", "the name constraints of a signing certificate are not critical")?;
    let detail = "a signing certificate constrains DNS names by one that starts with a dot; leave the dot out";
    unless(constraints.dotted, "PV-1", detail)
}

/// RFC 5280 4.2.1.11: they are critical, and then nothing here understands them.
fn constrains_no_policies(signer: &Certificate<'_>) -> Result<(), Flaw> {
    unless(signer.constrains_policies, "PV-1", "a signing certificate constrains policies, which nothing here checks")
}

fn has_strong_key(signer: &Certificate<'_>) -> Result<(), Flaw> {
    key::check_parsed(signer.x509.public_key()).map_err(|error| ("PV-6", error.to_string()))
}

fn unless(broken: bool, rule: &'static str, detail: &str) -> Result<(), Flaw> {
    if broken { Err((rule, detail.to_owned())) } else { Ok(()) }
}

/// XS-1 and XS-5: a signer may have one SPIFFE ID, which names a trust domain and nothing in it.
fn check_id(signer: &Certificate<'_>) -> Result<(), Flaw> {
    match signer.names.uris.as_slice() {
        [] => Ok(()),
        [uri] => match SpiffeId::parse(uri) {
            Ok(id) if id.path().is_empty() => Ok(()),
            Ok(_) => Err(("XS-5", "the SPIFFE ID of a signing certificate has a path".to_owned())),
            Err(error) => Err(("XS-5", format!("the URI name of a signing certificate is not a SPIFFE ID: {error}"))),
        },
        _ => Err(("XS-1", "a signing certificate holds several URI names".to_owned())),
    }
}
