//! The `unix` attestor: what a pinned process is, as far as it can be proven (DESIGN section 6).
//!
//! A path is proven only when, in the agent's own view of the file system, it still leads to the very file that runs.
//! That covers a deleted or replaced executable (`… (deleted)`), and a process that mounted something else over the
//! path in a mount namespace of its own. What cannot be proven is left out, and then matches no rule.
//!
//! What no attestor of this kind can see: a process that hands its open connection to another one before it becomes
//! the program that a rule names. A rule should therefore name the user as well as the path.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;
use types::Selectors;

use crate::digest::Digests;
use crate::pin::Pinned;

/// What Linux appends to the link once the executable is gone from its path.
const DELETED: &str = " (deleted)";

/// Reads selectors.
pub(crate) struct Attestor {
    /// Without symbolic links, as `/proc` shows paths.
    data: PathBuf,
    digests: Digests,
}

/// Why nothing can be said about a process.
#[derive(Debug, Error)]
pub(crate) enum AttestError {
    /// It ended, before or while it was looked at.
    #[error("the process has ended")]
    Gone,
    /// Its credentials are not those of the connection: the id was given to another process, or it changed its user.
    #[error("the process does not run as the user that connected")]
    OtherUser,
    /// `/proc` did not answer.
    #[error("cannot read about the process")]
    Unreadable(#[source] io::Error),
}

impl Attestor {
    /// `data` is the agent's data directory.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn new(data: &Path) -> io::Result<Self> {
        Ok(Self { data: fs::canonicalize(data)?, digests: Digests::default() })
    }

    /// Reads what a process is. Blocks while it hashes the executable.
    pub fn attest(&self, process: &Pinned) -> Result<Selectors, AttestError> {
        let proc = PathBuf::from(format!("/proc/{}", process.pid));
        check_user(&proc, process.uid)?;
        let link = proc.join("exe");
        let path = proven_path(&link);
        let path_in_data = path.as_deref().and_then(|path| self.below_data(path));
        let sha256 = match File::open(&link).and_then(|mut file| self.digests.of(&mut file)) {
            Ok(digest) => Some(digest),
            Err(error) => {
                tracing::debug!(pid = process.pid, %error, "the executable was not hashed");
                None
            }
        };
        // INVARIANT: nothing read above counts unless the process that was pinned is still there.
        if !process.is_alive() {
            return Err(AttestError::Gone);
        }
        Ok(Selectors { pid: process.pid, uid: process.uid, gid: process.gid, path, path_in_data, sha256 })
    }

    fn below_data(&self, path: &str) -> Option<String> {
        Path::new(path).strip_prefix(&self.data).ok()?.to_str().map(str::to_owned)
    }
}

/// The process must run as the user of the connection. A process id that was given to a process of another user
/// between `connect` and the pidfd is found out here.
fn check_user(proc: &Path, uid: u32) -> Result<(), AttestError> {
    let status = match fs::read_to_string(proc.join("status")) {
        Ok(status) => status,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(AttestError::Gone),
        Err(error) => return Err(AttestError::Unreadable(error)),
    };
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    // Real, effective, saved, file system.
    let effective = ids.split_ascii_whitespace().nth(1).and_then(|id| id.parse().ok());
    if effective == Some(uid) { Ok(()) } else { Err(AttestError::OtherUser) }
}

/// The path behind `/proc/PID/exe`, if it leads to the same file from here.
fn proven_path(link: &Path) -> Option<String> {
    let path = fs::read_link(link).ok()?;
    let text = path.to_str()?;
    if text.ends_with(DELETED) || !path.is_absolute() {
        return None;
    }
    let running = fs::metadata(link).ok()?;
    let named = fs::symlink_metadata(&path).ok()?;
    let same = (running.dev(), running.ino()) == (named.dev(), named.ino());
    same.then(|| text.to_owned())
}
