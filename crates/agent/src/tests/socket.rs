//! The socket file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use crate::{BindError, Socket};

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_an_error() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("workload.sock");
    // What a killed process leaves behind: the file without anybody listening.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let socket = Socket::bind(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    let error = Socket::bind(&path).unwrap_err();
    assert!(matches!(error, BindError::Live(_)));
    assert_eq!(error.to_string(), format!("another agent is listening on `{}`", path.display()));
    drop(socket);
    assert!(!path.exists(), "the file stays behind");
}

#[tokio::test]
async fn what_is_not_ours_is_not_removed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("workload.sock");
    fs::write(&path, "precious").unwrap();
    assert!(matches!(Socket::bind(&path), Err(BindError::NotASocket(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&path).unwrap();
    let socket = Socket::bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "another's").unwrap();
    drop(socket);
    assert!(path.exists(), "another's file was removed");
}

#[tokio::test]
async fn a_path_that_does_not_fit_says_so() {
    let long = format!("/tmp/{}", "x".repeat(120));
    assert!(matches!(Socket::bind(Path::new(&long)), Err(BindError::TooLong(_))));
    assert!(matches!(Socket::bind(Path::new("/nonexistent/workload.sock")), Err(BindError::Io { .. })));
}
