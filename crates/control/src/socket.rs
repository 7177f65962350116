//! The admin socket: a Unix socket that only its own user may speak to, or every user of the machine where operators have
//! user ids. Whose connection it is, the system says.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use types::limits;

/// Only for the user who owns the data directory.
const PRIVATE: u32 = 0o600;
/// For every user: who is an operator is decided by their user id.
const OPEN: u32 = 0o666;

/// The socket could not be made.
#[derive(Debug, Error)]
#[error("the admin socket `{}` cannot be made", .path.display())]
pub struct SocketError {
    /// Its path.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// A bound admin socket. Dropping it removes the file.
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    uid: u32,
}

impl AdminSocket {
    /// Makes the socket with mode 0600. A file that a dead process left is replaced; the caller holds the lock of the
    /// data directory, so nobody else can be listening there.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |source| SocketError { path: path.to_owned(), source };
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, Permissions::from_mode(PRIVATE)).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), uid: rustix::process::geteuid().as_raw() })
    }

    /// The user who owns it, and the data directory.
    pub(crate) const fn owner(&self) -> u32 {
        self.uid
    }

    /// Lets every user of the machine connect, or only the owner.
    pub(crate) fn open_to_users(&self, open: bool) {
        let mode = if open { OPEN } else { PRIVATE };
        if let Err(error) = fs::set_permissions(&self.path, Permissions::from_mode(mode)) {
            tracing::error!(%error, "who may connect to the admin socket could not be changed");
        }
    }

    /// The next connection, and the user at its other end.
    pub(crate) async fn accept(&self) -> (UnixStream, u32) {
        loop {
            match self.listener.accept().await.and_then(|(stream, _)| Ok((stream.peer_cred()?.uid(), stream))) {
                Ok((uid, stream)) => return (stream, uid),
                Err(error) => {
                    tracing::warn!(%error, "the admin socket was given no connection");
                    tokio::time::sleep(Duration::from_millis(limits::ACCEPT_PAUSE_TIME.default)).await;
                }
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // a socket that is left behind is replaced by the next start
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_private_replaces_a_dead_one_and_goes_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = AdminSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn it_is_opened_to_users_and_closed_again_and_says_who_connects() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let socket = AdminSocket::bind(&path).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        socket.open_to_users(true);
        assert_eq!(mode(), 0o666);
        socket.open_to_users(false);
        assert_eq!(mode(), 0o600);
        let (_caller, accepted) = tokio::join!(UnixStream::connect(&path), socket.accept());
        assert_eq!(accepted.1, rustix::process::geteuid().as_raw());
    }
}
