//! Holding on to the process at the other end of a connection.
//!
//! A process id can be given to another process the moment its owner dies. The kernel is asked for a pidfd of the very
//! process that connected (`SO_PEERPIDFD`), and whatever is read under `/proc` counts only if the pidfd still shows a
//! living process afterwards: until then its id was nobody else's. A kernel before 6.5 has no such option; there the
//! pidfd is opened by the id as soon as the connection is accepted, which never waits (docs/decisions/0019-attestors.md).

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

/// A pinned process with the credentials it had when it connected (`SO_PEERCRED`).
#[derive(Clone)]
pub(crate) struct Pinned {
    pub pid: u32,
    pub uid: u32,
    pub gid: u32,
    descriptor: Arc<AsyncFd<OwnedFd>>,
}

impl Pinned {
    /// Pins the process that opened the other end. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// When the process is gone, or lives outside the agent's pid namespace.
    pub fn open(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let pid = credentials.pid().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the peer's process is not visible from here"))?;
        let descriptor = watched(pidfd(stream, pid)?)?;
        let number = u32::try_from(pid.as_raw_nonzero().get()).map_err(io::Error::other)?;
        Ok(Self { pid: number, uid: credentials.uid(), gid: credentials.gid(), descriptor: Arc::new(descriptor) })
    }

    /// Whether the process still lives. What cannot be found out counts as dead.
    pub fn is_alive(&self) -> bool {
        let mut descriptors = [PollFd::from_borrowed_fd(self.descriptor.get_ref().as_fd(), PollFlags::IN)];
        matches!(poll(&mut descriptors, Some(&Timespec::default())), Ok(0))
    }

    /// Resolves when the process has ended: a pidfd becomes readable then.
    pub async fn ended(&self) {
        while self.is_alive() {
            match self.descriptor.readable().await {
                Ok(mut guard) => guard.clear_ready(),
                Err(_) => return,
            }
        }
    }
}

fn pidfd(stream: &UnixStream, pid: Pid) -> io::Result<OwnedFd> {
    match getsockopt(stream, sockopt::PeerPidfd) {
        Ok(descriptor) => Ok(descriptor),
        Err(Errno::ENOPROTOOPT) => Ok(pidfd_open(pid, PidfdFlags::NONBLOCK)?),
        Err(error) => Err(error.into()),
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe; an `OwnedFd` that nobody takes out is open for as long as this"
)]
fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}
