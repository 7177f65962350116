//! Pure crates reach nothing outside themselves; `unsafe` stands in one module only.

use super::Finding;
use super::source::{Source, find_word};

/// Crates whose results depend on their arguments alone (STYLE 2).
pub const PURE: &[&str] = &["types", "jose", "identity", "signal", "policy", "trustdir"];

/// The crate that may map memory, in one module.
const UNSAFE_CRATE: &str = "record";

/// What a pure crate must not name, and where it comes from instead.
const IMPURE: &[(&str, &str)] = &[
    ("tokio", "make the caller await; take the result as an argument"),
    ("std::fs", "take bytes, or a trait such as `trustdir::Files`"),
    ("std::env", "only the binary reads the environment; take the value as an argument"),
    ("std::process", "take the result as an argument"),
    ("std::thread", "the caller decides what runs where"),
    ("std::os::unix::net", "take what was received as an argument"),
    ("TcpStream", "take what was received as an argument"),
    ("TcpListener", "take what was received as an argument"),
    ("UdpSocket", "take what was received as an argument"),
    ("ToSocketAddrs", "names are resolved by the caller"),
    ("thread::sleep", "time is passed in as `types::Timestamp`"),
    ("::now()", "time is passed in as `types::Timestamp`"),
    ("::system()", "the time zone is part of the configuration, not of the machine"),
    ("::now_v7()", "identifiers are made by the caller, who has the clock"),
    ("::new_v4()", "randomness is passed in"),
    ("SystemRandom", "randomness is passed in"),
];

/// Modules of `std` that hide in `use std::{…}`.
const IMPURE_GROUPS: &[&str] = &["fs", "env", "process", "thread"];

/// Findings of one file.
pub fn check(source: &Source<'_>) -> Vec<Finding> {
    let mut findings = check_unsafe(source);
    if PURE.contains(&source.crate_name()) && source.path.starts_with("crates/") {
        findings.extend(check_purity(source));
    }
    findings
}

fn check_purity(source: &Source<'_>) -> Vec<Finding> {
    let name = source.crate_name();
    let finding = |line: usize, word: &str, fix: &str| {
        let what = format!("`{word}` in the pure crate `{name}`");
        let why = "a pure crate gives the same answer to the same arguments everywhere: in `check`, in `explain`, in a \
                   test, and in the data path";
        Finding::error(source.path, line, what, why, fix)
    };
    let mut findings = Vec::new();
    for (line, code) in source.code_lines().filter(|&(line, _)| !source.is_test(line)) {
        let named = IMPURE.iter().find(|(word, _)| find_word(code, word).is_some());
        findings.extend(named.map(|(word, fix)| finding(line, word, fix)));
        findings.extend(grouped(code).map(|word| finding(line, &format!("std::{{{word}}}"), "take it as an argument")));
    }
    findings
}

/// An impure module inside `use std::{…}` on one line, which is how rustfmt writes short groups.
fn grouped(code: &str) -> Option<&'static str> {
    let (_, group) = code.split_once("std::{")?;
    IMPURE_GROUPS.iter().copied().find(|word| find_word(group, word).is_some())
}

fn check_unsafe(source: &Source<'_>) -> Vec<Finding> {
    if source.crate_name() == UNSAFE_CRATE {
        return Vec::new();
    }
    let unsafe_lines = source.code_lines().filter(|(_, code)| find_word(code, "unsafe").is_some());
    unsafe_lines
        .map(|(line, _)| {
            let why = "memory errors are looked for in one module of `record` and nowhere else";
            Finding::error(source.path, line, "`unsafe` outside `record`", why, "use a safe crate such as rustix")
        })
        .collect()
}

/// `record` keeps its `unsafe` in one file.
pub fn check_one_unsafe_module(sources: &[Source<'_>]) -> Vec<Finding> {
    let holds =
        |source: &&Source<'_>| source.crate_name() == UNSAFE_CRATE && find_word(&source.code, "unsafe").is_some();
    sources
        .iter()
        .filter(holds)
        .skip(1)
        .map(|source| {
            let why = "one module is small enough to be proved by reading it";
            let fix = "move the block into the module that has the others";
            Finding::error(source.path, 0, "a second file of `record` holds `unsafe`", why, fix)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{check, check_one_unsafe_module};
    use crate::tidy::source::Source;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Source::read(path, text)).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn each_way_out_of_a_pure_crate_is_flagged() {
        for bad in [
            "use tokio::time;",
            "let text = std::fs::read(path);",
            "use std::{env, fmt};",
            "let now = std::time::SystemTime::now();",
            "let now = Instant::now();",
            "let now = jiff::Zoned::now();",
            "use std::net::TcpStream;",
            "std::thread::sleep(pause);",
            "let id = Uuid::now_v7();",
        ] {
            assert_eq!(lines("crates/policy/src/lib.rs", bad), [1], "{bad}");
            assert_eq!(lines("crates/proxy/src/lib.rs", bad), [0; 0], "{bad}");
        }
    }

    #[test]
    fn tests_comments_and_other_words_are_not() {
        for good in [
            "// reads no std::fs and no tokio",
            "#[cfg(test)]\nmod tests {\n    use std::fs;\n}",
            "use std::{fmt, sync::Arc};\nlet at = clock.now();",
            "use std::net::IpAddr;\nlet root = env!(\"CARGO_MANIFEST_DIR\");",
        ] {
            assert_eq!(lines("crates/policy/src/lib.rs", good), [0; 0], "{good}");
        }
    }

    #[test]
    fn unsafe_is_flagged_outside_record_and_in_its_second_file() {
        let text = "#[expect(unsafe_code, reason = \"unsafe\")]\nfn f() { unsafe { g() } }";
        assert_eq!(lines("crates/proxy/src/lib.rs", text), [2]);
        assert_eq!(lines("crates/record/src/map.rs", text), [0; 0]);
        let sources = [Source::read("crates/record/src/map.rs", text), Source::read("crates/record/src/lane.rs", text)];
        assert_eq!(check_one_unsafe_module(&sources).len(), 1);
    }
}
