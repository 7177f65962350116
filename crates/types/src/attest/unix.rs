//! The `unix` rule: which user runs which executable.

use core::fmt;
use std::collections::BTreeSet;

use serde::Serialize;

use super::{RuleError, Selectors};

/// How a rule starts a path that the agent resolves against its own data directory.
const DATA_PREFIX: &str = "$DATA/";

/// What Linux appends to `/proc/PID/exe` once the file is gone from its path. Such a text never names a file that a
/// rule could mean.
const DELETED_SUFFIX: &str = " (deleted)";

/// Which executable a rule means.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathRule {
    /// Exactly this absolute path.
    Absolute(String),
    /// This path below the agent's data directory, written `$DATA/…`.
    InData(String),
}

impl PathRule {
    /// Parses `/an/absolute/path` or `$DATA/a/path`.
    ///
    /// # Errors
    /// [`RuleError::Path`] for anything that is not in normal form: relative, with an empty, `.` or `..` segment, with
    /// a control character, or ending like the link of a deleted file.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let (rest, rule) = match text.strip_prefix(DATA_PREFIX) {
            Some(rest) => (rest, Self::InData(rest.to_owned())),
            None => (text.strip_prefix('/').unwrap_or_default(), Self::Absolute(text.to_owned())),
        };
        let normal = rest.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
        let clean = !rest.chars().any(char::is_control) && !rest.ends_with(DELETED_SUFFIX);
        if normal && clean { Ok(rule) } else { Err(RuleError::Path(text.chars().take(160).collect())) }
    }

    fn matches(&self, selectors: &Selectors) -> bool {
        match self {
            Self::Absolute(path) => selectors.path.as_deref() == Some(path),
            Self::InData(path) => selectors.path_in_data.as_deref() == Some(path),
        }
    }
}

impl fmt::Display for PathRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute(path) => f.write_str(path),
            Self::InData(path) => write!(f, "{DATA_PREFIX}{path}"),
        }
    }
}

/// A `unix` attestation rule: everything it names must hold. It names at least one thing.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct UnixRule(UnixParts);

/// The parts of a [`UnixRule`]; what is left out is not asked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize)]
pub struct UnixParts {
    /// The user id.
    pub uid: Option<u32>,
    /// The group id at the moment the process connected.
    pub gid: Option<u32>,
    /// Group ids that the process must all have, as its own or as supplementary ones.
    pub groups: BTreeSet<u32>,
    /// The executable.
    pub path: Option<PathRule>,
    /// The SHA-256 of the executable.
    pub sha256: Option<[u8; 32]>,
}

impl UnixRule {
    /// Joins the parts of a rule.
    ///
    /// # Errors
    /// [`RuleError::EmptyUnix`] when it names nothing: such a rule would match every local process.
    pub fn new(parts: UnixParts) -> Result<Self, RuleError> {
        if parts == UnixParts::default() { Err(RuleError::EmptyUnix) } else { Ok(Self(parts)) }
    }

    /// Whether everything that the rule names was proven. An absent selector matches nothing.
    pub fn matches(&self, selectors: &Selectors) -> bool {
        let UnixParts { uid, gid, groups, path, sha256 } = &self.0;
        let has = |group: &u32| *group == selectors.gid || selectors.groups.contains(group);
        uid.is_none_or(|uid| uid == selectors.uid)
            && gid.is_none_or(|gid| gid == selectors.gid)
            && groups.iter().all(has)
            && path.as_ref().is_none_or(|path| path.matches(selectors))
            && sha256.is_none_or(|digest| selectors.sha256 == Some(digest))
    }

    /// What it asks for.
    pub const fn parts(&self) -> &UnixParts {
        &self.0
    }
}
