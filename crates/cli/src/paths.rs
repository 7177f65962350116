//! Where things live: the state directory, the data directory of an organisation, and which of them runs.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::env::Env;
use crate::exit::Failed;

/// The admin socket inside a data directory.
pub const ADMIN_SOCKET: &str = "admin.sock";
/// The Workload API's socket inside a data directory.
pub const WORKLOAD_SOCKET: &str = "workload.sock";
/// The longest path of a Unix socket: `sun_path` holds 108 bytes, one of which ends it.
const SOCKET_PATH_BYTES: usize = 107;

/// `${XDG_STATE_HOME:-~/.local/state}/countersign`.
///
/// # Errors
/// When neither variable says where.
pub fn state_base(env: &Env) -> Result<PathBuf, Failed> {
    let state = env.state_home.clone().or_else(|| env.home.as_ref().map(|home| home.join(".local/state")));
    state.map(|state| state.join("countersign")).ok_or_else(|| {
        Failed::new("there is no place for data: neither XDG_STATE_HOME nor HOME is set")
            .hint("name one with `--data DIR`")
    })
}

/// The sockets of a data directory must fit into a socket address.
///
/// # Errors
/// When the directory's path is too long.
pub fn check_socket_paths(data: &Path) -> Result<(), Failed> {
    let longest = data.join(WORKLOAD_SOCKET);
    let length = longest.as_os_str().len();
    if length <= SOCKET_PATH_BYTES {
        return Ok(());
    }
    Err(Failed::new(format!(
        "the socket path `{}` is too long: {length} bytes, and Unix sockets take {SOCKET_PATH_BYTES}",
        longest.display()
    ))
    .hint("name a shorter data directory with `--data DIR`"))
}

/// The data directory of the process to ask: as given, as the environment says, or the only one that runs.
///
/// # Errors
/// When none runs, or several.
pub fn running(env: &Env, given: Option<&Path>) -> Result<PathBuf, Failed> {
    if let Some(data) = given.or(env.data.as_deref()) {
        return if is_live(data) { Ok(data.to_owned()) } else { Err(not_running(data)) };
    }
    let base = state_base(env)?;
    let mut live = live_below(&base);
    match live.len() {
        0 => Err(Failed::new(format!("no countersign is running: no live {ADMIN_SOCKET} below {}", base.display()))
            .hint("start one with `countersign up DIR`, or name its data directory with `--data DIR`")),
        1 => live.pop().ok_or_else(|| Failed::new("no countersign is running")),
        many => {
            let list: Vec<String> = live.iter().map(|data| format!("--data {}", data.display())).collect();
            Err(Failed::new(format!("{many} countersigns are running; say which one is meant"))
                .hint(format!("one of\n{}", list.join("\n"))))
        }
    }
}

/// The data directories below the state base in which a process answers.
pub fn live_below(base: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(base).into_iter().flatten().filter_map(Result::ok);
    let mut live: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|data| is_live(data)).collect();
    live.sort();
    live
}

/// Whether somebody accepts on the admin socket.
fn is_live(data: &Path) -> bool {
    UnixStream::connect(data.join(ADMIN_SOCKET)).is_ok()
}

fn not_running(data: &Path) -> Failed {
    if data.join(ADMIN_SOCKET).exists() {
        return Failed::new(format!("nothing answers on {}", data.join(ADMIN_SOCKET).display()))
            .hint("the process that made it has ended, or belongs to another user");
    }
    Failed::new(format!("no countersign is running in `{}`", data.display()))
        .hint("start one with `countersign up DIR --data DIR`")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn env(state: &Path) -> Env {
        Env { state_home: Some(state.to_owned()), ..Env::default() }
    }

    #[test]
    fn the_one_that_runs_is_found_and_several_are_listed() {
        let state = tempfile::tempdir().unwrap();
        let base = state.path().join("countersign");
        assert!(
            running(&env(state.path()), None).unwrap_err().message.unwrap().starts_with("no countersign is running")
        );
        for name in ["acme", "stale", "other"] {
            std::fs::create_dir_all(base.join(name)).unwrap();
        }
        drop(UnixListener::bind(base.join("stale").join(ADMIN_SOCKET)).unwrap());
        let _acme = UnixListener::bind(base.join("acme").join(ADMIN_SOCKET)).unwrap();
        assert_eq!(running(&env(state.path()), None).unwrap(), base.join("acme"));
        let stale = running(&env(state.path()), Some(&base.join("stale"))).unwrap_err();
        assert!(stale.message.unwrap().starts_with("nothing answers on"));
        let _other = UnixListener::bind(base.join("other").join(ADMIN_SOCKET)).unwrap();
        let several = running(&env(state.path()), None).unwrap_err();
        assert!(several.hint.unwrap().contains(&format!("--data {}", base.join("acme").display())));
    }

    #[test]
    fn without_a_home_the_data_directory_must_be_named() {
        assert!(state_base(&Env::default()).unwrap_err().hint.unwrap().contains("--data"));
        let env = Env { home: Some("/home/a".into()), ..Env::default() };
        assert_eq!(state_base(&env).unwrap(), Path::new("/home/a/.local/state/countersign"));
    }

    #[test]
    fn a_socket_path_that_does_not_fit_is_refused_early() {
        assert!(check_socket_paths(Path::new("/tmp/x")).is_ok());
        assert!(check_socket_paths(&Path::new("/tmp").join("x".repeat(100))).is_err());
    }
}
