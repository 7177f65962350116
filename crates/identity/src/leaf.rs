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

fn id_rule(error: SpiffeIdError) -> &'static str {
    match error {
        SpiffeIdError::WrongScheme | SpiffeIdError::EmptyTrustDomain => "ID-1",
        SpiffeIdError::TrustDomainTooLong | SpiffeIdError::BadTrustDomainCharacter => "ID-2",
        SpiffeIdError::EmptySegment | SpiffeIdError::DotSegment | SpiffeIdError::BadPathCharacter => "ID-3",
        SpiffeIdError::TooLong => "ID-4",
    }
}

/// XS-2 to XS-4 and PV-6.
pub(crate) fn check_shape(leaf: &Certificate<'_>, id: &SpiffeId) -> Result<(), SvidRefusal> {
    if leaf.basic.as_ref().is_some_and(|basic| basic.ca) {
        return Err(shape("XS-2", "a certificate authority is presented as a workload"));
    }
    if leaf.constrains_uris.is_some() {
        // RFC 5280 4.2.1.10: only in certificates of authorities.
        return Err(shape("PV-1", "a workload's certificate holds name constraints"));
    }
    if id.path().is_empty() {
        return Err(shape("XS-2", "the SPIFFE ID of a workload needs a path"));
    }
    check_key_usage(leaf)?;
    check_purposes(leaf)?;
    if leaf.subject_is_empty() && !leaf.names.critical {
        return Err(shape("XS-4", "with an empty subject the subject alternative name must be critical"));
    }
    key::check_parsed(leaf.x509.public_key())
        .map_err(|error| SvidRefusal::new(Reason::IdentityLeafShape, "PV-6", error.to_string()))
}

fn check_key_usage(leaf: &Certificate<'_>) -> Result<(), SvidRefusal> {
    match &leaf.key_usage {
        None => Err(shape("XS-3", "the key usage extension is missing")),
        Some((false, _)) => Err(shape("XS-3", "the key usage extension is not critical")),
        Some((true, usage)) if usage.key_cert_sign() || usage.crl_sign() => {
            Err(shape("XS-2", "the key usage of a workload allows signing certificates or revocation lists"))
        }
        Some((true, usage)) if !usage.digital_signature() => Err(shape("XS-2", "the key usage lacks digitalSignature")),
        Some((true, _)) => Ok(()),
    }
}

fn check_purposes(leaf: &Certificate<'_>) -> Result<(), SvidRefusal> {
    match &leaf.purposes {
        Some(purposes) if !(purposes.server_auth && purposes.client_auth) => {
            Err(shape("XS-3", "the extended key usage must hold both serverAuth and clientAuth"))
        }
        Some(_) | None => Ok(()),
    }
}

fn shape(rule: &'static str, detail: &str) -> SvidRefusal {
    SvidRefusal::new(Reason::IdentityLeafShape, rule, detail)
}
