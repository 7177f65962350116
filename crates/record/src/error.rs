//! What can go wrong when a log is opened or read, with what to do about it.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why a log cannot be opened for writing.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The sizes do not fit each other.
    #[error("the decision log cannot be {max_bytes} bytes with segments of {segment_bytes} bytes")]
    Sizes {
        /// The size asked for.
        max_bytes: u64,
        /// The size of a segment asked for.
        segment_bytes: u64,
    },
    /// Something else stands where the directory should be.
    #[error("the decision log `{}` is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// The directory cannot be written to.
    #[error("the decision log `{}` cannot be written", .path.display())]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something of an earlier start cannot be read.
    #[error("`{}` cannot be read", .path.display())]
    Unreadable {
        /// The directory or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process writes to it.
    #[error("the decision log `{}` is in use by {}", .path.display(), .pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process, where it has said so.
        pid: Option<u32>,
    },
    /// A file of the directory is not what it should be.
    #[error("`{}` is damaged: {what}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// A file was written by a later program.
    #[error("`{}` has log format {version}, this program knows format 1", .file.display())]
    NewerFormat {
        /// The file.
        file: PathBuf,
        /// The version that it names.
        version: u32,
    },
    /// The file system cannot reserve space.
    #[error("the file system of `{}` cannot reserve space", .path.display())]
    NoReservation {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A lane's name breaks the grammar of names.
    #[error("`{0}` is not a name for a lane")]
    LaneName(String),
    /// A lane of this name was opened before, since the start.
    #[error("the lane `{0}` was opened before")]
    LaneTwice(String),
    /// The thread that prepares segments cannot be started.
    #[error("the thread of the decision log cannot be started")]
    Thread(#[source] io::Error),
}

impl OpenError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Sizes { .. } => "segments take 64 KiB to 1 GiB, and the log at least two of them",
            Self::NotADirectory(_) => "move it away, or name another data directory",
            Self::NotWritable { .. } => {
                "the directory must be on a writable file system and belong to the user who runs this"
            }
            Self::Unreadable { .. } => "the log must belong to the user who runs this; check owner, mode and disk",
            Self::InUse { .. } => "stop that process, or name another data directory: a log has one writer",
            Self::Damaged { .. } => {
                "keep the file as evidence outside of the directory and start again; readers will name the gap"
            }
            Self::NewerFormat { .. } => "start the newer version again, or move the log away and keep it",
            Self::NoReservation { .. } => "put the data directory on ext4, xfs, btrfs or tmpfs",
            Self::LaneName(_) => "use 1 to 63 of a-z, 0-9 and dash, starting with a letter",
            Self::LaneTwice(_) => "give each worker a lane of its own",
            Self::Thread(_) => "check the limits on threads of this user",
        }
    }
}

/// Why a log cannot be read. What is wrong *inside* it is a [`crate::Damage`] instead.
#[derive(Debug, Error)]
#[error("`{}` cannot be read", .path.display())]
pub struct ReadError {
    /// The directory or file.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

impl ReadError {
    pub(crate) fn new(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self { path: path.into(), source }
    }
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        Self::Unreadable { path: error.path, source: error.source }
    }
}
