//! The clients that others wrote, against the real agent: `spiffe` and `spiffe-tls` of PyPI, `spiffe` and `spiffe-rustls` of
//! crates.io. They are in tests/workload.

use super::*;

/// The interpreter with the packages of tests/workload/requirements.txt; `None` where `cargo xtask ci --install` has not
/// fetched them.
fn python() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workload/.venv/bin/python");
    let found = path.exists().then_some(path);
    if found.is_none() {
        say("skipped: the client in Python, for its packages are not there");
    }
    found
}

/// The programs by whose paths they are recognised.
pub(super) fn programs() -> Vec<PathBuf> {
    let own = caller().with_file_name("e2e-rustls");
    python().map(|path| path.canonicalize().unwrap()).into_iter().chain([own]).collect()
}

/// All of them, calling.
pub(super) fn start(fleet: &Fleet, proxy: &str) -> Vec<(&'static str, Calling)> {
    let rust = Command::new(caller().with_file_name("e2e-rustls"));
    let mut started = vec![("spiffe-rustls", Calling::by(rust, fleet, proxy, &[], "rustls"))];
    if let Some(python) = python() {
        let mut command = Command::new(python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../workload/client.py"));
        started.push(("spiffe-tls", Calling::by(command, fleet, proxy, &[], "python")));
    }
    started
}
