//! What is wrong with a source file, said so that a person can mend it.

use core::ops::Range;

/// How bad a problem is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Nothing is compiled.
    Error,
    /// It compiles, and does not do what was probably meant.
    Warning,
}

/// One problem of one source file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// A stable name of the kind of problem, such as `cedar.unknown-literal`.
    pub code: &'static str,
    /// The file, relative to the trust directory.
    pub path: String,
    /// Where in that file, in bytes; absent where the problem has no one place.
    pub span: Option<Range<usize>>,
    /// What is wrong: lower case, no final period, the user's text in backticks.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// An error without place and hint.
    pub fn error(code: &'static str, path: &str, message: impl Into<String>) -> Self {
        let (path, message) = (path.to_owned(), message.into());
        Self { severity: Severity::Error, code, path, span: None, message, hint: None }
    }

    /// A warning without place and hint.
    pub fn warning(code: &'static str, path: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, path, message) }
    }

    /// Names the place.
    #[must_use]
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
