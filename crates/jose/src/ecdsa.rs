//! ECDSA signatures: JOSE wants the two numbers side by side, everybody else writes them as ASN.1.

use crate::der::{Reader, SEQUENCE};

/// The signature as JOSE writes it (RFC 7518 3.4): r and s, each of `size` bytes (32 for P-256, 48 for P-384, 66 for
/// P-521), from the DER of `SEQUENCE { r INTEGER, s INTEGER }`. `None` when the bytes are not that, or a number is zero or
/// does not fit.
pub fn raw_ecdsa(der: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut whole = Reader::new(der);
    let mut numbers = Reader::new(whole.take(SEQUENCE)?);
    let (r, s) = (numbers.take_unsigned()?, numbers.take_unsigned()?);
    if !whole.is_empty() || !numbers.is_empty() || r.is_empty() || s.is_empty() {
        return None;
    }
    let mut raw = Vec::with_capacity(size.saturating_mul(2));
    for number in [r, s] {
        raw.resize(raw.len().saturating_add(size.checked_sub(number.len())?), 0);
        raw.extend_from_slice(number);
    }
    Some(raw)
}
