//! One JSON object a line, which no terminal can be steered with.
//!
//! The value is what was asked for, to the character; what a terminal would obey or not show is written as an escape.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use super::is_steering;

/// Writes one line.
///
/// # Errors
/// The writer's.
pub fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, Harmless(CompactFormatter)))?;
    out.write_all(b"\n")
}

/// Writes one line for each value.
///
/// # Errors
/// The writer's.
pub fn lines<'a, T: Serialize + 'a>(out: &mut impl Write, values: impl IntoIterator<Item = &'a T>) -> io::Result<()> {
    values.into_iter().try_for_each(|value| line(out, value))
}

/// Compact JSON whose strings hold no steering character. `serde_json` escapes those below U+0020 itself.
struct Harmless(CompactFormatter);

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut plain = fragment;
        while let Some((at, c)) = plain.char_indices().find(|(_, c)| is_steering(*c)) {
            let (before, rest) = plain.split_at_checked(at).unwrap_or((plain, ""));
            self.0.write_string_fragment(out, before)?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            plain = rest.split_at_checked(c.len_utf8()).map_or("", |(_, rest)| rest);
        }
        self.0.write_string_fragment(out, plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_the_same_and_nothing_steers() {
        let hostile = "a\u{1b}[2J\u{9b}2J\u{200b}b\u{202e}c\u{feff}\u{e0041}\\\"\t\nÄ漢👍";
        let mut out = Vec::new();
        line(&mut out, &[hostile, ""]).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("Ä漢👍\",\"\"]\n"), "{text}");
        assert!(!text.trim_end_matches('\n').chars().any(is_steering), "{text:?}");
        assert!(text.contains(r"\u009b2J\u200bb\u202ec\ufeff\udb40\udc41"), "{text}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), [hostile, ""]);
    }
}
