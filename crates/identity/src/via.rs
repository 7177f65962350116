//! The private extension that says on whose behalf an impersonation certificate was issued.

/// The extension's object identifier: the arc for identifiers made from a random UUID in 32-bit parts
/// (`1.2.840.113556.1.8000.2554`), with `8ec4d702-d97e-45b6-8c3c-ebf21b13485a`. The arc `2.25` would need a 128-bit
/// component, which common X.509 writers cannot express. The value is a DER `UTF8String`.
pub const VIA_OID: &[u64] =
    &[1, 2, 840, 113_556, 1, 8000, 2554, 36_548, 55_042, 55_678, 17_846, 35_900, 15_462_939, 1_263_706];

/// The longest name of an operator, in bytes: what a DER length of one byte can say.
const MAX_BYTES: usize = 127;

const UTF8_STRING: u8 = 0x0c;

/// The extension's value for an operator's name; `None` for a name that is empty, longer than 127 bytes or holds
/// control characters.
pub fn via_value(operator: &str) -> Option<Vec<u8>> {
    let length = u8::try_from(operator.len()).ok().filter(|length| usize::from(*length) <= MAX_BYTES)?;
    is_name(operator).then(|| [&[UTF8_STRING, length], operator.as_bytes()].concat())
}

/// Reads the extension's value back.
pub(crate) fn read_via(value: &[u8]) -> Option<&str> {
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
        assert_eq!(read_via(&via_value("ada").unwrap()), Some("ada"));
        assert_eq!(read_via(&via_value(&"a".repeat(127)).unwrap()), Some("a".repeat(127).as_str()));
    }

    #[test]
    fn what_is_no_name_is_refused_both_ways() {
        for bad in ["", "a\nb", &"a".repeat(128)] {
            assert_eq!(via_value(bad), None);
        }
        for bad in [&b""[..], b"\x0c", b"\x0c\x00", b"\x0c\x02a", b"\x0c\x01ab", b"\x13\x01a", b"\x0c\x01\xff"] {
            assert_eq!(read_via(bad), None, "{bad:?}");
        }
    }
}
