//! A process id that is used again, by another program of the same user.

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use testkit::RealClock;
use tokio::net::UnixListener;

use super::process::Helper;
use crate::attest::{AttestError, Attestor};
use crate::pin::Pinned;

const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

/// The connection of a process, kept open beyond its end.
fn kept_connection(pid: Pid) -> Option<OwnedFd> {
    let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let folder = format!("/proc/{}/fd", pid.as_raw_nonzero());
    let numbers = fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let sockets = numbers.filter_map(|number| pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok());
    sockets
        .into_iter()
        .find(|socket| rustix::net::getpeername(socket).is_ok_and(|peer| format!("{peer:?}").contains("reused")))
}

/// A process of this id, where the system lets us choose.
fn with_id(pid: u32) -> Option<Child> {
    for _ in 0..50 {
        let mut last = fs::File::options().write(true).open(LAST_PID).ok()?;
        last.write_all((pid - 1).to_string().as_bytes()).ok()?;
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().ok()?;
        if child.id() == pid {
            return Some(child);
        }
        child.kill().ok()?;
        child.wait().ok()?;
    }
    None
}

#[tokio::test]
async fn wa_7_an_id_that_was_used_again_is_not_attested() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("reused");
    let listener = UnixListener::bind(&path).unwrap();
    let mut helper = Helper::program(&std::env::current_exe().unwrap(), &path);
    let pid = helper.0.id();
    let connection = kept_connection(Pid::from_child(&helper.0));
    helper.0.kill().unwrap();
    helper.0.wait().unwrap();
    let (Some(_connection), Some(mut other)) = (connection, with_id(pid)) else {
        eprintln!("skipped: wa_7_an_id_that_was_used_again_is_not_attested (no choice of process ids here)");
        return;
    };
    // Only now is the connection taken: by its id, the process is the other one.
    let (stream, _) = listener.accept().await.unwrap();
    assert_eq!(stream.peer_cred().unwrap().pid().map(i32::cast_unsigned), Some(pid));
    assert!(fs::exists(format!("/proc/{pid}/exe")).unwrap());
    if let Ok(process) = Pinned::open(&stream) {
        assert!(!process.is_alive(), "another process was pinned");
        let attested = Attestor::new(directory.path(), vec![]).unwrap().attest(&process, &RealClock);
        assert!(matches!(attested, Err(AttestError::Gone)), "{attested:?}");
    }
    other.kill().unwrap();
    other.wait().unwrap();
}
