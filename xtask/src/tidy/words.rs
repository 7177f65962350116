//! Words that do not belong in a committed file: paths of one machine, unfinished work, silenced lints, sleeping tests.

use super::Finding;
use super::source::{Source, find_word};

/// This file lists the words, so it holds them.
const LIST: &str = "xtask/src/tidy/words.rs";

/// Words that no file holds, with the reason and what to do.
const ANYWHERE: &[(&str, &str, &str)] = &[
    ("/work/", "the path exists on one machine only", "use a path relative to the workspace"),
    ("/root/", "the path exists on one machine only", "use a path relative to the workspace"),
    ("../shared", "the folder is not part of the repository", "only the helper that finds test vectors names it"),
    ("TODO", "what is known to be missing is an issue", "do it, or open an issue"),
    ("FIXME", "what is known to be broken is an issue", "mend it, or open an issue"),
    ("XXX", "what is known to be odd is explained in words", "say what is odd and why it is right"),
    ("for now", "the code is documented, not its history", "say what holds, or open an issue for what does not"),
    ("unimplemented!(", "a switch that is not wired is an unknown switch", "build it, or leave it out"),
    ("todo!(", "a switch that is not wired is an unknown switch", "build it, or leave it out"),
];

/// Findings of one text file, Rust or not.
pub fn check_text(path: &str, text: &str) -> Vec<Finding> {
    if path == LIST || path == "Cargo.lock" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let hits = ANYWHERE.iter().filter(|(word, _, _)| holds(line, word) && !is_vectors_path(path, line, word));
        findings.extend(
            hits.map(|(word, why, fix)| Finding::error(path, index + 1, format!("`{word}` stands here"), *why, *fix)),
        );
    }
    findings
}

fn holds(line: &str, word: &str) -> bool {
    match word {
        // a phrase of prose may begin a sentence; `for now in moments` is a loop
        "for now" => find_word(&line.to_lowercase().replace("for now in ", ""), word).is_some(),
        _ => find_word(line, word).is_some(),
    }
}

/// Test code may look for the vectors beside the clone.
fn is_vectors_path(path: &str, line: &str, word: &str) -> bool {
    let is_test = path.contains("/tests") || path.starts_with("tests/") || path.starts_with("crates/testkit/");
    word == "../shared" && is_test && line.contains("../shared/vectors")
}

/// Findings of one Rust file that depend on what is code and what is a test.
pub fn check_source(source: &Source<'_>) -> Vec<Finding> {
    // a clock that stands still until everybody waits makes a sleep exact and free
    let is_paused = source.code.contains("start_paused = true");
    let mut findings = Vec::new();
    for (line, code) in source.code_lines().filter(|&(line, _)| !source.is_excused(line)) {
        let mut flag =
            |what: &str, why: &str, fix: &str| findings.push(Finding::error(source.path, line, what, why, fix));
        if !source.is_generated() && (code.contains("#[allow(") || code.contains("#![allow(")) {
            let fix = "mend the code, or `#[expect(lint, reason = \"…\")]` with the proof";
            flag("`allow` silences a lint", "an `allow` outlives its cause; an `expect` does not", fix);
        }
        if code.contains("#[ignore") {
            flag("an ignored test", "a test that does not run proves nothing", "run it, or say `// tidy: …` above it");
        }
        if source.is_test(line) && !is_paused && find_word(code, "sleep(").is_some() {
            let fix = "wait on the condition, use paused time, or say `// tidy: …` above it";
            flag("a test that sleeps", "it is slow on a fast machine and fails on a slow one", fix);
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{check_source, check_text};
    use crate::tidy::source::Source;

    #[test]
    fn words_of_one_machine_and_of_unfinished_work_are_flagged() {
        for bad in ["see /work/x", "in ../shared/vectors", "// TODO x", "FIXME", "For now, y", "unimplemented!()"] {
            assert_eq!(check_text("README.md", bad).len(), 1, "{bad}");
        }
        for good in ["unimplemented = \"deny\"", "a workshop", "for now in moments {", "before nowhere", "TODOS"] {
            assert_eq!(check_text("README.md", good).len(), 0, "{good}");
        }
        assert_eq!(check_text("crates/x/tests/vectors.rs", "let path = \"../shared/vectors\";").len(), 0);
        assert_eq!(check_text("crates/x/tests/vectors.rs", "let path = \"../shared/other\";").len(), 1);
    }

    #[test]
    fn silenced_lints_ignored_and_sleeping_tests_need_a_reason() {
        let count = |path, text: &str| check_source(&Source::read(path, text)).len();
        for bad in ["#[allow(dead_code)]", "#![allow(dead_code)]", "#[ignore = \"slow\"]", "thread::sleep(pause);"] {
            assert_eq!(count("crates/x/tests/a.rs", bad), 1, "{bad}");
            assert_eq!(count("crates/x/tests/a.rs", &format!("// tidy: it must\n{bad}")), 0, "{bad}");
            assert_eq!(count("crates/x/tests/a.rs", &format!("// {bad}")), 0, "{bad}");
        }
        let paused = "#[tokio::test(start_paused = true)]\nasync fn a() {\n    sleep(pause).await;\n}";
        assert_eq!(count("crates/x/tests/a.rs", paused), 0);
        assert_eq!(count("crates/x/tests/a.rs", &paused.replace("(start_paused = true)", "")), 1);
        assert_eq!(count("crates/x/src/lib.rs", "tokio::time::sleep(pause).await;"), 0);
    }
}
