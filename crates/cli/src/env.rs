//! The environment: the only place that reads it, once, at start.

use std::path::PathBuf;

/// What the environment says that we listen to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Env {
    /// `COUNTERSIGN_DATA`: the data directory of the commands that ask a running process.
    pub data: Option<PathBuf>,
    /// `COUNTERSIGN_SERVER`: the control elsewhere that those commands ask.
    pub server: Option<String>,
    /// `COUNTERSIGN_CREDENTIALS`: who asks there.
    pub credentials: Option<PathBuf>,
    /// `COUNTERSIGN_LOG`: which log lines go to standard error, as `tracing` directives.
    pub log: Option<String>,
    /// `COUNTERSIGN_LOG_FORMAT`: how they are written, `text` or `json`.
    pub log_format: Option<String>,
    /// `XDG_STATE_HOME`, when it is an absolute path (the specification says to ignore others).
    pub state_home: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `NO_COLOR`, when it is not empty.
    pub no_color: bool,
    /// `TERM` is `dumb`.
    pub dumb_terminal: bool,
    /// `CREDENTIALS_DIRECTORY`: the secrets that systemd hands to a service.
    pub service_credentials: Option<PathBuf>,
    /// `PATH`.
    pub path: Vec<PathBuf>,
    /// `TMPDIR`, or `/tmp`.
    pub temporary: PathBuf,
}

impl Env {
    /// Reads it.
    pub fn read() -> Self {
        Self {
            data: set("COUNTERSIGN_DATA").map(PathBuf::from),
            server: set("COUNTERSIGN_SERVER").map(|value| value.to_string_lossy().into_owned()),
            credentials: set("COUNTERSIGN_CREDENTIALS").map(PathBuf::from),
            log: set("COUNTERSIGN_LOG").and_then(|value| value.into_string().ok()),
            log_format: set("COUNTERSIGN_LOG_FORMAT").map(|value| value.to_string_lossy().into_owned()),
            state_home: set("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()),
            home: set("HOME").map(PathBuf::from),
            no_color: set("NO_COLOR").is_some(),
            dumb_terminal: set("TERM").is_some_and(|value| value == "dumb"),
            service_credentials: set("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            path: set("PATH").map(|value| std::env::split_paths(&value).collect()).unwrap_or_default(),
            temporary: set("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from),
        }
    }

    /// Whether colour is wanted where there is a terminal.
    pub const fn wants_colour(&self) -> bool {
        !self.no_color && !self.dumb_terminal
    }
}

/// A variable that is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is the binary's one reader of the environment")]
fn set(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
