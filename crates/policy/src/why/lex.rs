//! The words of a policy, each with its place: enough of Cedar's grammar to find where a clause begins and ends. What a
//! clause means is asked of Cedar.

use core::ops::Range;

/// What a word is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A name or a number.
    Name,
    /// A string, its quotes included.
    Text,
    /// A sign of one or two bytes, such as `&&`.
    Sign,
}

/// One word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Word<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    pub(super) at: Range<usize>,
}

impl Word<'_> {
    /// Whether it is this sign.
    pub(super) fn is(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }

    /// Whether it is this name.
    pub(super) fn names(&self, name: &str) -> bool {
        self.kind == Kind::Name && self.text == name
    }

    /// How it changes the depth of brackets.
    pub(super) fn nesting(&self) -> isize {
        match (self.kind, self.text) {
            (Kind::Sign, "(" | "[" | "{") => 1,
            (Kind::Sign, ")" | "]" | "}") => -1,
            _ => 0,
        }
    }
}

/// Signs of two bytes.
const PAIRS: [&str; 7] = ["&&", "||", "==", "!=", "<=", ">=", "::"];

/// The words of a text, comments and space left out.
pub(super) fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (kind, length) = next(rest);
        if let (Some(kind), Some(word)) = (kind, rest.get(..length)) {
            words.push(Word { kind, text: word, at: at..at + length });
        }
        at += length;
    }
    words
}

/// The kind and length of the first word of a text that is not empty; no kind for what is passed over.
fn next(rest: &str) -> (Option<Kind>, usize) {
    let first = rest.chars().next().unwrap_or_default();
    let run = |fits: fn(char) -> bool| rest.find(|c| !fits(c)).unwrap_or(rest.len());
    if first.is_whitespace() {
        (None, run(char::is_whitespace))
    } else if rest.starts_with("//") {
        (None, run(|c| c != '\n' && c != '\r'))
    } else if first == '"' {
        (Some(Kind::Text), string(rest))
    } else if first.is_alphanumeric() || first == '_' {
        (Some(Kind::Name), run(|c| c.is_alphanumeric() || c == '_'))
    } else if PAIRS.iter().any(|pair| rest.starts_with(pair)) {
        (Some(Kind::Sign), 2)
    } else {
        (Some(Kind::Sign), first.len_utf8())
    }
}

/// The length of a string with its quotes; all of the rest where it does not end.
fn string(rest: &str) -> usize {
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(rest.len(), |(at, _)| at + 1)
}

/// Words as one line: one space where there was any space, line break or comment.
pub(super) fn line(words: &[Word<'_>]) -> String {
    let mut line = String::new();
    let mut end = None;
    for word in words {
        if end.is_some_and(|end| end < word.at.start) {
            line.push(' ');
        }
        line.push_str(word.text);
        end = Some(word.at.end);
    }
    line
}

/// From the first to the last of these words.
pub(super) fn place(words: &[Word<'_>]) -> Range<usize> {
    let start = words.first().map_or(0, |word| word.at.start);
    start..words.last().map_or(start, |word| word.at.end)
}

/// Splits at a sign that stands outside all brackets.
pub(super) fn split<'w, 't>(words: &'w [Word<'t>], sign: &str) -> Vec<&'w [Word<'t>]> {
    let mut depth = 0;
    let mut parts = Vec::new();
    let mut rest = words;
    let mut taken = 0;
    for word in words {
        depth += word.nesting();
        if depth == 0 && word.is(sign) {
            let (part, after) = rest.split_at_checked(taken).unwrap_or((rest, &[]));
            parts.push(part);
            rest = after.get(1..).unwrap_or_default();
            taken = 0;
        } else {
            taken += 1;
        }
    }
    parts.push(rest);
    parts
}

/// The words inside a pair of brackets that opens first, and those after it. `None` where the first word opens none or
/// the pair is not closed.
pub(super) fn bracketed<'w, 't>(words: &'w [Word<'t>]) -> Option<(&'w [Word<'t>], &'w [Word<'t>])> {
    words.first().filter(|first| first.nesting() == 1)?;
    let mut depth = 0;
    let closing = words.iter().position(|word| {
        depth += word.nesting();
        depth == 0
    })?;
    Some((words.get(1..closing)?, words.get(closing + 1..)?))
}
