//! The health of a process, what `doctor` finds, and the browser's way in.

use serde::{Deserialize, Serialize};
use types::Timestamp;

use super::rfc3339;

/// `GET /readyz` and `GET /v1/health`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Health {
    /// Whether it takes calls and can decide them.
    pub ready: bool,
    /// Why not, one sentence each; empty where it is ready.
    pub problems: Vec<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Something does not work, or will not soon.
    Problem,
    /// Somebody should look at it.
    Warning,
    /// It is as it should be.
    Good,
}

/// One thing that `doctor` looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What was looked at, such as `decision log`.
    pub subject: String,
    /// What was found.
    pub message: String,
    /// What to do, `""` for nothing.
    pub hint: String,
}

/// A way into the console that works once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LoginLink {
    /// The whole address to open.
    pub url: String,
    /// Until when.
    #[serde(with = "rfc3339")]
    pub until: Timestamp,
}

/// A browser that is logged in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// The secret of its cookie.
    pub secret: String,
    /// The operator.
    pub operator: String,
    /// Until when.
    pub until: Timestamp,
}
