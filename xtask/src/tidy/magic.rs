//! Times and sizes of product code come from the limits registry, where their source stands beside them (STYLE 22).

use super::Finding;
use super::source::Source;

/// Crates that outsiders can make grow or wait.
const WATCHED: &[&str] = &["proxy", "agent", "issuer", "record", "control", "runtime"];

/// Calls whose literal argument is a limit in disguise, and the largest literal that is not.
const CALLS: &[(&str, u64)] = &[
    ("Duration::from_secs(", 0),
    ("Duration::from_millis(", 0),
    ("Duration::from_micros(", 0),
    ("Duration::from_mins(", 0),
    ("Duration::from_hours(", 0),
    ("with_capacity(", 4096),
];

/// Findings of one file.
pub fn check(source: &Source<'_>) -> Vec<Finding> {
    if !WATCHED.contains(&source.crate_name()) || !source.path.starts_with("crates/") || source.is_generated() {
        return Vec::new();
    }
    let watched = source.code_lines().filter(|&(line, _)| !source.is_test(line));
    watched
        .filter_map(|(line, code)| magic(code).map(|call| (line, call)))
        .filter(|&(line, _)| !source.is_excused(line))
        .map(|(line, call)| {
            let what = format!("`{call}` with a number of its own");
            let why = "a limit without a name is in no document, and nobody knows where its number comes from";
            let fix = "name it in `types::limits` with its source, or say why it is none: `// tidy: …`";
            Finding::error(source.path, line, what, why, fix)
        })
        .collect()
}

/// The first call of the line whose argument is a literal above what needs no name.
fn magic(code: &str) -> Option<String> {
    CALLS.iter().find_map(|&(call, harmless)| {
        let (_, argument) = code.split_once(call)?;
        let digits: String = argument.chars().take_while(|char| char.is_ascii_digit() || *char == '_').collect();
        let value: u64 = digits.replace('_', "").parse().ok()?;
        (value > harmless || argument.contains('*') || argument.contains("<<")).then(|| format!("{call}{digits})"))
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::source::Source;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Source::read(path, text)).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn literal_times_and_large_sizes_are_flagged() {
        let path = "crates/proxy/src/lib.rs";
        for bad in [
            "let a = Duration::from_secs(5);",
            "const B: Duration = Duration::from_millis(1_500);",
            "let c = Vec::with_capacity(65_536);",
            "let d = Vec::with_capacity(64 * 1024);",
        ] {
            assert_eq!(lines(path, bad), [1], "{bad}");
            assert_eq!(lines("crates/cli/src/lib.rs", bad), [0; 0], "{bad}");
            assert_eq!(lines("crates/proxy/tests/a.rs", bad), [0; 0], "{bad}");
            assert_eq!(lines(path, &format!("{bad} // tidy: the protocol says so")), [0; 0], "{bad}");
        }
    }

    #[test]
    fn named_limits_and_small_sizes_are_not() {
        for good in
            ["Duration::from_millis(limits::HEAD_TIME.default)", "Vec::with_capacity(16)", "Duration::from_secs(0)"]
        {
            assert_eq!(lines("crates/proxy/src/lib.rs", good), [0; 0], "{good}");
        }
    }
}
