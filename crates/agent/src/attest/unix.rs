//! Which program a process runs.
//!
//! A path is proven only when, in the agent's own view of the file system, it still leads to the very file that runs.
//! That covers a deleted or replaced executable (`… (deleted)`), and a process that mounted something else over the
//! path in a mount namespace of its own.
//!
//! What no attestor of this kind can see: a process that hands its open connection to another one before it becomes
//! the program that a rule names. A rule should therefore name the user as well as the path.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use types::limits;

use crate::digest::Digests;

/// What Linux appends to the link once the executable is gone from its path.
const DELETED: &str = " (deleted)";

/// The executable of a process.
pub(super) struct Program {
    pub path: Option<String>,
    pub sha256: Option<[u8; 32]>,
}

/// Reads what runs. `home` is the process's folder under `/proc`.
///
/// INVARIANT: path and digest are of one file, held by one handle: a process that becomes another program meanwhile does not
/// get the path of the one with the digest of the other.
pub(super) fn program(home: &Path, digests: &Digests) -> Program {
    let link = home.join("exe");
    let Ok(running) = open(&link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map(File::from) else {
        return Program { path: None, sha256: None };
    };
    let contents = format!("/proc/self/fd/{}", running.as_raw_fd());
    let sha256 = File::open(contents).and_then(|mut file| digests.of(&mut file));
    if let Err(error) = &sha256 {
        tracing::debug!(process = %home.display(), %error, "the executable was not hashed");
    }
    Program { path: proven_path(&link, &running), sha256: sha256.ok() }
}

/// A whole file of `/proc`, of at most `proc_bytes`.
pub(super) fn bounded(path: &Path) -> io::Result<String> {
    let most = limits::PROC_BYTES.default;
    let mut text = String::new();
    File::open(path)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most { Err(io::Error::other("the file is too large")) } else { Ok(text) }
}

/// The path behind `/proc/PID/exe`, if it leads to the running file from here.
fn proven_path(link: &Path, running: &File) -> Option<String> {
    let path = fs::read_link(link).ok()?;
    let text = path.to_str()?;
    let fits = text.len() <= limits::PATH_BYTES.default_usize();
    if text.ends_with(DELETED) || !path.is_absolute() || !fits {
        return None;
    }
    let running = running.metadata().ok()?;
    let named = fs::symlink_metadata(&path).ok()?;
    let same = (running.dev(), running.ino()) == (named.dev(), named.ino());
    same.then(|| text.to_owned())
}
