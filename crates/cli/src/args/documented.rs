//! Every command that the documentation shows is one that can be typed.

use clap::Parser;

use super::Cli;

const CHAPTERS: [(&str, &str); 2] = [
    ("identity.md", include_str!("../../../../docs/identity.md")),
    ("operation.md", include_str!("../../../../docs/operation.md")),
];

/// The lines of code blocks that begin with the program's name.
fn commands(text: &str) -> Vec<&str> {
    let blocks =
        text.split("```").skip(1).step_by(2).filter(|block| block.starts_with("sh") || block.starts_with("console"));
    let lines = blocks.flat_map(str::lines).map(|line| line.strip_prefix("$ ").unwrap_or(line).trim());
    lines.filter(|line| line.starts_with("countersign ")).collect()
}

/// What a shell would give the program.
fn words(line: &str) -> Vec<&str> {
    let line = line.split(" # ").next().unwrap_or(line);
    let line = [" > ", " && ", " | "].iter().fold(line, |line, end| line.split(end).next().unwrap_or(line));
    line.split_whitespace().map(|word| word.trim_matches('"')).take_while(|word| *word != "#").collect()
}

#[test]
fn every_command_of_the_chapters_is_understood() {
    let mut seen = 0;
    for (chapter, text) in CHAPTERS {
        for line in commands(text) {
            if let Err(error) = Cli::try_parse_from(words(line)) {
                panic!("{chapter}: `{line}`: {error}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen}");
}
