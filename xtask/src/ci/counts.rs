//! How many tests ran, read from the closing lines of the test runners.

use std::fmt;

/// Tests by result.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
}

impl Counts {
    /// Adds what another runner counted.
    pub fn add(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.skipped += more.skipped;
    }

    /// Reads one closing line of nextest (`Summary […] 3 tests run: 2 passed (1 slow), 1 timed out, 0 skipped`) or of
    /// libtest (`test result: ok. 5 passed; 0 failed; 1 ignored; …`).
    pub fn read(line: &str) -> Option<Self> {
        let line = without_parentheses(line);
        // nextest shows what a failed test printed with indentation, libtest's line about this one test too: it counted it
        if let Some(results) = line.strip_prefix("test result: ") {
            return Some(Self::of_libtest(results));
        }
        if !line.trim_start().starts_with("Summary [") {
            return None;
        }
        let (_, results) = line.split_once(" run: ")?;
        Some(Self::of_nextest(results))
    }

    fn of_libtest(results: &str) -> Self {
        let mut counts = Self::default();
        let results = results.split_once(". ").map_or("", |(_, counted)| counted);
        for (number, word) in results.split(';').filter_map(number_and_word) {
            match word {
                "passed" => counts.passed += number,
                "failed" => counts.failed += number,
                "ignored" => counts.skipped += number,
                _ => {}
            }
        }
        counts
    }

    fn of_nextest(results: &str) -> Self {
        let mut counts = Self::default();
        for (number, word) in results.split(',').filter_map(number_and_word) {
            match word {
                "passed" => counts.passed += number,
                "skipped" => counts.skipped += number,
                // failed, timed out, could not be started
                _ => counts.failed += number,
            }
        }
        counts
    }
}

fn number_and_word(part: &str) -> Option<(u64, &str)> {
    let (number, word) = part.trim().split_once(' ')?;
    Some((number.parse().ok()?, word))
}

/// Nextest explains numbers in parentheses, with commas of their own.
fn without_parentheses(line: &str) -> String {
    let mut depth = 0_usize;
    let mut kept = String::new();
    for char in line.chars() {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => kept.push(char),
            _ => {}
        }
    }
    kept.replace(" ,", ",")
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn each_runners_closing_line_is_understood() {
        for (line, expected) in [
            ("     Summary [   1.20s] 45 tests run: 45 passed, 2 skipped", "45 passed, 0 failed, 2 skipped"),
            ("     Summary [   1.20s] 1 test run: 1 passed, 0 skipped", "1 passed, 0 failed, 0 skipped"),
            (
                "     Summary [  9.99s] 9/10 tests run: 5 passed (1 slow, 2 leaky), 3 failed, 1 timed out, 0 skipped",
                "5 passed, 4 failed, 0 skipped",
            ),
            (
                "test result: FAILED. 12 passed; 1 failed; 3 ignored; 0 measured; 9 filtered out; finished in 1.0s",
                "12 passed, 1 failed, 3 skipped",
            ),
        ] {
            assert_eq!(Counts::read(line).unwrap().to_string(), expected, "{line}");
        }
        assert_eq!(Counts::read("   Compiling x v0.1.0 (a, b)"), None);
        assert_eq!(Counts::read("    test result: FAILED. 0 passed; 1 failed; 0 ignored; finished in 0.68s"), None);
        assert_eq!(Counts::read("Summary of 3 tests run: 3 passed"), None);
    }
}
