//! The admin socket: a Unix socket that only its own user may speak to.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use axum::serve::Listener;
use thiserror::Error;
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};

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
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), uid: rustix::process::geteuid().as_raw() })
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // a socket that is left behind is replaced by the next start
        let _ = fs::remove_file(&self.path);
    }
}

/// Hands out connections of our own user only: the mode keeps others out, and this keeps out whoever the mode does not
/// (root, a descriptor that was passed on).
impl Listener for AdminSocket {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == self.uid => return (stream, address),
                Ok(peer) => {
                    tracing::warn!(uid = peer.uid(), "a connection of another user to the admin socket was closed");
                }
                Err(error) => tracing::warn!(%error, "a connection to the admin socket has no peer credentials"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
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
    async fn a_connection_of_another_user_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let mut socket = AdminSocket::bind(&path).unwrap();
        socket.uid = socket.uid.wrapping_add(1);
        let accepting = tokio::spawn(async move { Listener::accept(&mut socket).await });
        let mut stream = UnixStream::connect(&path).await.unwrap();
        let mut buffer = [0; 1];
        tokio::select! {
            read = tokio::io::AsyncReadExt::read(&mut stream, &mut buffer) => assert_eq!(read.unwrap(), 0, "not a word"),
            _ = accepting => panic!("it was accepted"),
        }
    }
}
