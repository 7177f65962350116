//! The terminal: colour where it is wanted, and text from outside made harmless.

pub mod duration;
pub mod ids;
pub mod json;
pub mod listing;
pub mod problems;
pub mod story;
pub mod table;
pub mod time;

use std::borrow::Cow;
use std::io::IsTerminal;

use crate::env::Env;

/// What a piece of text means; never the only carrier of that meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// Allowed, passed.
    Good,
    /// Refused, an error.
    Bad,
    /// A warning.
    Caution,
    /// Of less weight.
    Quiet,
    /// Of more weight.
    Strong,
}

/// Paints text, or leaves it alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Palette {
    on: bool,
}

impl Palette {
    /// For standard output: colour on a terminal that wants it.
    pub fn stdout(env: &Env) -> Self {
        Self { on: env.wants_colour() && std::io::stdout().is_terminal() }
    }

    /// For standard error.
    pub fn stderr(env: &Env) -> Self {
        Self { on: env.wants_colour() && std::io::stderr().is_terminal() }
    }

    /// Never any colour.
    #[cfg(test)]
    pub const fn plain() -> Self {
        Self { on: false }
    }

    /// Always colour.
    #[cfg(test)]
    pub const fn always() -> Self {
        Self { on: true }
    }

    /// Whether there is colour.
    pub const fn is_on(self) -> bool {
        self.on
    }

    /// The text in that tone.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.on {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Caution => "33",
            Tone::Quiet => "2",
            Tone::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Text from outside, with control characters made visible: a file name or a response must not steer the terminal.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_steering) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_steering(c) { '\u{fffd}' } else { c }).collect())
}

/// Like [`harmless`], for text of several lines.
pub fn harmless_lines(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| is_steering(c) && c != '\n') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_steering(c) && c != '\n' { '\u{fffd}' } else { c }).collect())
}

/// Control characters (C0, C1), those that reorder what is shown (bidirectional controls), and those that nobody sees
/// (zero width, fillers, tags), which make two different names look alike. General categories Cc, Cf, Zl and Zp of
/// Unicode 17, and the invisible ones among the letters.
pub fn is_steering(c: char) -> bool {
    c.is_control() && c != '\t'
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// An error with what caused it, in one line.
pub fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// `1 service`, `2 services`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// A number with commas between thousands.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_direction_marks_do_not_reach_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\u{202e}c"), "a\u{fffd}[2Jb\u{fffd}c");
        assert_eq!(harmless("Zürich\tx"), "Zürich\tx");
        for hidden in "\u{85}\u{9b}\u{ad}\u{200b}\u{200f}\u{2028}\u{2060}\u{3164}\u{feff}\u{e0041}\u{7f}".chars() {
            assert_eq!(harmless(&format!("a{hidden}b")), "a\u{fffd}b", "U+{:04X}", u32::from(hidden));
        }
        for plain in "aé漢字👍🏽́ا".chars() {
            assert!(!is_steering(plain), "U+{:04X}", u32::from(plain));
        }
        assert_eq!(harmless_lines("a\nb\r\n"), "a\nb\u{fffd}\n");
    }

    #[test]
    fn numbers_are_grouped_and_counted() {
        assert_eq!(grouped(4211), "4,211");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000_000), "1,000,000");
        assert_eq!(count(1, "policy", "policies"), "1 policy");
        assert_eq!(count(0, "policy", "policies"), "0 policies");
    }

    #[test]
    fn no_colour_means_no_escape() {
        assert_eq!(Palette::plain().paint(Tone::Bad, "DENY"), "DENY");
    }
}
