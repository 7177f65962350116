//! The extension that names the certificates which a renewed one follows (docs/token-binding.md, RFC 8705).

use core::fmt::Write as _;

use jose::der::{self, OCTET_STRING, Reader, SEQUENCE};
use types::{Timestamp, limits};

/// A serial number has at most 20 bytes (RFC 5280 4.1.2.2).
const SERIAL_BYTES: usize = 20;

/// An earlier certificate of the same attested instance. A token that is bound to it is good until that moment, while
/// nothing in here is revoked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Predecessor {
    /// SHA-256 of its DER: what `cnf.x5t#S256` of a token holds.
    pub certificate_sha256: [u8; 32],
    /// SHA-256 of its public key's DER `SubjectPublicKeyInfo`.
    pub key_sha256: [u8; 32],
    /// Its serial number as [`crate::VerifiedPeer::serial`] writes it.
    pub serial: String,
    /// The last moment at which a token bound to it counts; the whole second counts.
    pub until: Timestamp,
}

/// The value of the extension [`crate::PREDECESSORS_OID`], which every certificate holder can read; `None` without any,
/// for more than the limit `predecessors`, and for a serial number that is not 1 to 20 bytes of lower-case hexadecimal
/// without zeros in front.
pub fn predecessors_value(predecessors: &[Predecessor]) -> Option<Vec<u8>> {
    if predecessors.is_empty() || predecessors.len() > limits::PREDECESSORS.default_usize() {
        return None;
    }
    let entries = predecessors.iter().map(entry).collect::<Option<Vec<_>>>()?;
    der::value(SEQUENCE, &[&entries.concat()])
}

fn entry(predecessor: &Predecessor) -> Option<Vec<u8>> {
    let serial = read_hex(&predecessor.serial)?;
    let parts = [
        der::value(OCTET_STRING, &[&predecessor.certificate_sha256])?,
        der::value(OCTET_STRING, &[&predecessor.key_sha256])?,
        der::unsigned(&serial)?,
        der::unsigned(&predecessor.until.seconds().to_be_bytes())?,
    ];
    der::value(SEQUENCE, &[&parts.concat()])
}

/// Reads the value back.
pub(crate) fn read_predecessors(value: &[u8]) -> Option<Vec<Predecessor>> {
    let mut whole = Reader::new(value);
    let mut entries = Reader::new(whole.take(SEQUENCE)?);
    let mut predecessors = Vec::new();
    while !entries.is_empty() {
        if predecessors.len() == limits::PREDECESSORS.default_usize() {
            return None;
        }
        predecessors.push(read_entry(entries.take(SEQUENCE)?)?);
    }
    (whole.is_empty() && !predecessors.is_empty()).then_some(predecessors)
}

fn read_entry(content: &[u8]) -> Option<Predecessor> {
    let mut parts = Reader::new(content);
    let certificate_sha256 = parts.take(OCTET_STRING)?.try_into().ok()?;
    let key_sha256 = parts.take(OCTET_STRING)?.try_into().ok()?;
    let serial = parts.take_unsigned().filter(|serial| (1..=SERIAL_BYTES).contains(&serial.len()))?;
    let seconds = parts.take_unsigned()?;
    let mut until = [0; 8];
    until.get_mut(8_usize.checked_sub(seconds.len())?..)?.copy_from_slice(seconds);
    let until = Timestamp::from_seconds(u64::from_be_bytes(until));
    parts.is_empty().then(|| Predecessor { certificate_sha256, key_sha256, serial: hex(serial), until })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of a serial number; only the one way to write it.
fn read_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2).map(|pair| {
        let pair = core::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    let bytes = digits.collect::<Option<Vec<u8>>>()?;
    let fits = (1..=SERIAL_BYTES).contains(&bytes.len()) && bytes.first() != Some(&0);
    (fits && hex(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
#[path = "predecessor_tests.rs"]
mod tests;
