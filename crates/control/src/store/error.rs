//! Why the store does not open or does not take something, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use thiserror::Error;

/// The store cannot be used as it is. Nothing was changed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("the store `{}` cannot be opened", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something else than a file of ours stands there.
    #[error("the store `{}` is not a plain file", .0.display())]
    NotAFile(PathBuf),
    /// Others may read or change it.
    #[error("the store `{}` has mode {mode:03o} and is open to other users", .path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to another user.
    #[error("the store `{}` belongs to user {owner}, not to user {user} who runs this program", .path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The effective user of this process.
        user: u32,
    },
    /// It is no database, or another program's.
    #[error("`{}` is not a store of countersign", .0.display())]
    Foreign(PathBuf),
    /// It is not as it was written.
    #[error("the store `{}` is damaged: {detail}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        detail: String,
    },
    /// A later program wrote it.
    #[error("the store `{}` has version {found}, this program knows up to {known}", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The latest that this program knows.
        known: u32,
    },
    /// Another process holds it.
    #[error("the store `{}` is locked by another process", .0.display())]
    Locked(PathBuf),
    /// It, or its file system, may not be written.
    #[error("the store `{}` cannot be written: it is read-only", .0.display())]
    ReadOnly(PathBuf),
    /// There is no room.
    #[error("the store `{}` cannot be written: the disk is full", .0.display())]
    Full(PathBuf),
    /// The copy that is made before a change of version.
    #[error("the store `{}` has version {found} and cannot be copied to `{}` before it is changed: {detail}", .path.display(), .copy.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The copy.
        copy: PathBuf,
        /// Why not.
        detail: String,
    },
    /// It was never here.
    #[error("revision {0} is not kept here")]
    Gone(String),
    /// What is kept is not what its name says.
    #[error("the kept files of revision {0} were changed")]
    Changed(String),
    /// What is kept is not accepted by this version of the program.
    #[error("the kept files of revision {0} do not validate any more: {1}")]
    Invalid(String, String),
    /// Anything else.
    #[error("the store `{}` failed: {detail}", .path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// The words of the database.
        detail: String,
    },
}

impl StoreError {
    /// From what the database says.
    pub(super) fn of(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let Some(code) = error.sqlite_error_code() else {
            // a value that this program did not write
            return Self::Damaged { path, detail: error.to_string() };
        };
        match code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
                Self::Locked(path)
            }
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied => Self::ReadOnly(path),
            ErrorCode::DiskFull => Self::Full(path),
            ErrorCode::NotADatabase => Self::Foreign(path),
            ErrorCode::DatabaseCorrupt => Self::Damaged { path, detail: error.to_string() },
            _ => Self::Failed { path, detail: error.to_string() },
        }
    }

    /// From what the file system says.
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(path),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(path),
            io::ErrorKind::IsADirectory => Self::NotAFile(path),
            _ => Self::Open { path, source },
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        let restore = "restore it from a backup (it lies beside its `-wal` file; copy both); to start over, with the \
                       revocations and publications of before lost, move both files away";
        match self {
            Self::Open { .. } => "check that the data directory exists and may be written".to_owned(),
            Self::NotAFile(_) => "put the file itself there; links are not followed".to_owned(),
            Self::TooOpen { path, .. } => format!(
                "others may have read or changed what it holds; if that can be ruled out: chmod 600 {}",
                path.display()
            ),
            Self::NotOurs { path, user, .. } => {
                format!("run the program as the owner, or: chown {user} {}", path.display())
            }
            Self::Foreign(_) | Self::Damaged { .. } => restore.to_owned(),
            Self::Newer { found, .. } => format!(
                "run the version that wrote it, or restore the copy of before, which is named like it with \
                 `.before-{found}`"
            ),
            Self::Locked(path) => format!("see who holds it: fuser {}", path.display()),
            Self::ReadOnly(_) => "make the file and its file system writable".to_owned(),
            Self::Full(_) => "make room on the disk".to_owned(),
            Self::Backup { .. } => "make room on the disk, or move the copy of an earlier attempt away".to_owned(),
            Self::Gone(_) => "`countersign revisions` lists those that are".to_owned(),
            Self::Changed(_) => restore.to_owned(),
            Self::Invalid(..) => "publish its files again, corrected".to_owned(),
            Self::Failed { .. } => "see the log of the process; the data directory may have gone".to_owned(),
        }
    }
}
