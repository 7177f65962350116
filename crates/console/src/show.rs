//! Moments, amounts and addresses as pages show them.

use std::fmt;

use types::{DecisionId, Timestamp};

/// A moment for a `<time>` element: UTC without scripts, the reader's zone with them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct When {
    /// RFC 3339, for machines.
    pub iso: String,
    /// What is shown.
    pub text: String,
    /// How a script shows it: `clock`, `minute` or `full`.
    pub form: &'static str,
}

impl When {
    /// `09:14:02.131`.
    pub fn clock(at: Timestamp) -> Self {
        Self::of(at, "clock", |iso| part(iso, 11, 23))
    }

    /// `09:14`.
    pub fn minute(at: Timestamp) -> Self {
        Self::of(at, "minute", |iso| part(iso, 11, 16))
    }

    /// `2026-11-23 09:14:02`.
    pub fn full(at: Timestamp) -> Self {
        Self::of(at, "full", |iso| format!("{} {}", part(iso, 0, 10), part(iso, 11, 19)))
    }

    fn of(at: Timestamp, form: &'static str, text: impl Fn(&str) -> String) -> Self {
        let iso = at.to_string();
        Self { text: text(&iso), iso, form }
    }
}

fn part(iso: &str, from: usize, to: usize) -> String {
    iso.get(from..to).unwrap_or(iso).to_owned()
}

/// How long ago, or how long still, roughly: `just now`, `40 s`, `12 min`, `3 h`, `5 days`.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `3.1 ms`, `840 µs`, `12.4 s`.
pub(crate) fn duration(micros: u64) -> String {
    let tenths = |whole: u64, unit: &str| format!("{}.{} {unit}", whole / 10, whole % 10);
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => tenths(micros / 100, "ms"),
        _ => tenths(micros / 100_000, "s"),
    }
}

/// `340 B`, `12 KiB`, `3.9 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    while size >= 1024 * 1024 {
        let Some(next) = units.next() else { break };
        (size, unit) = (size / 1024, next);
    }
    match size / 1024 {
        whole @ 0..10 => format!("{whole}.{} {unit}", size % 1024 * 10 / 1024),
        whole => format!("{} {unit}", grouped(whole)),
    }
}

/// A number with commas between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 call`, `1,204 calls`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// A length as a count.
pub(crate) fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The first digits of a revision, as listings print it.
pub(crate) fn short_revision(revision: &str) -> String {
    revision.chars().take(7).collect()
}

/// `0197a1f2…c4d1e2`: the beginning is the time, the end tells neighbours apart. `explain` takes this form too.
pub(crate) fn short_decision(id: &DecisionId) -> String {
    let digits = id.to_string().replace('-', "");
    let head: String = digits.chars().take(8).collect();
    let tail: String = digits.chars().skip(26).collect();
    format!("{head}…{tail}")
}

/// Text cut to a width in characters, with `…` where something is missing.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(width.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// A path with a query whose values are percent-encoded; pairs with an empty value are left out.
pub(crate) fn link(path: &str, query: &[(&str, &str)]) -> String {
    let mut out = path.to_owned();
    let mut mark = '?';
    for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        out.push(mark);
        out.push_str(name);
        out.push('=');
        out.push_str(&Segment(value).to_string());
        mark = '&';
    }
    out
}

/// A part of a path: percent-encoded but for RFC 3986 unreserved characters.
pub(crate) struct Segment<'a>(pub &'a str);

impl fmt::Display for Segment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_three_forms() {
        let at = Timestamp::from_micros(1_795_425_242_131_004);
        assert_eq!(When::clock(at).text, "09:14:02.131");
        assert_eq!(When::minute(at).text, "09:14");
        assert_eq!(When::full(at).text, "2026-11-23 09:14:02");
        assert_eq!(When::full(at).iso, "2026-11-23T09:14:02.131004Z");
    }

    #[test]
    fn amounts_carry_their_unit() {
        assert_eq!([span(5), span(125), span(7200), span(432_000)], ["5 s", "2 min", "2 h", "5 days"]);
        assert_eq!([duration(840), duration(3_149), duration(12_449_000)], ["840 µs", "3.1 ms", "12.4 s"]);
        assert_eq!([bytes(0), bytes(1023), bytes(1536)], ["0 B", "1023 B", "1.5 KiB"]);
        assert_eq!([bytes(12 << 20), bytes((39 << 30) / 10), bytes(u64::MAX)], ["12 MiB", "3.8 GiB", "16,777,215 TiB"]);
        assert_eq!([bytes(640), bytes(3_355_443), bytes(4 << 30)], ["640 B", "3.1 MiB", "4.0 GiB"]);
        assert_eq!(count(1, "call", "calls"), "1 call");
        assert_eq!(count(1_204, "call", "calls"), "1,204 calls");
    }

    #[test]
    fn links_encode_what_they_carry() {
        assert_eq!(link("/decisions", &[("caller", "a/b&c=<"), ("outcome", "")]), "/decisions?caller=a%2Fb%26c%3D%3C");
        assert_eq!(link("/map", &[]), "/map");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(cut("finance/payments", 9), "finance/…");
        assert_eq!(cut("ü", 1), "ü");
    }
}
