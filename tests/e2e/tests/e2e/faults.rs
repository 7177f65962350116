//! What goes wrong around the program: full disks, damaged files, taken ports, directories that do not validate. Each is
//! told clearly, lets nothing through and loses nothing.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use countersign_e2e::{
    After, Authority, Call, Curl, Ended, Http2, Raw, Site, Upstream, body_of, echo, is_beside, wait_until,
};
use http::Request;

use crate::{API, CALLER};

/// Looks that a start failed with a message that says all of this, and that nothing was left running.
fn failed(site: &Site, ended: &Ended, code: i32, says: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:#?}");
    for said in says {
        assert!(ended.stderr.contains(said), "`{said}` is missing: {ended:#?}");
    }
    assert!(ended.stderr.contains("hint: "), "{ended:#?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:#?}");
    assert!(site.ask_status().is_none(), "something runs");
}

/// Fills the log with refusals of a caller whose name makes each record large, on one connection after the other since
/// each worker has a lane of its own, and lets the caller of the tests call in between, until that is refused because it
/// cannot be recorded. Gives how many of its calls were answered well.
pub fn fill(site: &Site, client: &mut Raw) -> usize {
    const BATCH: usize = 50;
    let name = format!("spiffe://alpha.e2e.internal/{}", "x".repeat(2000));
    let stranger = site.authority("alpha").svid(site.root(), &name);
    let mut answered = 0;
    let mut is_open = || {
        let answer = client.ask(format!("GET /items/1 HTTP/1.1\r\nHost: {API}\r\n\r\n"));
        assert!(answer.status == 200 || answer.reason() == "record.full", "{answer:?}");
        answered += usize::from(answer.status == 200);
        answer.status == 200
    };
    for _ in 0..200 {
        let mut filler = Raw::open(site, Some(&stranger), API).unwrap();
        let mut has_room = true;
        while has_room {
            filler.send(format!("GET /items/1 HTTP/1.1\r\nHost: {API}\r\n\r\n").repeat(BATCH)).unwrap();
            for _ in 0..BATCH {
                let answer = filler.answer().unwrap();
                assert!(matches!(answer.status, 403 | 503), "{answer:?}");
                has_room &= answer.status == 403;
            }
            if !is_open() {
                return answered;
            }
        }
    }
    panic!("the log takes more than it may: {}", site.status());
}

/// Looks that what was answered was recorded, and that nothing was forwarded without a record.
fn full_and_closed(site: &Site, upstream: &Upstream, client: &mut Raw, answered: usize) {
    assert_eq!(upstream.count(), answered, "each answer of the upstream was for a recorded request");
    // the smaller records of refusals may still fit, until they do not either
    let mut refuse = || client.ask(format!("GET /nowhere HTTP/1.1\r\nHost: {API}\r\n\r\n"));
    wait_until("the last room to be used", || refuse().status == 503);
    for _ in 0..20 {
        let refused = refuse();
        assert_eq!((refused.status, refused.reason().as_str()), (503, "record.full"), "{refused:?}");
    }
    for _ in 0..20 {
        let answer = client.ask(format!("GET /items/1 HTTP/1.1\r\nHost: {API}\r\n\r\n"));
        assert_eq!((answer.status, answer.reason().as_str()), (503, "record.full"), "{answer:?}");
    }
    assert_eq!(upstream.count(), answered, "nothing is forwarded");
    let seen: BTreeSet<String> = upstream.calls().iter().map(Call::decision).collect();
    let decisions = site.decisions_of(CALLER);
    let ended: BTreeSet<String> = decisions
        .iter()
        .filter(|decision| decision["completion"]["status"] == 200)
        .map(|decision| decision["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        seen.is_subset(&ended),
        "{} of {} have no record with its end",
        seen.difference(&ended).count(),
        seen.len()
    );
}

#[test]
fn a_full_log_refuses_everything_and_forwards_nothing() {
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    site.edit("node.yaml", "max_size: 1GiB", "max_size: 64MiB");
    site.start();
    let mut client = Raw::by(&site, CALLER, API);
    let answered = fill(&site, &mut client);
    full_and_closed(&site, &upstream, &mut client, answered);

    // with more room, the next start goes on, and the old records are still there
    assert_eq!(site.stop().code, Some(0));
    site.edit("node.yaml", "max_size: 64MiB", "max_size: 1GiB");
    site.start();
    let answer = Curl::to(&site, API).by(CALLER).get("/items/2");
    assert_eq!(answer.status, 200, "{answer:?}");
    let allowed = || site.decisions_of(CALLER).iter().filter(|decision| decision["outcome"] == "allow").count();
    wait_until("the new decision beside the old ones", || allowed() == answered + 1);
}

/// The command behind `up` in a mount namespace of its own, after `mount` has run there; `None` where this machine does
/// not let us, which is said.
fn after_mount(site: &Site, mount: &str, test: &str) -> Option<Command> {
    let log = site.data().join("log");
    fs::create_dir_all(&log).unwrap();
    let try_it = || Command::new("unshare").args(["--mount", "sh", "-c", mount, "sh"]).arg(&log).output();
    if !is_beside("unshare") || !try_it().is_ok_and(|tried| tried.status.success()) {
        eprintln!("skipped: {test}: this user may not mount");
        return None;
    }
    let up = site.up_command();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &format!("{mount} && shift && exec \"$@\""), "sh"]).arg(log);
    command.arg(up.get_program()).args(up.get_args());
    Some(command)
}

#[test]
fn a_full_file_system_refuses_everything_and_forwards_nothing() {
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    // room for the first segments of a few lanes
    let lanes = std::thread::available_parallelism().unwrap().get() + 1;
    let mount = format!("mount -t tmpfs -o size={}m tmpfs \"$1\"", 16 * lanes + 4);
    let test = "a_full_file_system_refuses_everything_and_forwards_nothing";
    let Some(command) = after_mount(&site, &mount, test) else { return };
    site.start_with(command);
    let mut client = Raw::by(&site, CALLER, API);
    let answered = fill(&site, &mut client);
    full_and_closed(&site, &upstream, &mut client, answered);
}

#[test]
fn a_log_directory_that_cannot_be_used_keeps_it_from_starting() {
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    fs::create_dir_all(site.data()).unwrap();
    fs::write(site.data().join("log"), "a file").unwrap();
    let ended = site.fails_to_start();
    failed(&site, &ended, 2, &["is not a directory", "/data/log"]);
    assert_eq!(fs::read_to_string(site.data().join("log")).unwrap(), "a file");
    fs::remove_file(site.data().join("log")).unwrap();

    let test = "a_log_directory_that_cannot_be_used_keeps_it_from_starting, read-only";
    let Some(command) = after_mount(&site, "mount -t tmpfs -o ro tmpfs \"$1\"", test) else { return };
    let ended = countersign_e2e::Process::start(command, site.root(), "read-only").wait();
    failed(&site, &ended, 2, &["cannot be written", "/data/log"]);
}

#[test]
fn a_data_directory_that_cannot_be_made_keeps_it_from_starting() {
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    fs::write(site.data(), "a file").unwrap();
    let ended = site.fails_to_start();
    failed(&site, &ended, 2, &["is not a directory"]);
}

/// A system that has run and stopped, with the files of alpha's authority.
fn stopped() -> (Site, PathBuf, PathBuf) {
    let upstream = Upstream::start(echo);
    let mut site = Site::up(&upstream);
    assert_eq!(Curl::to(&site, API).by(CALLER).get("/items").status, 200);
    let ended = site.stop();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let keys = site.data().join("keys/alpha");
    (site, keys.join("ca.key"), keys.join("ca.pem"))
}

#[test]
fn damaged_keys_are_told_and_never_remade() {
    let (mut site, key, certificate) = stopped();
    let (good_key, good_certificate) = (fs::read(&key).unwrap(), fs::read(&certificate).unwrap());
    let other = site.data().join("keys/beta");

    for (garbage, says) in [
        ("garbage", "is damaged"),
        ("", "is damaged"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is damaged"),
    ] {
        fs::write(&key, garbage).unwrap();
        let ended = site.fails_to_start();
        failed(&site, &ended, 2, &[says, "keys/alpha/ca.key"]);
        assert_eq!(fs::read_to_string(&key).unwrap(), garbage, "left as it was");
    }
    fs::copy(other.join("ca.key"), &key).unwrap();
    let ended = site.fails_to_start();
    failed(&site, &ended, 2, &["is not the key of", "keys/alpha/ca.pem"]);

    fs::write(&key, &good_key).unwrap();
    fs::copy(other.join("ca.pem"), &certificate).unwrap();
    let ended = site.fails_to_start();
    failed(&site, &ended, 2, &["keys/alpha/ca"]);
    // key and certificate of another domain, which belong together
    fs::copy(other.join("ca.key"), &key).unwrap();
    let ended = site.fails_to_start();
    failed(&site, &ended, 2, &["it is not a root of trust domain `alpha.e2e.internal`"]);

    fs::write(&key, &good_key).unwrap();
    fs::remove_file(&certificate).unwrap();
    let ended = site.fails_to_start();
    failed(&site, &ended, 2, &["keys/alpha/ca.pem", "is missing"]);
    assert!(!certificate.exists(), "a root is never remade by itself");

    fs::write(&certificate, &good_certificate).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = site.fails_to_start();
    failed(&site, &ended, 2, &["is open to other users", "chmod"]);

    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    site.start();
    assert_eq!(Curl::to(&site, API).by(CALLER).get("/items").status, 200);
    drop(Authority::read(&site.data().join("keys/alpha")));
}

/// The segments of the decision log that hold records of gateway workers, largest first.
fn segments(site: &Site) -> Vec<PathBuf> {
    let files = fs::read_dir(site.data().join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().contains("worker")).collect();
    files.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    files
}

#[test]
fn a_segment_whose_header_is_garbage_keeps_it_from_starting() {
    let (mut site, ..) = stopped();
    let segment = segments(&site).remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[..64].fill(0x5a);
    fs::write(&segment, &bytes).unwrap();
    let ended = site.fails_to_start();
    let name = segment.file_name().unwrap().to_string_lossy().into_owned();
    failed(&site, &ended, 2, &[&name]);
    assert_eq!(fs::read(&segment).unwrap(), bytes, "left as it was");
}

#[test]
fn a_torn_tail_is_named_at_the_next_start_and_loses_nothing_else() {
    let upstream = Upstream::start(echo);
    let mut site = Site::up(&upstream);
    let mut client = Raw::by(&site, CALLER, API);
    let ids: Vec<String> =
        (0..10).map(|_| client.ask(format!("GET /nowhere HTTP/1.1\r\nHost: {API}\r\n\r\n")).decision()).collect();
    site.kill();
    // cut the last record short, as if the process had died while it wrote it
    let written = |path: &PathBuf| fs::read(path).unwrap().iter().rposition(|byte| *byte != 0).unwrap_or(0);
    let segment = segments(&site).into_iter().max_by_key(written).unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end - 20..=end].fill(0);
    fs::write(&segment, bytes).unwrap();
    site.start();
    let findings = site.status()["log_findings"].to_string();
    assert!(findings.contains("half written"), "{findings}");
    // the socket answers a little before that is printed
    wait_until("the finding to be printed", || site.process().stdout().contains("half written"));
    let left: Vec<String> =
        site.decisions().iter().map(|decision| decision["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(left, ids[..9]);
}

#[test]
fn a_second_process_on_the_same_data_is_refused_and_the_first_goes_on() {
    let upstream = Upstream::start(echo);
    let mut site = Site::up(&upstream);
    let first = site.process().id();
    let second = countersign_e2e::Process::start(site.up_command(), site.root(), "second").wait();
    assert_eq!(second.code, Some(2), "{second:#?}");
    assert!(second.stderr.contains("in use by") && second.stderr.contains(&first.to_string()), "{second:#?}");
    assert_eq!(Curl::to(&site, API).by(CALLER).get("/items").status, 200);
    assert!(site.ask_status().is_some(), "the admin socket was not taken away");
}

#[test]
fn a_taken_port_gives_the_next_free_one_and_says_so() {
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    site.edit("node.yaml", "address: 127.0.0.1:0, domains", &format!("address: {taken}, domains"));
    site.start();
    let gateway = site.gateway();
    assert_ne!(gateway.port(), taken.port());
    // the socket answers a little before that is printed
    wait_until("both ports to be printed", || {
        let said = site.process().stdout();
        said.contains(&format!("port {} is taken", taken.port())) && said.contains(&gateway.to_string())
    });
    let answer = Curl::to(&site, API).by(CALLER).get("/items");
    site.ended_well(&answer, CALLER);
    // whoever follows the printed line arrives
    let out = site.root().join("out").display().to_string();
    let fetched = site.run(["identity", "fetch", "--as", CALLER, "--out", &out]);
    let line = fetched.stdout.lines().find(|line| line.starts_with("curl ")).unwrap_or_else(|| panic!("{fetched:#?}"));
    assert!(line.contains(&format!(":{}", gateway.port())), "{line}");
    let called = Command::new("sh").args(["-c", &format!("{line} -sS -o /dev/null")]).output().unwrap();
    assert!(called.status.success(), "the printed line does not work: {line}: {called:?}");
    let record = site.decisions().pop().unwrap();
    assert_eq!((record["caller"].as_str(), record["host"].as_str()), (Some(CALLER), Some(API)), "{record:#}");
}

#[test]
fn a_directory_that_does_not_validate_starts_nothing_and_tells_every_problem() {
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    site.edit("countersign.yaml", "timezone: UTC", "timezone: Mars/Olympus\nsurprise: true");
    site.edit("domains/alpha/domain.yaml", "hosts: [bulk.e2e.internal]", "hosts: [api.e2e.internal]");
    site.edit("domains/beta/domain.yaml", "domain: beta", "domain: beta\nsurprise: 1");
    site.edit("domains/beta/policies/beta.cedar", "resource in Domain::\"beta\"", "resource in Domain::\"alpha\"");
    site.edit("domains/alpha/policies/alpha.cedar", "Workload::\"alpha/caller\"", "Workload::\"alpha/callre\"");
    let ended = site.fails_to_start();
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    for said in [
        "countersign.yaml:3",
        "Mars/Olympus",
        "countersign.yaml:4",
        "surprise",
        "domains/alpha/domain.yaml:",
        "api.e2e.internal",
        "domains/beta/domain.yaml:2",
        "domains/beta/policies/beta.cedar:3",
        "domains/alpha/policies/alpha.cedar:4",
        "did you mean `alpha/caller`?",
        "6 errors",
    ] {
        assert!(ended.stderr.contains(said), "`{said}` is missing:\n{}", ended.stderr);
    }
    assert!(!site.data().exists(), "nothing was begun");

    let mut site = Site::prepare(&upstream);
    site.edit("node.yaml", "max_size: 1GiB", "max_size: 1KiB, when_fool: allow");
    let ended = site.fails_to_start();
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(ended.stderr.contains("too small") && ended.stderr.contains("when_fool"), "{}", ended.stderr);
    assert!(!site.data().exists(), "nothing was begun");

    fs::remove_dir_all(site.dir()).unwrap();
    let ended = site.fails_to_start();
    failed(&site, &ended, 2, &["there is no directory", "countersign init"]);
}

/// An upstream that answers in two parts, the second of them when the file is there.
fn in_two_parts(go_on: PathBuf) -> Upstream {
    Upstream::start(move |turn| {
        turn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
        wait_until("the sign to go on", || go_on.exists());
        turn.write(b"67890");
        After::Close
    })
}

#[test]
fn a_stop_finishes_what_is_in_flight_and_takes_nothing_new() {
    let folder = tempfile::tempdir().unwrap();
    let sign = folder.path().join("go-on");
    let upstream = in_two_parts(sign.clone());
    let mut site = Site::up(&upstream);
    let mut http1 = Raw::by(&site, CALLER, API);
    http1.send(format!("GET /items/1 HTTP/1.1\r\nHost: {API}\r\n\r\n")).unwrap();
    http1.peek(1).unwrap();
    let mut http2 = Http2::by(&site, CALLER, API);
    let request = Request::get(format!("https://{API}/items/2")).body(body_of("")).unwrap();
    let mut body = http2.begin(request).into_body();
    assert_eq!(http2.next(&mut body).unwrap(), "12345");
    let gateway = site.gateway();
    site.process().ask_to_end();
    wait_until("the gateway to take no more connections", || std::net::TcpStream::connect(gateway).is_err());
    fs::write(&sign, "").unwrap();
    let answer = http1.answer().unwrap();
    assert_eq!((answer.text().as_str(), answer.broken.as_str()), ("1234567890", ""));
    assert_eq!(http2.next(&mut body).unwrap(), "67890");
    assert!(http2.next(&mut body).is_none());
    let ended = site.take_process().wait();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.stderr.matches("ERROR").count(), 0, "{ended:#?}");
    assert!(!site.data().join("admin.sock").exists(), "a clean stop leaves no socket");

    site.start();
    assert_eq!(site.status()["log_findings"], serde_json::json!([]), "a clean stop leaves nothing to be found");
    // looking for the end of the listener may have left handshakes that nobody finished
    let decisions: Vec<_> = site.decisions().into_iter().filter(|decision| decision["outcome"] == "allow").collect();
    assert_eq!(decisions.len(), 2);
    for decision in decisions {
        assert_eq!(decision["completion"]["reason"], "", "{decision:#}");
        assert_eq!(decision["completion"]["response_bytes"], 10, "{decision:#}");
    }
}

#[test]
fn what_lasts_longer_than_the_drain_is_cut_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = in_two_parts(folder.path().join("never"));
    let mut site = Site::up(&upstream);
    let mut client = Raw::by(&site, CALLER, API);
    client.send(format!("GET /items/1 HTTP/1.1\r\nHost: {API}\r\n\r\n")).unwrap();
    client.peek(1).unwrap();
    let ended = site.stop();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let rest = client.rest();
    assert!(!rest.clean && !rest.bytes.ends_with(b"67890"), "{rest:?}");
    site.start();
    let decision = site.decisions().remove(0);
    assert_eq!(decision["completion"]["status"], 200, "{decision:#}");
    assert_eq!(decision["completion"]["reason"], "stopped", "{decision:#}");
}
