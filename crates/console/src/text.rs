//! Text from outside on a page: escaped for HTML, and characters that would steer the display made visible.
//!
//! Hosts, SPIFFE IDs, notes, subjects and reasons are not ours. Askama sends every `{{ … }}` through [`Html`]
//! (askama.toml), and no template says `safe`, so that there is one place to get this right.

use std::fmt::{self, Write};

use askama::filters::Escaper;

/// The escaper of all pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Html;

impl Escaper for Html {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.write_escaped_char(&mut dest, c))
    }

    fn write_escaped_char<W: Write>(&self, mut dest: W, c: char) -> fmt::Result {
        match c {
            '<' => dest.write_str("&#60;"),
            '>' => dest.write_str("&#62;"),
            '&' => dest.write_str("&#38;"),
            '"' => dest.write_str("&#34;"),
            '\'' => dest.write_str("&#39;"),
            _ if is_steering(c) => write!(dest, "\u{27e8}U+{:04X}\u{27e9}", u32::from(c)),
            _ => dest.write_char(c),
        }
    }
}

/// Controls other than line ends and tabs, characters without width, and those that reorder what is shown
/// (Unicode Standard Annex 9; the "Trojan Source" report lists them).
fn is_steering(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{feff}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => true,
        '\u{e0000}'..='\u{e007f}' => true,
        _ => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        Html.write_escaped_str(&mut out, text).unwrap();
        out
    }

    #[test]
    fn markup_is_text() {
        assert_eq!(escaped("<b title='\"'>&"), "&#60;b title=&#39;&#34;&#39;&#62;&#38;");
        assert_eq!(escaped("Zürich → 東京\n\tx"), "Zürich → 東京\n\tx");
    }

    #[test]
    fn what_steers_the_display_is_shown() {
        assert_eq!(escaped("a\u{1b}[2J\u{202e}b\u{200b}\r"), "a⟨U+001B⟩[2J⟨U+202E⟩b⟨U+200B⟩⟨U+000D⟩");
        for c in ['\0', '\u{7f}', '\u{85}', '\u{2066}', '\u{2069}', '\u{feff}', '\u{e0041}'] {
            assert!(!escaped(&c.to_string()).contains(c), "{c:?}");
        }
    }

    /// A page could still be broken by a template that asks for raw text, or by an attribute without quotes.
    #[test]
    fn no_template_asks_for_raw_text_or_leaves_an_attribute_open() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() > 10);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for bad in ["safe", "={{", "= {{", "escape(", " style=", " onclick", "<style", "javascript:"] {
                let found = text.lines().find(|line| line.contains(bad) && !line.contains("{#"));
                assert!(found.is_none(), "{}: `{bad}` in `{}`", file.display(), found.unwrap_or_default());
            }
        }
    }
}
