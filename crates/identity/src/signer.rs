//! What a signing certificate must be, root or intermediate (XS-3, XS-5, PV-6).

use types::SpiffeId;

use crate::certificate::Certificate;
use crate::key;

/// The rule that a certificate breaks as a signer, and how.
pub(crate) type Flaw = (&'static str, String);

/// XS-3, XS-5, PV-6. A URI name constraint is refused too: path validation would refuse every chain under it
/// (RUSTSEC-2026-0098), which is better said when the root is loaded.
pub(crate) fn check(signer: &Certificate<'_>) -> Result<(), Flaw> {
    let flaw = |rule, detail: &str| Err((rule, detail.to_owned()));
    if !signer.basic.as_ref().is_some_and(|basic| basic.ca) {
        return flaw("XS-5", "a signing certificate is not marked as a certificate authority");
    }
    match &signer.key_usage {
        None => return flaw("XS-3", "a signing certificate lacks the key usage extension"),
        // A signer without a SPIFFE ID is no SVID; RFC 5280 4.2.1.3 only recommends that it be critical there.
        Some((false, _)) if !signer.names.uris.is_empty() => {
            return flaw("XS-3", "the key usage extension of a signing SVID is not critical");
        }
        Some((_, usage)) if !usage.key_cert_sign() => {
            return flaw("XS-5", "the key usage of a signing certificate lacks keyCertSign");
        }
        Some(_) => {}
    }
    if signer.unknown_critical {
        // A trust anchor is only a key and a name to path validation; for roots nobody else would look.
        return flaw("PV-1", "a signing certificate holds a critical extension that is not known");
    }
    if signer.constrains_uris == Some(true) {
        return flaw("PV-1", "a signing certificate constrains URI names, which cannot be checked; reissue it without");
    }
    check_id(signer)?;
    key::check_parsed(signer.x509.public_key()).map_err(|error| ("PV-6", error.to_string()))
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
