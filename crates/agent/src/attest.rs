//! What a pinned process is, as far as it can be proven (DESIGN section 6; docs/attestation.md).
//!
//! Each fact is read from the kernel, or signed by a cluster; the process is never asked. What cannot be proven is left
//! out, and then matches no rule. Nothing counts unless the process that was pinned is still there afterwards.

pub(crate) mod token;
mod unix;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use types::attest::ServiceAccount;
use types::{Clock, Selectors, limits};

use crate::digest::Digests;
use crate::k8s::{Keys, TokenRefusal};
use crate::pin::Pinned;
use crate::proc::{self, Place, Status};

/// Reads selectors.
pub(crate) struct Attestor {
    /// Without symbolic links, as `/proc` shows paths.
    data: PathBuf,
    digests: Digests,
    clusters: Vec<Keys>,
}

/// Why nothing can be said about a process.
#[derive(Debug, Error)]
pub(crate) enum AttestError {
    /// It ended, before or while it was looked at.
    #[error("the process has ended")]
    Gone,
    /// Its credentials are not those of the connection: the id was given to another process, or it changed its user.
    #[error("the process does not run as the user and group that connected")]
    OtherUser,
    /// `/proc` did not answer.
    #[error("cannot read about the process")]
    Unreadable(#[source] io::Error),
}

impl Attestor {
    /// `data` is the agent's data directory, `clusters` whose tokens are believed.
    ///
    /// # Errors
    /// When the directory does not exist.
    pub fn new(data: &Path, clusters: Vec<Keys>) -> io::Result<Self> {
        Ok(Self { data: std::fs::canonicalize(data)?, digests: Digests::default(), clusters })
    }

    /// Reads what a process is. Blocks while it hashes the executable.
    pub fn attest(&self, process: &Pinned, clock: &dyn Clock) -> Result<Selectors, AttestError> {
        let home = PathBuf::from(format!("/proc/{}", process.pid));
        let groups = groups(&home, process)?;
        let program = unix::program(&home, &self.digests);
        let path_in_data = program.path.as_deref().and_then(|path| self.below_data(path));
        let Place { unit, container, pod } = place(&home);
        let service_account = self.service_account(&home, process, &groups, pod.as_deref(), clock);
        // INVARIANT: nothing read above counts unless the process that was pinned is still there.
        if !process.is_alive() {
            return Err(AttestError::Gone);
        }
        Ok(Selectors {
            pid: process.pid,
            uid: process.uid,
            gid: process.gid,
            groups,
            path: program.path,
            path_in_data,
            sha256: program.sha256,
            unit,
            container,
            pod,
            service_account,
        })
    }

    fn below_data(&self, path: &str) -> Option<String> {
        Path::new(path).strip_prefix(&self.data).ok()?.to_str().map(str::to_owned)
    }

    /// The account of the first cluster whose token is there and good. Where the control group shows a pod, the token must
    /// be of that one.
    fn service_account(
        &self,
        home: &Path,
        process: &Pinned,
        groups: &[u32],
        pod: Option<&str>,
        clock: &dyn Clock,
    ) -> Option<ServiceAccount> {
        self.clusters.iter().find_map(|keys| {
            let text = token::read(home, keys.token_path(), process, groups)?;
            let text = core::str::from_utf8(text.reveal()).ok()?;
            let account = keys.account(text.trim_ascii_end(), pod, clock.now());
            let told = |refusal: &TokenRefusal| {
                tracing::info!(pid = process.pid, cluster = keys.name(), %refusal, "a token was refused");
            };
            account.inspect_err(told).ok()
        })
    }
}

/// The supplementary groups, after the process was found to run as the user and group of the connection: a process id that
/// was given to somebody else between `connect` and the pidfd is found out here too.
fn groups(home: &Path, process: &Pinned) -> Result<Vec<u32>, AttestError> {
    let text = match unix::bounded(&home.join("status")) {
        Ok(text) => text,
        Err(error) if is_gone(&error) => return Err(AttestError::Gone),
        Err(error) => return Err(AttestError::Unreadable(error)),
    };
    let Status { uid, gid, groups } =
        proc::status(&text).ok_or_else(|| AttestError::Unreadable(io::Error::other("its status cannot be read")))?;
    if (uid, gid) != (process.uid, process.gid) {
        return Err(AttestError::OtherUser);
    }
    // Fewer facts never match more.
    let few = groups.len() <= limits::SELECTOR_GROUPS.default_usize();
    Ok(if few { groups } else { Vec::new() })
}

fn place(home: &Path) -> Place {
    unix::bounded(&home.join("cgroup")).map(|text| proc::cgroup(&text)).unwrap_or_default()
}

/// `ESRCH` comes from a file of `/proc` that was opened before its process ended.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}
