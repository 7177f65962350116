//! A Rust file as the checks see it: its code without comments and literals, and which lines are tests.

/// One Rust file. All lines are counted from 1.
pub struct Source<'a> {
    /// Relative to the root, with `/`.
    pub path: &'a str,
    /// As it stands in the file.
    pub text: &'a str,
    /// The same lines with the insides of comments, strings and characters blanked out.
    pub code: String,
    /// Whether a line, by its index from 0, belongs to tests.
    tests: Vec<bool>,
}

impl<'a> Source<'a> {
    /// Reads one file.
    pub fn read(path: &'a str, text: &'a str) -> Self {
        let code = blank(text);
        let all_tests = is_test_file(path);
        let mut tests = vec![all_tests; text.lines().count()];
        if !all_tests {
            mark_test_items(&code, &mut tests);
        }
        Self { path, text, code, tests }
    }

    /// The crate's folder name: `proxy` of `crates/proxy/src/lib.rs`, `xtask` of `xtask/src/main.rs`.
    pub fn crate_name(&self) -> &'a str {
        let mut parts = self.path.split('/');
        match parts.next() {
            Some("crates" | "tests") => parts.next().unwrap_or(""),
            Some(first) => first,
            None => "",
        }
    }

    /// Whether a tool wrote this file.
    pub fn is_generated(&self) -> bool {
        self.text.lines().take(3).any(|line| line.contains("@generated"))
    }

    /// Whether a line belongs to tests.
    pub fn is_test(&self, line: usize) -> bool {
        self.tests.get(line.wrapping_sub(1)).copied().unwrap_or(false)
    }

    /// The lines of code with their numbers, comments and literals blanked.
    pub fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Whether the line, or a comment line directly above it, says `// tidy: reason`.
    pub fn is_excused(&self, line: usize) -> bool {
        let mut above = self.text.lines().take(line).collect::<Vec<_>>().into_iter().rev();
        let excuse = |text: &str| text.split_once("// tidy: ").is_some_and(|(_, reason)| !reason.trim().is_empty());
        above.next().is_some_and(excuse) || above.take_while(|text| text.trim_start().starts_with("//")).any(excuse)
    }
}

/// Whether the whole file is tests: integration tests, `tests.rs`, `…_tests.rs`, benches, and the crate that exists for tests.
fn is_test_file(path: &str) -> bool {
    let in_folder = |folder: &str| path.starts_with(&format!("{folder}/")) || path.contains(&format!("/{folder}/"));
    path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
        || in_folder("tests")
        || in_folder("benches")
        || path.starts_with("crates/testkit/")
}

/// Marks the lines of every item under `#[cfg(test)]`.
fn mark_test_items(code: &str, tests: &mut [bool]) {
    let mut from = 0;
    while let Some(found) = code.get(from..).and_then(|rest| rest.find("#[cfg(test)]")) {
        let start = from + found;
        let end = item_end(code, start + "#[cfg(test)]".len());
        let (first, last) = (line_of(code, start), line_of(code, end));
        for marked in tests.iter_mut().take(last).skip(first - 1) {
            *marked = true;
        }
        from = end.max(start + 1);
    }
}

/// The number of the line that holds the byte at `offset`.
pub fn line_of(code: &str, offset: usize) -> usize {
    code.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

/// Where the item that starts at `from` ends: at its `;`, or at the brace that closes its body. Braces, brackets and
/// parentheses inside the head (`[u8; 4]`) do not end it.
pub fn item_end(code: &str, from: usize) -> usize {
    let mut nesting = 0_usize;
    let mut braces = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => nesting += 1,
            b')' | b']' => nesting = nesting.saturating_sub(1),
            b'{' => braces += 1,
            b'}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 {
                    return offset;
                }
            }
            b';' if nesting == 0 && braces == 0 => return offset,
            _ => {}
        }
    }
    code.len()
}

/// Whether `word` stands in `code` as a whole word (or path), and where first.
pub fn find_word(code: &str, word: &str) -> Option<usize> {
    let is_part = |char: char| char.is_alphanumeric() || char == '_';
    let starts_in_word = word.starts_with(is_part);
    let ends_in_word = word.ends_with(is_part);
    code.match_indices(word).map(|(at, _)| at).find(|&at| {
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        let after = code.get(at + word.len()..).and_then(|text| text.chars().next());
        let is_longer = (starts_in_word && before.is_some_and(is_part)) || (ends_in_word && after.is_some_and(is_part));
        !is_longer
    })
}

/// Blanks the insides of comments, strings and character literals, keeping every line where it is.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let previous = out.chars().next_back();
        let (taken, keep) = token(rest, first, previous);
        let (token, tail) = rest.split_at(taken);
        match keep {
            Keep::Code => out.push_str(token),
            Keep::Blank => out.extend(token.chars().map(|char| if char == '\n' { '\n' } else { ' ' })),
            Keep::Quotes => out.push_str(&blank_between_quotes(token)),
        }
        rest = tail;
    }
    out
}

/// What is kept of a token.
enum Keep {
    Code,
    Blank,
    Quotes,
}

/// How long the token at the start of `rest` is, and what of it is kept.
fn token(rest: &str, first: char, previous: Option<char>) -> (usize, Keep) {
    let after_word = previous.is_some_and(|char| char.is_alphanumeric() || char == '_');
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), Keep::Blank);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), Keep::Blank);
    }
    if first == '"' {
        return (string(rest), Keep::Quotes);
    }
    if !after_word && let Some(length) = raw_string(rest) {
        return (length, Keep::Quotes);
    }
    if first == '\''
        && let Some(length) = character(rest)
    {
        return (length, Keep::Quotes);
    }
    (first.len_utf8(), Keep::Code)
}

/// The length of a block comment, which may hold others.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut skip = false;
    for (offset, pair) in rest.as_bytes().windows(2).enumerate() {
        if skip {
            skip = false;
            continue;
        }
        if pair == b"/*" {
            (depth, skip) = (depth + 1, true);
        } else if pair == b"*/" {
            (depth, skip) = (depth - 1, true);
            if depth == 0 {
                return offset + 2;
            }
        }
    }
    rest.len()
}

/// The length of a string literal with escapes.
fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (offset, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return offset + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a raw string literal such as `br#"…"#`, where one starts here.
fn raw_string(rest: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        let tail = rest.strip_prefix(prefix).map(|tail| tail.trim_start_matches('#'));
        tail.is_some_and(|tail| tail.starts_with('"'))
    })?;
    let tail = rest.strip_prefix(prefix)?;
    let hashes = tail.len() - tail.trim_start_matches('#').len();
    let open = prefix.len() + hashes + 1;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = rest.get(open..).and_then(|inside| inside.find(&close));
    Some(end.map_or(rest.len(), |end| open + end + close.len()))
}

/// The length of a character literal, where this quote is not a lifetime.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let first = inside.chars().next()?;
    if first == '\\' {
        let end = inside.char_indices().skip(2).find(|&(_, char)| char == '\'')?;
        return Some(1 + end.0 + 1);
    }
    inside.strip_prefix(first)?.starts_with('\'').then_some(1 + first.len_utf8() + 1)
}

fn blank_between_quotes(token: &str) -> String {
    let quote = if token.starts_with('\'') { '\'' } else { '"' };
    let (open, close) = (token.find(quote).unwrap_or(0), token.rfind(quote).unwrap_or(token.len()));
    let kept =
        |(offset, char): (usize, char)| if offset <= open || offset >= close || char == '\n' { char } else { ' ' };
    token.char_indices().map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::{Source, blank, find_word};

    #[test]
    fn comments_and_literals_are_blanked_and_lines_stay() {
        let text = "let a = \"x // \\\" y\"; // fn b\n/* fn c /* d */\n e */ let f = r#\"un\"safe\"#;\nlet g = '\"'; let h: &'a str = '\\'';";
        let code = blank(text);
        assert_eq!(code.lines().count(), text.lines().count());
        for hidden in ["fn b", "fn c", "d", "safe", "x"] {
            assert!(find_word(&code, hidden).is_none(), "{hidden} in {code}");
        }
        for kept in ["let a", "let f", "let g", "let h", "&'a str"] {
            assert!(code.contains(kept), "{kept} in {code}");
        }
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(find_word("unsafe_code unsafe {", "unsafe"), Some(12));
        assert_eq!(find_word("nottokio tokio_util", "tokio"), None);
        assert_eq!(find_word("use std::fs;", "std::fs"), Some(4));
        assert_eq!(find_word("use std::fsx;", "std::fs"), None);
    }

    #[test]
    fn test_items_and_files_are_known() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod more;\nfn d() {}\n";
        let source = Source::read("crates/x/src/lib.rs", text);
        let tests: Vec<usize> = (1..=9).filter(|&line| source.is_test(line)).collect();
        assert_eq!(tests, [2, 3, 4, 5, 7, 8]);
        assert!(Source::read("crates/x/src/a/tests.rs", text).is_test(1));
        assert!(Source::read("tests/e2e/src/lib.rs", text).is_test(1));
        assert!(Source::read("crates/x/tests/fail/a.rs", text).is_test(1));
        assert_eq!(source.crate_name(), "x");
        assert_eq!(Source::read("xtask/src/main.rs", "").crate_name(), "xtask");
    }

    #[test]
    fn an_excuse_stands_on_the_line_or_right_above_and_says_why() {
        let text = "a // tidy: reason\nb\n// tidy: reason\n// goes on\nc\n\n// tidy:\nd\n";
        let source = Source::read("crates/x/src/lib.rs", text);
        assert!(source.is_excused(1) && source.is_excused(5));
        assert!(!source.is_excused(2) && !source.is_excused(8));
    }
}
