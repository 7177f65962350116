//! Pods: the token that a process has in its own file system, and no other.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use jose::Key;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use rustix::fs::inotify;
use serde_json::json;
use tempfile::TempDir;
use testkit::RealClock;
use tokio::net::UnixStream;
use types::attest::{AttestParts, K8sRule, ServiceAccount};
use types::{Clock as _, Selectors};

use super::fake::{Fake, ID, Running, own_uid, rule};
use crate::attest::{Attestor, token};
use crate::k8s::Keys;
use crate::pin::Pinned;
use crate::serve::ServeError;
use crate::{Cluster, FetchError, Options, Socket, fetch, serve_on};

const POD: &str = "0e7f1e7a-9d2c-4b1e-8a52-3f6f6f2f2b11";

/// A cluster that lives in a folder of this machine.
struct Pod {
    folder: TempDir,
    key: KeyPair,
}

impl Pod {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), key: KeyPair::generate().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    fn cluster(&self) -> Cluster {
        let jwk = Key::from_spki(&self.key.subject_public_key_info()).unwrap().to_jwk(Some("k1"), "sig");
        Cluster {
            name: "prod".into(),
            issuer: "https://issuer".into(),
            audience: "countersign".into(),
            jwks_json: json!({ "keys": [jwk] }).to_string(),
            token_path: self.path(),
        }
    }

    fn token(&self, lasts: u64) -> String {
        let claims = json!({
            "aud": ["countersign"], "exp": RealClock.now().seconds() + lasts, "iss": "https://issuer",
            "sub": "system:serviceaccount:pay:payments",
            "kubernetes.io": {
                "namespace": "pay", "pod": { "name": "p", "uid": POD },
                "serviceaccount": { "name": "payments", "uid": "u" },
            },
        });
        let sign = |input: &[u8]| Ok::<_, ()>(jose::raw_ecdsa(&self.key.sign(input).unwrap(), 32).unwrap());
        jose::encode(br#"{"alg":"ES256","kid":"k1"}"#, claims.to_string().as_bytes(), sign).unwrap()
    }

    /// Replaces the token as the kubelet does.
    fn write(&self, text: &str) {
        let fresh = self.folder.path().join("fresh");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, self.path()).unwrap();
    }

    /// What is found out about this very process.
    fn attest(&self) -> Selectors {
        let attestor = Attestor::new(self.folder.path(), vec![Keys::new(self.cluster()).unwrap()]).unwrap();
        attestor.attest(&this_process(), &RealClock).unwrap()
    }

    fn account(&self) -> Option<String> {
        let account = self.attest().service_account;
        account.map(|ServiceAccount { cluster, namespace, name }| format!("{cluster}/{namespace}/{name}"))
    }
}

fn this_process() -> Pinned {
    let (_client, server) = UnixStream::pair().unwrap();
    Pinned::open(&server).unwrap()
}

fn account() -> ServiceAccount {
    ServiceAccount { cluster: "prod".into(), namespace: "pay".into(), name: "payments".into() }
}

#[tokio::test]
async fn a_process_is_known_by_its_pod_s_token() {
    let (pod, fake) = (Pod::new(), Fake::new(Arc::new(RealClock)));
    fake.recognise(rule(AttestParts { k8s: Some(K8sRule::new(account()).unwrap()), ..AttestParts::default() }));
    let agent = Running::with(&fake, vec![pod.cluster()]);
    assert!(matches!(fetch(&agent.socket).await, Err(FetchError::Denied)));
    pod.write(&pod.token(600));
    assert_eq!(fetch(&agent.socket).await.unwrap()[0].spiffe_id.as_str(), ID);
    pod.write(&pod.token(0));
    assert!(matches!(fetch(&agent.socket).await, Err(FetchError::Denied)));
    agent.stop().await;
}

#[tokio::test]
async fn only_a_file_that_can_be_a_token_is_read() {
    let pod = Pod::new();
    assert_eq!(pod.account(), None);
    pod.write(&format!("{}\n", pod.token(600)));
    assert_eq!(pod.account().as_deref(), Some("prod/pay/payments"));
    // as projected volumes are laid out
    fs::rename(pod.path(), pod.folder.path().join("data")).unwrap();
    symlink("data", pod.path()).unwrap();
    assert_eq!(pod.account().as_deref(), Some("prod/pay/payments"));
    fs::remove_file(pod.path()).unwrap();
    for text in ["", "\u{0}", "a.b.c", &"x".repeat(20_000)] {
        pod.write(text);
        assert_eq!(pod.account(), None);
    }
    // a pipe that nobody writes to, and a folder
    fs::remove_file(pod.path()).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, pod.path(), rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    assert_eq!(pod.account(), None);
    fs::remove_file(pod.path()).unwrap();
    fs::create_dir(pod.path()).unwrap();
    assert_eq!(pod.account(), None);
}

#[tokio::test]
async fn another_pod_s_token_and_a_token_of_another_cluster_prove_nothing() {
    let (pod, other) = (Pod::new(), Pod::new());
    pod.write(&other.token(600));
    assert_eq!(pod.account(), None);
    pod.write(&pod.token(600));
    assert_eq!(pod.attest().pod, None, "only the control group shows the pod");
}

#[tokio::test]
async fn a_cluster_that_cannot_be_used_ends_the_agent_before_it_answers() {
    let directory = TempDir::new().unwrap();
    let socket = Socket::bind(&directory.path().join("workload.sock")).unwrap();
    let cluster = Cluster { jwks_json: "{}".into(), ..Pod::new().cluster() };
    let options = Options { data_dir: directory.path().to_owned(), clusters: vec![cluster] };
    let fake = Fake::new(Arc::new(RealClock));
    let ended = serve_on(socket, options, fake, Arc::new(RealClock), std::future::pending()).await.unwrap_err();
    assert!(matches!(&ended, ServeError::Cluster { name, .. } if name == "prod"), "{ended}");
}

/// A process that may not read a file has nobody else read it for it.
#[tokio::test]
async fn a_token_that_the_process_could_not_read_itself_is_not_read_for_it() {
    if own_uid() != 0 {
        eprintln!("skipped: a_token_that_the_process_could_not_read_itself_is_not_read_for_it (needs root)");
        return;
    }
    let pod = Pod::new();
    pod.write(&pod.token(600));
    set_mode(pod.folder.path(), 0o755);
    let read = |uid: u32, mode: u32| {
        set_mode(&pod.path(), mode);
        let mut process = this_process();
        process.uid = uid;
        token::read(Path::new("/proc/self"), &pod.path(), &process, &[]).is_some()
    };
    assert!(read(0, 0o600));
    assert!(read(1000, 0o644));
    assert!(!read(1000, 0o600));
    // the group of the process is that of the file
    assert!(!read(1000, 0o604));
    assert!(read(1000, 0o640));
    // by each folder on the way, as the kernel's own answer to that user
    for (mode, passes) in [(0o755, true), (0o751, true), (0o701, false), (0o750, true), (0o740, false), (0o700, false)]
    {
        set_mode(pod.folder.path(), mode);
        assert_eq!(read(1000, 0o644), passes, "{mode:o}");
        let mut kernel = Command::new("setpriv");
        kernel.args(["--reuid", "1000", "--regid", "0", "--clear-groups", "cat"]).arg(pod.path());
        let answer = kernel.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(answer.success(), passes, "{mode:o}");
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// In namespaces of its own a process can have any root, the machine's files in it, and a link where its token should be:
/// to the token of a pod, which anybody may read who gets as far, and nobody but root and the pod gets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_of_one_s_own_does_not_make_the_agent_one_s_deputy() {
    const NAME: &str = "a_root_of_one_s_own_does_not_make_the_agent_one_s_deputy";
    let (pod, root) = (Pod::new(), TempDir::new().unwrap());
    pod.write(&pod.token(600));
    set_mode(&pod.path(), 0o644);
    set_mode(pod.folder.path(), 0o750);
    for path in ["machine", "run/secrets"] {
        fs::create_dir_all(root.path().join(path)).unwrap();
        set_mode(&root.path().join(path), 0o755);
    }
    set_mode(&root.path().join("run"), 0o755);
    set_mode(root.path(), 0o755);
    let link = Path::new("/machine").join(pod.path().strip_prefix("/").unwrap());
    symlink(link, root.path().join("run/secrets/token")).unwrap();
    for name in ["bin", "lib", "lib64", "usr"] {
        symlink(Path::new("machine").join(name), root.path().join(name)).unwrap();
    }
    let script = r#"mount --rbind / "$0/machine" && exec chroot "$0" /bin/sh -c 'echo ready; read -r line'"#;
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "61001", "--regid", "61001", "--clear-groups", "unshare", "-Urm", "sh", "-c", script]);
    let mut child =
        command.arg(root.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    if own_uid() != 0
        || said
            != "ready
"
    {
        eprintln!("skipped: {NAME} (needs root, and namespaces for everybody)");
        let _ = child.kill();
        let _ = child.wait();
        return;
    }
    let mut process = this_process();
    (process.pid, process.uid, process.gid) = (child.id(), 61_001, 61_001);
    let read = || {
        let home = PathBuf::from(format!("/proc/{}", child.id()));
        token::read(&home, Path::new("/run/secrets/token"), &process, &[]).is_some()
    };
    assert!(!read(), "the agent read for a process what that cannot read");
    set_mode(pod.folder.path(), 0o711);
    assert!(read(), "the test does not show what it should");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Opening some devices does something, such as starting a watchdog.
#[tokio::test]
async fn what_is_no_file_is_not_even_opened() {
    let pod = Pod::new();
    rustix::fs::mknodat(rustix::fs::CWD, pod.path(), rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&watch, pod.path(), inotify::WatchFlags::OPEN).unwrap();
    let opened = || rustix::io::read(&watch, &mut [0; 64]).is_ok();
    assert_eq!(pod.account(), None);
    assert!(!opened());
    drop(fs::OpenOptions::new().read(true).write(true).open(pod.path()).unwrap());
    assert!(opened(), "the test does not show what it should");
}

#[tokio::test]
async fn links_and_folders_on_the_way_are_bounded() {
    let (pod, process) = (Pod::new(), this_process());
    pod.write(&pod.token(600));
    let read = |path: PathBuf| token::read(Path::new("/proc/self"), &path, &process, &[]).is_some();
    symlink("circle", pod.folder.path().join("circle")).unwrap();
    assert!(!read(pod.folder.path().join("circle")));
    let folder = pod.folder.path().file_name().unwrap().to_str().unwrap();
    let around = |times| pod.folder.path().join(format!("../{folder}/").repeat(times)).join("token");
    assert!(read(around(10)));
    assert!(!read(around(100)));
    // the root is where `..` ends, and a link of the kernel's own is a text like any other
    assert!(read(Path::new("/../..").join(pod.path().strip_prefix("/").unwrap())));
    let open = fs::File::open(pod.path()).unwrap();
    fs::remove_file(pod.path()).unwrap();
    assert!(!read(PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&open)))));
}

/// An absolute link inside a process's own root leads to a file of that root, and not of the agent's.
#[tokio::test]
async fn a_link_does_not_lead_out_of_the_process_s_root() {
    let (pod, root) = (Pod::new(), TempDir::new().unwrap());
    pod.write(&pod.token(600));
    let home = TempDir::new().unwrap();
    symlink(root.path(), home.path().join("root")).unwrap();
    symlink(pod.path(), root.path().join("token")).unwrap();
    let process = this_process();
    let read = || token::read(home.path(), Path::new("/token"), &process, &[]).is_some();
    assert!(!read(), "the agent's own file was read");
    symlink("../../../../../../../../../../..".to_owned() + pod.path().to_str().unwrap(), root.path().join("up"))
        .unwrap();
    assert!(token::read(home.path(), Path::new("/up"), &process, &[]).is_none());
    // The same link with the file where it leads inside.
    let inside = root.path().join(pod.path().strip_prefix("/").unwrap());
    fs::create_dir_all(inside.parent().unwrap()).unwrap();
    fs::copy(pod.path(), inside).unwrap();
    assert!(read());
}
