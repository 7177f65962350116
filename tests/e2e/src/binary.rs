//! Where the programs under test are.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The `countersign` binary: `$COUNTERSIGN_BIN`, or beside the tests, where `cargo build` puts it.
///
/// # Panics
/// When it is not there, with the command that builds it.
pub fn countersign() -> PathBuf {
    if let Some(named) = env::var_os("COUNTERSIGN_BIN").filter(|named| !named.is_empty()) {
        let path = PathBuf::from(named);
        assert!(path.is_file(), "COUNTERSIGN_BIN names `{}`, which is no file", path.display());
        return path;
    }
    let path = profile_directory().join("countersign");
    assert!(
        path.is_file(),
        "there is no `{}`; build it with `cargo build {}--package countersign`, or name one with COUNTERSIGN_BIN",
        path.display(),
        profile_option(),
    );
    path
}

/// The program that stands for a workload, beside the tests.
///
/// # Panics
/// When it is not there.
pub fn workload() -> PathBuf {
    beside("e2e-workload")
}

/// The program that calls all the time, beside the tests.
///
/// # Panics
/// When it is not there.
pub fn caller() -> PathBuf {
    beside("e2e-caller")
}

fn beside(name: &str) -> PathBuf {
    let path = profile_directory().join(name);
    let build = format!("cargo build {}--package countersign-e2e", profile_option());
    assert!(path.is_file(), "there is no `{}`; build it with `{build}`", path.display());
    path
}

/// Holds other tests back that want to be alone in the same way, for as long as the result lives.
///
/// # Panics
/// When the file for that cannot be made.
pub fn alone(what: &str) -> File {
    let file = File::create(profile_directory().join(format!("e2e-{what}.lock"))).expect("a lock beside the tests");
    flock(&file, FlockOperation::LockExclusive).expect("the lock");
    file
}

/// Whether a program can be found on this machine.
pub fn is_beside(program: &str) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// `target/<profile>`: test executables lie in `deps` below it.
fn profile_directory() -> PathBuf {
    let own = env::current_exe().expect("the path of the tests");
    own.parent().and_then(Path::parent).expect("target/<profile>/deps").to_owned()
}

fn profile_option() -> String {
    let directory = profile_directory();
    match directory.file_name().and_then(|name| name.to_str()) {
        None | Some("debug") => String::new(),
        Some(profile) => format!("--profile {profile} "),
    }
}
