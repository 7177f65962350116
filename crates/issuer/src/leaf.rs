//! Writing leaf certificates: X.509-SVIDs by the rules XS-1 to XS-4, for any kind of public key.
//!
//! Issuance is the hot path, and what differs between two leaves is little; so the parts that do not are written once.

use api::issuance::Svid;
use core::time::Duration;
use identity::{NODE_OID, PREDECESSORS_OID, Predecessor, VIA_OID, node_value, predecessors_value, via_value};
use jose::der::{BIT_STRING, INTEGER, OCTET_STRING, SEQUENCE, unsigned, value};
use types::{Host, KeyKind, Label, SpiffeId, Timestamp, limits};

use crate::jwt::hex;
use crate::key::Signer;
use crate::protection::random;

const BOOLEAN: u8 = 0x01;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The tag of the version, the extensions, and of names (RFC 5280 4.1, 4.2.1.6).
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;
const KEY_IDENTIFIER: u8 = 0x80;

/// id-ce-authorityKeyIdentifier and id-ce-subjectAltName.
const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 0x23];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// Version 3.
const V3: &[u8] = &[2];

/// Basic constraints (critical, no authority), key usage (critical, digitalSignature), and both purposes of TLS.
const FIXED: &[u8] = &[
    0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x02, 0x30, 0x00, //
    0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04, 0x03, 0x02, 0x07, 0x80, //
    0x30, 0x1d, 0x06, 0x03, 0x55, 0x1d, 0x25, 0x04, 0x16, 0x30, 0x14, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07,
    0x03, 0x01, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02,
];

/// ecdsa-with-SHA256, ecdsa-with-SHA384 and sha256WithRSAEncryption.
const ECDSA_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_SHA384: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const RSA_SHA256: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00];

/// The longest serial number that RFC 5280 4.1.2.2 allows.
pub(crate) const SERIAL_BYTES: usize = 20;

/// What shall be signed.
pub(crate) struct Order<'a> {
    pub id: &'a SpiffeId,
    pub dns: &'a [Host],
    pub ttl: Duration,
    /// How long before the present moment it is good already, in seconds.
    pub backdated: u64,
    /// The operator on whose behalf.
    pub via: Option<&'a str>,
    /// The agent's node.
    pub node: Option<&'a Label>,
    /// The certificates that it follows.
    pub predecessors: &'a [Predecessor],
}

impl<'a> Order<'a> {
    /// One without anything beside a name.
    pub const fn new(id: &'a SpiffeId, dns: &'a [Host], ttl: Duration, backdated: u64) -> Self {
        Self { id, dns, ttl, backdated, via: None, node: None, predecessors: &[] }
    }
}

/// The parts that all leaves of one authority share.
pub(crate) struct Template {
    algorithm: &'static [u8],
    /// The authority's name, DER.
    issuer: Vec<u8>,
    authority_key: Vec<u8>,
    via: Vec<u8>,
    node: Vec<u8>,
    predecessors: Vec<u8>,
}

impl Template {
    /// For an authority with this kind of key, name (DER) and key identifier. Nothing for a name that is far too long.
    pub fn new(kind: KeyKind, issuer: &[u8], key_identifier: &[u8]) -> Option<Self> {
        let key = value(SEQUENCE, &[&value(KEY_IDENTIFIER, &[key_identifier])?])?;
        Some(Self {
            algorithm: match kind {
                KeyKind::P256 => ECDSA_SHA256,
                KeyKind::P384 => ECDSA_SHA384,
                KeyKind::Rsa2048 => RSA_SHA256,
            },
            issuer: issuer.to_vec(),
            authority_key: extension(AUTHORITY_KEY, false, &key)?,
            via: oid(VIA_OID)?,
            node: oid(NODE_OID)?,
            predecessors: oid(PREDECESSORS_OID)?,
        })
    }

    /// Writes and signs a leaf for a public key (DER `SubjectPublicKeyInfo`), good until `not_after` at the latest.
    ///
    /// # Errors
    /// Words for the operator.
    pub fn sign(
        &self,
        signer: &dyn Signer,
        order: &Order<'_>,
        spki_der: &[u8],
        now: Timestamp,
        latest: Timestamp,
    ) -> Result<Svid, String> {
        let wanted = now.seconds().saturating_add(order.ttl.as_secs());
        let not_after = Timestamp::from_seconds(wanted.min(latest.seconds()));
        if not_after.seconds() <= now.seconds() {
            return Err("it would be expired at once; check the root's validity and `svid.ttl`".to_owned());
        }
        let not_before = Timestamp::from_seconds(now.seconds().saturating_sub(order.backdated));
        let serial = serial()?;
        let extensions = self.extensions(order)?;
        let too_long = || "the domain has more hosts than fit into one certificate".to_owned();
        let body = self.body(&serial, not_before, not_after, spki_der, &extensions).ok_or_else(too_long)?;
        let signature = signer.sign(&body)?;
        let signature = value(BIT_STRING, &[&[0], &signature]).unwrap_or_default();
        let leaf = value(SEQUENCE, &[&body, self.algorithm, &signature]).ok_or_else(too_long)?;
        if leaf.len() > limits::CERTIFICATE_BYTES.default_usize() {
            return Err(too_long());
        }
        Ok(Svid { spiffe_id: order.id.clone(), chain_der: vec![leaf], not_before, not_after, serial: hex(&serial) })
    }

    /// `TBSCertificate` (RFC 5280 4.1.2).
    fn body(
        &self,
        serial: &[u8],
        not_before: Timestamp,
        not_after: Timestamp,
        spki_der: &[u8],
        extensions: &[u8],
    ) -> Option<Vec<u8>> {
        let version = value(VERSION, &[&unsigned(V3)?])?;
        let serial = value(INTEGER, &[serial])?;
        let validity = value(SEQUENCE, &[&time(not_before)?, &time(not_after)?])?;
        // The subject stays empty, which makes the names critical (XS-4).
        let subject = value(SEQUENCE, &[])?;
        let extensions = value(EXTENSIONS, &[&value(SEQUENCE, &[extensions])?])?;
        let parts: [&[u8]; 8] =
            [&version, &serial, self.algorithm, &self.issuer, &validity, &subject, spki_der, &extensions];
        value(SEQUENCE, &parts)
    }

    fn extensions(&self, order: &Order<'_>) -> Result<Vec<u8>, String> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(FIXED);
        out.extend_from_slice(&self.authority_key);
        out.extend(names(order).ok_or("the domain has more hosts than fit into one certificate")?);
        if let Some(operator) = order.via {
            let name = via_value(operator).ok_or("the operator's name cannot be written into a certificate")?;
            out.extend(extension(&self.via, false, &name).unwrap_or_default());
        }
        if let Some(node) = order.node {
            let name = node_value(node.as_str()).ok_or("the node's name cannot be written into a certificate")?;
            out.extend(extension(&self.node, false, &name).unwrap_or_default());
        }
        if !order.predecessors.is_empty() {
            let list = predecessors_value(order.predecessors)
                .ok_or("its predecessors cannot be written into a certificate")?;
            out.extend(extension(&self.predecessors, false, &list).unwrap_or_default());
        }
        Ok(out)
    }
}

/// XS-1: one URI name; the hosts of a gateway beside it.
fn names(order: &Order<'_>) -> Option<Vec<u8>> {
    let mut names = value(URI, &[order.id.as_str().as_bytes()])?;
    for host in order.dns {
        names.extend(value(DNS_NAME, &[host.as_str().as_bytes()])?);
    }
    extension(ALTERNATIVE_NAMES, true, &value(SEQUENCE, &[&names])?)
}

/// `oid` is the content of the identifier.
fn extension(oid: &[u8], critical: bool, content: &[u8]) -> Option<Vec<u8>> {
    let critical: &[u8] = if critical { &[BOOLEAN, 1, 0xff] } else { &[] };
    value(SEQUENCE, &[&value(OID, &[oid])?, critical, &value(OCTET_STRING, &[content])?])
}

/// The content of an object identifier (X.690 8.19).
fn oid(arcs: &[u64]) -> Option<Vec<u8>> {
    let [first, second, rest @ ..] = arcs else { return None };
    let mut out = Vec::new();
    for arc in core::iter::once(first.checked_mul(40)?.checked_add(*second)?).chain(rest.iter().copied()) {
        let groups = (0..10_u32).rev().map(|group| (arc >> (7 * group)) & 0x7f).collect::<Vec<_>>();
        let start = groups.iter().position(|group| *group != 0).unwrap_or(groups.len() - 1);
        let groups = groups.get(start..)?;
        for (index, group) in groups.iter().enumerate() {
            let more = if index + 1 < groups.len() { 0x80 } else { 0 };
            out.push(u8::try_from(*group).ok()? | more);
        }
    }
    Some(out)
}

/// RFC 5280 4.1.2.5: two digits for the year until 2049, four from then on; whole seconds.
fn time(at: Timestamp) -> Option<Vec<u8>> {
    let text = at.to_string();
    let digits: Vec<u8> = text.bytes().take_while(|byte| *byte != b'.').filter(u8::is_ascii_digit).collect();
    let digits: &[u8; 14] = digits.as_slice().try_into().ok()?;
    let (tag, digits) =
        if digits < b"20500000000000" { (UTC_TIME, digits.get(2..)?) } else { (GENERALIZED_TIME, &digits[..]) };
    value(tag, &[digits, b"Z"])
}

/// Positive, with 158 random bits, always of the same length.
pub(crate) fn serial() -> Result<[u8; SERIAL_BYTES], String> {
    let mut bytes = random::<SERIAL_BYTES>()?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x3f) | 0x40;
    }
    Ok(bytes)
}
