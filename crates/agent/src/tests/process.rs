//! Attestation of other processes: copies of this very test program, run from elsewhere.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use testkit::RealClock;
use tokio::net::UnixListener;
use types::attest::UnixParts;

use super::fake::{Fake, ID, Running, own_uid, path_rule, unix};
use crate::attest::{AttestError, Attestor};
use crate::fetch;
use crate::pin::Pinned;

const SOCKET: &str = "COUNTERSIGN_TEST_SOCKET";

/// What the copies run: connects, says so, waits for a line, fetches its identity, and says how that went.
#[tokio::test]
// tidy: every test of this file runs it, as a process of its own
#[ignore = "run by other tests as a process of its own"]
#[expect(clippy::disallowed_methods, reason = "the other tests tell it the socket through the environment")]
async fn helper() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    let connection = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    println!("\nready");
    std::io::stdin().lines().next();
    drop(connection);
    match fetch(Path::new(&socket)).await {
        Ok(svids) => println!("got {}", svids[0].spiffe_id),
        Err(error) => println!("failed: {error}"),
    }
}

pub struct Helper(pub Child);

impl Helper {
    pub fn start(command: &mut Command, socket: &Path) -> Self {
        let child = command
            .args(["tests::process::helper", "--exact", "--ignored", "--nocapture"])
            .env(SOCKET, socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut helper = Self(child);
        let stdout = helper.0.stdout.as_mut().unwrap();
        let mut lines = BufReader::with_capacity(1, stdout).lines();
        assert!(lines.any(|line| line.unwrap() == "ready"), "the helper did not start");
        helper
    }

    pub fn program(path: &Path, socket: &Path) -> Self {
        Self::start(&mut Command::new(path), socket)
    }

    /// Lets it go on, and returns what it said at the end.
    pub async fn finish(mut self) -> String {
        tokio::task::spawn_blocking(move || {
            self.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
            let mut said = String::new();
            self.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
            self.0.wait().unwrap();
            said.lines().find(|line| line.starts_with("got") || line.starts_with("failed")).unwrap().to_owned()
        })
        .await
        .unwrap()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub const DENIED: &str = "failed: the agent has no identity for this process";

/// Copies the test program to `name` in the agent's data directory.
fn copy(agent: &Running, name: &str) -> PathBuf {
    let path = agent.directory.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::copy(std::env::current_exe().unwrap(), &path).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wa_7_a_program_is_known_by_its_path_and_a_foreign_one_is_denied() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    fake.recognise(path_rule("$DATA/demo/payments"));
    let known = copy(&agent, "demo/payments");
    let foreign = copy(&agent, "demo/other");
    assert_eq!(Helper::program(&known, &agent.socket).finish().await, format!("got {ID}"));
    assert_eq!(Helper::program(&foreign, &agent.socket).finish().await, DENIED);
    // The same by absolute path, as `/proc` shows it.
    fake.recognise(path_rule(fs::canonicalize(&foreign).unwrap().to_str().unwrap()));
    assert_eq!(Helper::program(&known, &agent.socket).finish().await, DENIED);
    assert_eq!(Helper::program(&foreign, &agent.socket).finish().await, format!("got {ID}"));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wa_7_a_program_is_known_by_its_digest_wherever_it_lies() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let program = copy(&agent, "anywhere");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &fs::read(&program).unwrap());
    fake.recognise(unix(UnixParts { sha256: digest.as_ref().try_into().ok(), ..UnixParts::default() }));
    assert_eq!(Helper::program(&program, &agent.socket).finish().await, format!("got {ID}"));
    let mut changed = fs::OpenOptions::new().append(true).open(&program).unwrap();
    changed.write_all(b"x").unwrap();
    drop(changed);
    assert_eq!(Helper::program(&program, &agent.socket).finish().await, DENIED);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wa_7_a_program_whose_file_was_replaced_or_removed_has_no_path() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    fake.recognise(path_rule("$DATA/demo/payments"));
    let program = copy(&agent, "demo/payments");
    let replaced = Helper::program(&program, &agent.socket);
    fs::rename(copy(&agent, "demo/fresh"), &program).unwrap();
    assert_eq!(replaced.finish().await, DENIED);
    let removed = Helper::program(&program, &agent.socket);
    fs::remove_file(&program).unwrap();
    assert_eq!(removed.finish().await, DENIED);
    agent.stop().await;
}

/// A process with a mount namespace of its own can show any path for its program.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wa_7_a_program_mounted_over_the_path_elsewhere_is_denied() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    fake.recognise(path_rule("$DATA/payments"));
    let genuine = copy(&agent, "payments");
    let impostor = copy(&agent, "impostor");
    let allowed = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!(
            "skipped: wa_7_a_program_mounted_over_the_path_elsewhere_is_denied (mount namespaces are not to be had)"
        );
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", r#"mount --bind "$0" "$1" && shift && exec "$genuine" "$@""#]);
    command.env("genuine", &genuine).arg(&impostor).arg(&genuine);
    let helper = Helper::start(&mut command, &agent.socket);
    let link = fs::read_link(format!("/proc/{}/exe", helper.0.id())).unwrap();
    assert_eq!(link, fs::canonicalize(&genuine).unwrap(), "the test does not show what it should");
    assert_eq!(helper.finish().await, DENIED);
    assert_eq!(Helper::program(&genuine, &agent.socket).finish().await, format!("got {ID}"));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_reads_like_a_deleted_one_is_never_proven() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, program) = (directory.path().join("socket"), directory.path().join("payments (deleted)"));
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let mut helper = Helper::program(&program, &socket);
    let (stream, _) = listener.accept().await.unwrap();
    let selectors =
        Attestor::new(directory.path(), vec![]).unwrap().attest(&Pinned::open(&stream).unwrap(), &RealClock).unwrap();
    assert_eq!((selectors.path, selectors.path_in_data), (None, None));
    assert!(selectors.sha256.is_some());
    helper.0.kill().unwrap();
    helper.0.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wa_7_a_process_that_ended_is_not_attested() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut helper = Helper::program(&std::env::current_exe().unwrap(), &path);
    let (stream, _) = listener.accept().await.unwrap();
    let process = Pinned::open(&stream).unwrap();
    let attestor = Attestor::new(directory.path(), vec![]).unwrap();
    assert!(process.is_alive());
    assert_eq!(attestor.attest(&process, &RealClock).unwrap().pid, helper.0.id());
    let impostors = [(process.uid + 1, process.gid), (process.uid, process.gid + 1)];
    for (uid, gid) in impostors {
        let mut impostor = process.clone();
        (impostor.uid, impostor.gid) = (uid, gid);
        assert!(matches!(attestor.attest(&impostor, &RealClock), Err(AttestError::OtherUser)));
    }
    helper.0.kill().unwrap();
    process.ended().await;
    // Not yet waited for, it still shows under `/proc`: only the pidfd tells.
    assert!(matches!(attestor.attest(&process, &RealClock), Err(AttestError::Gone)));
    helper.0.wait().unwrap();
    assert!(matches!(attestor.attest(&process, &RealClock), Err(AttestError::Gone)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wa_7_a_process_is_known_by_its_user_and_all_its_groups() {
    if own_uid() != 0 {
        eprintln!("skipped: wa_7_a_process_is_known_by_its_user_and_all_its_groups (needs root)");
        return;
    }
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    fs::set_permissions(agent.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = copy(&agent, "program");
    let start = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "61001", "--regid", "61002", "--groups", "61003,61004"]).arg(&program);
        Helper::start(&mut command, &agent.socket)
    };
    let rule = |gid, groups: &[u32]| {
        let groups = groups.iter().copied().collect();
        unix(UnixParts { uid: Some(61_001), gid: Some(gid), groups, ..UnixParts::default() })
    };
    fake.recognise(rule(61_002, &[61_003, 61_004]));
    assert_eq!(start().finish().await, format!("got {ID}"));
    fake.recognise(rule(61_002, &[61_003, 61_005]));
    assert_eq!(start().finish().await, DENIED);
    fake.recognise(rule(61_003, &[]));
    assert_eq!(start().finish().await, DENIED);
    agent.stop().await;
}
