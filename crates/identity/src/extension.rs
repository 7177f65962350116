//! The private extensions of certificates: their identifiers, and values that hold a name.
//!
//! Identifiers stand in the arc for identifiers made from a random UUID in parts of 16 and 24 bits
//! (`1.2.840.113556.1.8000.2554`). The arc `2.25` would need a 128-bit component, which common X.509 writers cannot
//! express. None of them is ever critical: peers that do not know them ignore them.

/// On whose behalf an impersonation certificate was issued, a DER `UTF8String`. Made from the UUID
/// `8ec4d702-d97e-45b6-8c3c-ebf21b13485a`.
pub const VIA_OID: &[u64] =
    &[1, 2, 840, 113_556, 1, 8000, 2554, 36_548, 55_042, 55_678, 17_846, 35_900, 15_462_939, 1_263_706];

/// For which node an SVID was issued, a DER `UTF8String` with the node's name. Made from the UUID
/// `3c7099d1-b866-4f43-964e-da1120eecc5d`.
pub const NODE_OID: &[u64] =
    &[1, 2, 840, 113_556, 1, 8000, 2554, 15_472, 39_377, 47_206, 20_291, 38_478, 14_291_232, 15_649_885];

/// Which certificates an SVID follows (docs/token-binding.md). Made from the UUID
/// `98fb4618-7834-439d-aad1-06e6c9ddb4f0`.
pub const PREDECESSORS_OID: &[u64] =
    &[1, 2, 840, 113_556, 1, 8000, 2554, 39_163, 17_944, 30_772, 17_309, 43_729, 452_297, 14_529_776];

/// The longest name, in bytes: what a DER length of one byte can say.
const MAX_BYTES: usize = 127;

const UTF8_STRING: u8 = 0x0c;

/// The value of the extension [`VIA_OID`] for an operator's name; `None` for a name that is empty, longer than 127 bytes
/// or holds control characters.
pub fn via_value(operator: &str) -> Option<Vec<u8>> {
    name_value(operator)
}

/// The value of the extension [`NODE_OID`] for a node's name; `None` as for [`via_value`].
pub fn node_value(node: &str) -> Option<Vec<u8>> {
    name_value(node)
}

fn name_value(name: &str) -> Option<Vec<u8>> {
    let length = u8::try_from(name.len()).ok().filter(|length| usize::from(*length) <= MAX_BYTES)?;
    is_name(name).then(|| [&[UTF8_STRING, length], name.as_bytes()].concat())
}

/// Reads a name back.
pub(crate) fn read_name(value: &[u8]) -> Option<&str> {
    let (header, text) = value.split_first_chunk::<2>()?;
    let fits = *header == [UTF8_STRING, u8::try_from(text.len()).ok()?] && text.len() <= MAX_BYTES;
    core::str::from_utf8(text).ok().filter(|name| fits && is_name(name))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives() {
        assert_eq!(read_name(&via_value("ada").unwrap()), Some("ada"));
        assert_eq!(read_name(&node_value(&"a".repeat(127)).unwrap()), Some("a".repeat(127).as_str()));
    }

    #[test]
    fn what_is_no_name_is_refused_both_ways() {
        for bad in ["", "a\nb", &"a".repeat(128)] {
            assert_eq!(via_value(bad), None);
            assert_eq!(node_value(bad), None);
        }
        for bad in [&b""[..], b"\x0c", b"\x0c\x00", b"\x0c\x02a", b"\x0c\x01ab", b"\x13\x01a", b"\x0c\x01\xff"] {
            assert_eq!(read_name(bad), None, "{bad:?}");
        }
    }
}
