//! Files and functions stay small enough to be read at once (STYLE 6).

use super::Finding;
use super::source::{Source, find_word, item_end, line_of};

const FILE_LINES: usize = 1000;
const FILE_LINES_NOTED: usize = 700;
const FUNCTION_LINES: usize = 70;
const TEST_MODULE_LINES: usize = 100;

/// Findings of one file. Generated files are not read by people.
pub fn check(source: &Source<'_>) -> Vec<Finding> {
    if source.is_generated() {
        return Vec::new();
    }
    let mut findings: Vec<Finding> = check_file(source).into_iter().collect();
    findings.extend(functions(source).filter_map(|function| check_function(source, &function)));
    findings.extend(check_test_module(source));
    findings
}

fn check_file(source: &Source<'_>) -> Option<Finding> {
    let lines = source.text.lines().count();
    let finding = |limit: usize| {
        let what = format!("the file has {lines} lines, more than {limit}");
        let why = "a file has one job, and a reader holds about 300 lines";
        Finding::error(source.path, 0, what, why, "split it by what its parts are for")
    };
    if lines > FILE_LINES {
        return Some(finding(FILE_LINES));
    }
    (lines > FILE_LINES_NOTED).then(|| finding(FILE_LINES_NOTED).warning())
}

/// A function by its first and last line.
struct Function {
    name: String,
    first: usize,
    last: usize,
}

fn functions<'a>(source: &'a Source<'_>) -> impl Iterator<Item = Function> + 'a {
    let code = source.code.as_str();
    let starts = code.match_indices("fn ").map(|(at, _)| at);
    starts.filter_map(move |at| {
        let head = code.get(at..)?;
        let starts_a_word = find_word(code.get(at.saturating_sub(1)..at + 3)?, "fn").is_some();
        let name: String = head.get(3..)?.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
        let end = item_end(code, at);
        (starts_a_word && !name.is_empty()).then(|| Function {
            name,
            first: line_of(code, at),
            last: line_of(code, end),
        })
    })
}

fn check_function(source: &Source<'_>, function: &Function) -> Option<Finding> {
    let lines = function.last - function.first + 1;
    if lines <= FUNCTION_LINES || source.is_test(function.first) {
        return None;
    }
    let what = format!("`{}` has {lines} lines, more than {FUNCTION_LINES}", function.name);
    let why = "past a screen, nobody sees all paths through a function";
    Some(Finding::error(source.path, function.first, what, why, "give its steps names and call them"))
}

fn check_test_module(source: &Source<'_>) -> Option<Finding> {
    let at = source.code.find("#[cfg(test)]\nmod ")?;
    let (first, last) = (line_of(&source.code, at), line_of(&source.code, item_end(&source.code, at + 12)));
    let lines = last - first + 1;
    (lines > TEST_MODULE_LINES).then(|| {
        let what = format!("the test module has {lines} lines, more than {TEST_MODULE_LINES}");
        let why = "the code and its tests are read at different times";
        Finding::error(source.path, first, what, why, "move it into a child file `tests.rs`")
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::Severity;
    use crate::tidy::source::Source;

    fn found(path: &str, text: &str) -> Vec<(Severity, usize)> {
        check(&Source::read(path, text)).iter().map(|finding| (finding.severity, finding.line)).collect()
    }

    #[test]
    fn long_files_are_noted_then_refused() {
        let path = "crates/x/src/lib.rs";
        assert_eq!(found(path, &"//\n".repeat(700)), []);
        assert_eq!(found(path, &"//\n".repeat(701)), [(Severity::Warning, 0)]);
        assert_eq!(found(path, &"//\n".repeat(1001)), [(Severity::Error, 0)]);
        assert_eq!(found(path, &format!("// @generated\n{}", "//\n".repeat(1001))), []);
    }

    #[test]
    fn long_functions_are_refused_but_not_in_tests() {
        let long = format!("const A: fn() = b;\nfn b(x: [u8; 4]) -> u8 {{\n{}}}\n", "    c();\n".repeat(69));
        assert_eq!(found("crates/x/src/lib.rs", &long), [(Severity::Error, 2)]);
        assert_eq!(found("crates/x/tests/a.rs", &long), []);
        let fits = format!("fn b() {{\n{}}}\n", "    c();\n".repeat(68));
        assert_eq!(found("crates/x/src/lib.rs", &fits), []);
    }

    #[test]
    fn long_test_modules_move_out() {
        let text = format!("fn a() {{}}\n\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    // b\n".repeat(98));
        assert_eq!(found("crates/x/src/lib.rs", &text), [(Severity::Error, 3)]);
        assert_eq!(found("crates/x/src/lib.rs", "#[cfg(test)]\nmod tests;\n"), []);
    }
}
