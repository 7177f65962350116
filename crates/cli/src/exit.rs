//! How a command ends: the exit codes, and a failure with what to do about it.

use std::io;
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Yes: it was done, the check holds, the call was allowed.
    Yes,
    /// No: a check failed, the call was refused.
    No,
    /// It could not be done.
    CouldNot,
    /// The command line is wrong (`EX_USAGE` of sysexits).
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Yes => 0,
            Exit::No => 1,
            Exit::CouldNot => 2,
            Exit::Usage => 64,
        })
    }
}

/// A command that could not do its work.
#[derive(Debug)]
pub struct Failed {
    /// How the process ends.
    pub exit: Exit,
    /// What happened, lower case, no period; `None` when there is nobody left to tell (a closed pipe).
    pub message: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Failed {
    /// It could not be done.
    pub fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::CouldNot, message: Some(message.into()), hint: None }
    }

    /// The command line makes no sense, in a way that its grammar cannot say.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(message) }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        self.hint = (!hint.is_empty()).then_some(hint);
        self
    }
}

/// Only writing to standard output fails as a plain `io::Error`; everything else says what it was doing.
impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { exit: Exit::Yes, message: None, hint: None };
        }
        Self::new(format!("writing the output failed: {error}"))
    }
}

/// What commands return.
pub type Outcome = Result<Exit, Failed>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let failed = Failed::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failed.exit, failed.message), (Exit::Yes, None));
    }

    #[test]
    fn a_full_disk_is_a_failure() {
        let failed = Failed::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(failed.exit, Exit::CouldNot);
        assert!(failed.message.is_some_and(|message| message.starts_with("writing the output failed")));
    }
}
