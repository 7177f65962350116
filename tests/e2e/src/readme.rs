//! Documents whose commands are run: fenced blocks, and transcripts with what the commands print.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{Ended, Process};
use crate::wait::wait_within;

/// A fenced block of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// The word after the fence, such as `sh`.
    pub language: String,
    /// The lines between the fences, each with its line end.
    pub text: String,
    /// The line of the opening fence, counted from 1.
    pub line: usize,
}

/// The fenced blocks of a document, in order.
///
/// # Panics
/// When a fence is not closed.
pub fn blocks(document: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<(Block, String)> = None;
    for (index, line) in document.lines().enumerate() {
        let unindented = line.trim_start();
        match &mut open {
            None if unindented.starts_with("```") => {
                let language = unindented.trim_start_matches('`').trim().to_owned();
                let indent = line[..line.len() - unindented.len()].to_owned();
                open = Some((Block { language, text: String::new(), line: index + 1 }, indent));
            }
            None => {}
            Some(_) if unindented.trim_end() == "```" => found.extend(open.take().map(|(block, _)| block)),
            Some((block, indent)) => {
                block.text.push_str(line.strip_prefix(indent.as_str()).unwrap_or(unindented));
                block.text.push('\n');
            }
        }
    }
    assert!(open.is_none(), "a fence is not closed: {open:?}");
    found
}

/// A command of a transcript with what it prints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transcript {
    /// What stands after `$ `; lines that follow a backslash at the end of a line belong to it.
    pub command: String,
    /// What follows, up to the next command.
    pub output: String,
}

/// The commands of a ```` ```console ```` block.
///
/// # Panics
/// When it begins with output.
pub fn transcripts(block: &str) -> Vec<Transcript> {
    let mut found: Vec<Transcript> = Vec::new();
    let mut continued = false;
    for line in block.lines() {
        if continued {
            let last = found.last_mut().expect("a command before its continuation");
            last.command.push('\n');
            last.command.push_str(line);
            continued = line.ends_with('\\');
        } else if let Some(command) = line.strip_prefix("$ ") {
            continued = command.ends_with('\\');
            found.push(Transcript { command: command.to_owned(), output: String::new() });
        } else {
            let last = found.last_mut().unwrap_or_else(|| panic!("output before any command: {line}"));
            last.output.push_str(line);
            last.output.push('\n');
        }
    }
    found
}

/// Whether a text is as written, where `…` stands for anything: within a line for any part of it, alone on a line for any
/// number of lines. Space beside it and at the end of lines, and blank lines at either end, do not count.
pub fn matches(pattern: &str, text: &str) -> bool {
    let lines = |text: &str| text.trim_matches('\n').lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    lines_match(&lines(pattern), &lines(text))
}

fn lines_match(pattern: &[String], text: &[String]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((first, rest)) if first.trim() == "…" => (0..=text.len()).any(|skip| lines_match(rest, &text[skip..])),
        Some((first, rest)) => {
            text.split_first().is_some_and(|(line, after)| line_matches(first, line) && lines_match(rest, after))
        }
    }
}

fn line_matches(pattern: &str, line: &str) -> bool {
    let Some((first, parts)) = pattern.split_once('…') else { return pattern == line };
    let Some(mut rest) = line.strip_prefix(first.trim_end()) else { return false };
    let mut parts: Vec<&str> = parts.split('…').collect();
    let last = parts.pop().unwrap_or_default().trim_start();
    for part in parts.into_iter().map(str::trim) {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// A reader at a terminal: runs what a document prints, in a folder, with a state directory of its own.
pub struct Reader {
    folder: PathBuf,
    state: PathBuf,
    commands: usize,
}

impl Reader {
    /// Reads in `folder`; `state` takes the program's state and what the commands print. Its path must be short.
    pub fn new(folder: &Path, state: &Path) -> Self {
        Self { folder: folder.to_owned(), state: state.to_owned(), commands: 0 }
    }

    /// Starts a block, which goes on beside what follows.
    pub fn start(&mut self, text: &str) -> Process {
        self.commands += 1;
        let mut command = Command::new("sh");
        // Ctrl-C is for the commands: the shell stays to see them end
        command.args(["-e", "-c", &format!("trap : INT\n{text}")]).current_dir(&self.folder);
        command.env("XDG_STATE_HOME", &self.state).env("NO_COLOR", "1");
        // paths that a document prints below `target` are meant below the folder
        command.env_remove("CARGO_TARGET_DIR").env_remove("COUNTERSIGN_DATA");
        Process::start(command, &self.state, &format!("block-{}", self.commands))
    }

    /// Runs a block to its end, in a terminal's way: both outputs together.
    ///
    /// # Panics
    /// When it takes longer than `patience`.
    pub fn run(&mut self, text: &str, patience: Duration) -> Ended {
        let mut process = self.start(&format!("exec 2>&1\n{text}"));
        wait_within(patience, text, || process.ended())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_with_their_language_and_place() {
        let document =
            "# A\n\n```sh\nls\n\nls -l\n```\n\n1. x\n   ```console\n   $ a\n   b\n   ```\n\n```\nplain\n```\n";
        let found = blocks(document);
        assert_eq!(
            found.iter().map(|block| (block.language.as_str(), block.line)).collect::<Vec<_>>(),
            [("sh", 3), ("console", 10), ("", 15)]
        );
        assert_eq!(found[0].text, "ls\n\nls -l\n");
        assert_eq!(found[1].text, "$ a\nb\n");
    }

    #[test]
    fn a_transcript_is_commands_with_their_output() {
        let found = transcripts("$ a \\\n  b\none\ntwo\n$ c\n");
        assert_eq!(found[0].command, "a \\\n  b");
        assert_eq!(found[0].output, "one\ntwo\n");
        assert_eq!((found[1].command.as_str(), found[1].output.as_str()), ("c", ""));
    }

    #[test]
    fn an_ellipsis_stands_for_anything_and_the_rest_for_itself() {
        for (pattern, text) in [
            ("a\nb", "a\nb\n"),
            ("a…c", "abc"),
            ("a…c", "ac"),
            ("…c", "c"),
            ("a…", "a"),
            ("a…b…c", "a1b2b3c"),
            ("a  …  b  …", "a b"),
            ("a\n…\nd", "a\nb\nc\nd"),
            ("a\n…\nd", "a\nd"),
            ("…", ""),
            ("a  ", "a"),
        ] {
            assert!(matches(pattern, text), "{pattern:?} {text:?}");
        }
        for (pattern, text) in
            [("a", "b"), ("a", "a\nb"), ("a\nb", "a"), ("a…c", "ab"), ("a…c", "xac"), ("a…b…b", "ab"), ("ab…b", "ab")]
        {
            assert!(!matches(pattern, text), "{pattern:?} {text:?}");
        }
    }
}
