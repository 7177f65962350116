//! What the agent proves about a local process, and the rules by which a workload recognises its own (DESIGN section 6).

use core::fmt;

use serde::Serialize;
use thiserror::Error;

/// How a rule starts a path that the agent resolves against its own data directory.
const DATA_PREFIX: &str = "$DATA/";

/// What Linux appends to `/proc/PID/exe` once the file is gone from its path. Such a text never names a file that a
/// rule could mean.
const DELETED_SUFFIX: &str = " (deleted)";

/// What was proven about a process. Every part is a fact that the agent read after it had pinned the process (WA-7);
/// a part that could not be read is absent and matches no rule.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Selectors {
    /// The process id in the agent's own namespace.
    pub pid: u32,
    /// The user id at the moment the process connected.
    pub uid: u32,
    /// The group id at that moment.
    pub gid: u32,
    /// The absolute path of the executable, where that path still leads to the file that runs.
    pub path: Option<String>,
    /// The same path relative to the agent's data directory, where it lies inside.
    pub path_in_data: Option<String>,
    /// SHA-256 of the executable that runs.
    pub sha256: Option<[u8; 32]>,
}

/// As records show it: `uid:1001 gid:1001 path:/opt/payments/bin sha256:9f86…`. Control characters of a path are
/// escaped, so that a file name cannot forge a second selector line.
impl fmt::Display for Selectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid:{} gid:{}", self.uid, self.gid)?;
        if let Some(path) = &self.path {
            write!(f, " path:{}", path.escape_debug())?;
        }
        if let Some(digest) = &self.sha256 {
            f.write_str(" sha256:")?;
            digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

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
pub struct UnixRule {
    uid: Option<u32>,
    gid: Option<u32>,
    path: Option<PathRule>,
    sha256: Option<[u8; 32]>,
}

impl UnixRule {
    /// Joins the parts of a rule.
    ///
    /// # Errors
    /// [`RuleError::Empty`] when it names nothing: such a rule would match every local process.
    pub fn new(
        uid: Option<u32>,
        gid: Option<u32>,
        path: Option<PathRule>,
        sha256: Option<[u8; 32]>,
    ) -> Result<Self, RuleError> {
        if uid.is_none() && gid.is_none() && path.is_none() && sha256.is_none() {
            return Err(RuleError::Empty);
        }
        Ok(Self { uid, gid, path, sha256 })
    }

    /// Whether everything that the rule names was proven. An absent selector matches nothing.
    pub fn matches(&self, selectors: &Selectors) -> bool {
        self.uid.is_none_or(|uid| uid == selectors.uid)
            && self.gid.is_none_or(|gid| gid == selectors.gid)
            && self.path.as_ref().is_none_or(|path| path.matches(selectors))
            && self.sha256.is_none_or(|digest| selectors.sha256 == Some(digest))
    }

    /// The user id it asks for.
    pub const fn uid(&self) -> Option<u32> {
        self.uid
    }

    /// The group id it asks for.
    pub const fn gid(&self) -> Option<u32> {
        self.gid
    }

    /// The executable it asks for.
    pub const fn path(&self) -> Option<&PathRule> {
        self.path.as_ref()
    }

    /// The executable's SHA-256 that it asks for.
    pub const fn sha256(&self) -> Option<&[u8; 32]> {
        self.sha256.as_ref()
    }
}

/// Why something is not an attestation rule.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RuleError {
    /// Names nothing.
    #[error("a unix rule names at least one of path, uid, gid and sha256")]
    Empty,
    /// Not a path in normal form.
    #[error("`{0}` is not an absolute path in normal form, nor one that starts with `$DATA/`")]
    Path(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> Selectors {
        Selectors {
            pid: 7,
            uid: 1001,
            gid: 100,
            path: Some("/opt/payments/bin".into()),
            path_in_data: None,
            sha256: Some([7; 32]),
        }
    }

    fn rule(uid: Option<u32>, gid: Option<u32>, path: Option<&str>, sha256: Option<[u8; 32]>) -> UnixRule {
        UnixRule::new(uid, gid, path.map(|p| PathRule::parse(p).unwrap()), sha256).unwrap()
    }

    #[test]
    fn everything_a_rule_names_must_hold() {
        assert!(rule(Some(1001), None, None, None).matches(&process()));
        assert!(rule(Some(1001), Some(100), Some("/opt/payments/bin"), Some([7; 32])).matches(&process()));
        assert!(!rule(Some(1002), None, Some("/opt/payments/bin"), None).matches(&process()));
        assert!(!rule(Some(1001), Some(101), None, None).matches(&process()));
        assert!(!rule(None, None, Some("/opt/payments/bin2"), None).matches(&process()));
        assert!(!rule(None, None, None, Some([8; 32])).matches(&process()));
    }

    #[test]
    fn what_was_not_proven_matches_nothing() {
        let bare = Selectors { path: None, sha256: None, ..process() };
        assert!(!rule(None, None, Some("/opt/payments/bin"), None).matches(&bare));
        assert!(!rule(None, None, None, Some([7; 32])).matches(&bare));
        assert!(!rule(None, None, Some("$DATA/demo/payments"), None).matches(&process()));
        let inside = Selectors { path_in_data: Some("demo/payments".into()), ..process() };
        assert!(rule(None, None, Some("$DATA/demo/payments"), None).matches(&inside));
    }

    #[test]
    fn an_empty_rule_is_refused() {
        assert_eq!(UnixRule::new(None, None, None, None), Err(RuleError::Empty));
    }

    #[test]
    fn paths_are_in_normal_form() {
        for good in ["/bin/x", "$DATA/x", "/a b/c"] {
            assert_eq!(PathRule::parse(good).unwrap().to_string(), good);
        }
        for bad in
            ["", "/", "x", "bin/x", "$DATA", "$DATA/", "/a//b", "/a/../b", "/a/./b", "/a/", "/a\n", "/a (deleted)"]
        {
            assert!(PathRule::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn selectors_read_as_one_line() {
        let odd = Selectors { path: Some("/a\nuid:0".into()), sha256: None, ..process() };
        assert_eq!(odd.to_string(), "uid:1001 gid:100 path:/a\\nuid:0");
    }
}
