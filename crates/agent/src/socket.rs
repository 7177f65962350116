//! The Unix socket: bound once, freed from what a crash left behind, removed at the end.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::net::UnixListener;

/// Every local user may connect: who gets what is decided by attestation. The folder around it may be narrower.
const MODE: u32 = 0o666;

/// What fits into `sun_path` with its closing zero.
const MAX_PATH_BYTES: usize = 107;

/// Why the socket cannot be bound.
#[derive(Debug, Error)]
pub enum BindError {
    /// Somebody answers there.
    #[error("another agent is listening on `{}`", .0.display())]
    Live(PathBuf),
    /// Something else has the name.
    #[error("`{}` exists and is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// Longer than the system allows.
    #[error("the path `{}` is longer than {MAX_PATH_BYTES} bytes, the most that a Unix socket can have", .0.display())]
    TooLong(PathBuf),
    /// The system refused.
    #[error("cannot listen on `{}`", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl BindError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Live(_) => "stop the other agent, or give this one another data directory",
            Self::NotASocket(_) => "move the file away; it is not removed because it may be yours",
            Self::TooLong(_) => "choose a shorter data directory",
            Self::Io { .. } => "check that the folder exists and is writable",
        }
    }
}

/// A bound socket. Its file is removed when this is dropped.
#[derive(Debug)]
pub struct Socket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    /// Device and inode, so that only our own file is removed.
    file: (u64, u64),
}

impl Socket {
    /// Binds a path. A socket file that nobody answers on is replaced. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`] when the path is in use, not a socket, too long, or cannot be written.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        if path.as_os_str().len() > MAX_PATH_BYTES {
            return Err(BindError::TooLong(path.to_owned()));
        }
        let failed = |source| BindError::Io { path: path.to_owned(), source };
        free(path)?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(MODE)).map_err(failed)?;
        let metadata = fs::symlink_metadata(path).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), file: (metadata.dev(), metadata.ino()) })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.file);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket file stays behind");
        }
    }
}

/// Removes a socket file that nobody answers on.
fn free(path: &Path) -> Result<(), BindError> {
    let failed = |source| BindError::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match StdUnixStream::connect(path) {
        Ok(_) => Err(BindError::Live(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}
