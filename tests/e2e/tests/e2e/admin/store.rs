//! The store, damaged, locked, read-only, of a newer version, and a process that dies in the middle of a publication.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use countersign_e2e::{Curl, Ended, Process, Site, Upstream, echo, is_beside, read_log, say, wait_until};
use rustix::fs::{FlockOperation, fcntl_lock};
use serde_json::Value;

use super::{another, publications, says, texts};
use crate::{API, CALLER, setting};

/// Kills in the middle of publications; `COUNTERSIGN_STORE_ROUNDS` overrides it.
const ROUNDS: u32 = 20;
/// The latest moment of a kill after publications have begun.
const LATEST: u64 = 500;

/// A system that has run and stopped, and its store.
fn stopped() -> (Site, PathBuf, String) {
    let upstream = Upstream::start(echo);
    let mut site = Site::up(&upstream);
    site.publish(&another(&site, "second"), "a second one");
    site.json(&["revoke", "alpha/other", "--reason", "for later", "--json"]);
    let revision = site.revision();
    assert_eq!(site.stop().code, Some(0));
    let store = site.data().join("control.db");
    (site, store, revision)
}

/// Looks that it did not start, said why, touched nothing, and served nobody.
fn kept_out(site: &Site, ended: &Ended, words: &[&str]) {
    says(ended, 2, words);
    says(ended, 2, &["control.db", "hint: "]);
    assert!(site.ask_status().is_none(), "something runs");
    let open = std::net::TcpStream::connect(site.gateway()).is_ok();
    assert!(!open, "the gateway is open");
}

/// A start that works, and that nothing was lost.
fn goes_on(site: &mut Site, revision: &str) {
    site.start();
    assert_eq!(site.revision(), revision);
    assert_eq!(publications(site).len(), 2);
    assert_eq!(site.json(&["subjects", "--json"]).len(), 1);
    let answer = Curl::to(site, API).by(CALLER).get("/items/1");
    site.ended_well(&answer, CALLER);
    assert_eq!(site.stop().code, Some(0));
}

/// As it was, for its owner only.
fn put_back(store: &Path, bytes: &[u8]) {
    fs::write(store, bytes).unwrap();
    fs::set_permissions(store, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_damaged_store_is_told_and_left_as_it_is() {
    let (mut site, store, revision) = stopped();
    let good = fs::read(&store).unwrap();
    let cut = good[..good.len() / 2].to_vec();
    let mut scribbled = good.clone();
    for byte in scribbled.iter_mut().skip(4096).take(3 * 4096) {
        *byte = 0x5a;
    }
    let mut headless = good.clone();
    headless[..16].fill(0);
    for (what, bytes, says) in [
        ("no database", b"garbage, and a good deal of it".repeat(40), "is not a store of countersign"),
        ("no header", headless, "is not a store of countersign"),
        ("half of it", cut, "damaged"),
        ("pages overwritten", scribbled, "damaged"),
    ] {
        fs::write(&store, &bytes).unwrap();
        let ended = site.fails_to_start();
        kept_out(&site, &ended, &[says]);
        assert_eq!(fs::read(&store).unwrap(), bytes, "{what}: left as it was");
    }
    fs::write(&store, &good).unwrap();
    goes_on(&mut site, &revision);

    // another program's database is nobody's store
    if is_beside("sqlite3") {
        fs::remove_file(&store).unwrap();
        let made = Command::new("sqlite3").arg(&store).arg("CREATE TABLE x (y); PRAGMA user_version = 1;").status();
        assert!(made.unwrap().success());
        fs::set_permissions(&store, fs::Permissions::from_mode(0o600)).unwrap();
        let ended = site.fails_to_start();
        kept_out(&site, &ended, &["is not a store of countersign"]);
        fs::remove_file(&store).unwrap();
        put_back(&store, &good);
        goes_on(&mut site, &revision);
    }
}

#[test]
fn an_empty_store_beside_a_log_starts_anew_only_by_saying_so() {
    let (mut site, store, _) = stopped();
    fs::remove_file(&store).unwrap();
    // whoever loses the store loses revocations: a start publishes DIR, and the operator can see that it was the first
    site.start();
    let listed = publications(&site);
    assert_eq!((listed.len(), listed[0]["kind"].as_str()), (1, Some("first")), "{listed:#?}");
    assert!(site.json(&["subjects", "--json"]).is_empty());
}

#[test]
fn a_store_of_a_newer_version_is_not_opened() {
    let (mut site, store, revision) = stopped();
    let good = fs::read(&store).unwrap();
    // SQLite's user version: bytes 60 to 63 of the file
    let mut newer = good.clone();
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
    fs::write(&store, &newer).unwrap();
    let ended = site.fails_to_start();
    kept_out(&site, &ended, &["has version 99", "this program knows up to"]);
    assert_eq!(fs::read(&store).unwrap(), newer, "left as it was");
    fs::write(&store, &good).unwrap();
    goes_on(&mut site, &revision);
}

#[test]
fn a_locked_store_keeps_it_from_starting() {
    let (mut site, store, revision) = stopped();
    let holder = OpenOptions::new().read(true).write(true).open(&store).unwrap();
    fcntl_lock(&holder, FlockOperation::NonBlockingLockExclusive).unwrap();
    let ended = site.fails_to_start();
    kept_out(&site, &ended, &["lock"]);
    drop(holder);
    goes_on(&mut site, &revision);
}

#[test]
fn a_store_that_cannot_be_written_keeps_it_from_starting() {
    let (mut site, store, revision) = stopped();
    let mount = "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\"";
    let may = Command::new("unshare").args(["--mount", "sh", "-c", mount, "sh"]).arg(&store).output();
    if may.is_ok_and(|tried| tried.status.success()) {
        let up = site.up_command();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &format!("{mount} && shift && exec \"$@\""), "sh"]).arg(&store);
        command.arg(up.get_program()).args(up.get_args()).env("NO_COLOR", "1");
        let ended = Process::start(command, site.root(), "read-only").wait();
        kept_out(&site, &ended, &["cannot be written"]);
    } else {
        eprintln!("skipped: a_store_that_cannot_be_written_keeps_it_from_starting: this user may not mount");
    }
    let good = fs::read(&store).unwrap();
    fs::remove_file(&store).unwrap();
    fs::create_dir(&store).unwrap();
    let ended = site.fails_to_start();
    kept_out(&site, &ended, &[]);
    fs::remove_dir(&store).unwrap();
    put_back(&store, &good);
    goes_on(&mut site, &revision);
}

/// What breaks the store while it runs: acts are refused, calls go on.
#[test]
fn a_store_that_breaks_while_it_runs_refuses_acts_and_no_call() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let store = site.data().join("control.db");
    let holder = OpenOptions::new().read(true).write(true).open(&store).unwrap();
    let begin = Instant::now();
    let mut refused = 0;
    // a writer of another program: the lock of SQLite's own, as long as the file of the write-ahead log is busy
    if is_beside("sqlite3") {
        let mut writer = Command::new("sqlite3");
        writer.arg(&store).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        let mut writer = writer.spawn().unwrap();
        let mut pipe = writer.stdin.take().unwrap();
        pipe.write_all(b"PRAGMA busy_timeout=5000; BEGIN IMMEDIATE;\n").unwrap();
        pipe.flush().unwrap();
        wait_until("the lock to be held", || {
            let ended = site.run(["revoke", "alpha/other", "--reason", "while it is locked"]);
            if ended.code == Some(2) {
                says(&ended, 2, &["lock"]);
                refused += 1;
            } else {
                // the lock may come just now; then this is refused, and so will the next one be
                site.run(["restore", "alpha/other"]);
            }
            refused > 0 || begin.elapsed() > Duration::from_secs(15)
        });
        let answer = Curl::to(&site, API).by(CALLER).get("/items/1");
        site.ended_well(&answer, CALLER);
        drop(pipe);
        let _ = writer.wait();
        assert!(refused > 0, "the store took an act while another program held it");
    }
    drop(holder);
    wait_until("acts to be taken again", || {
        site.run(["revoke", "alpha/other", "--reason", "after it"]).code == Some(0)
    });
    assert_eq!(site.json(&["subjects", "--json"]).len(), 1, "what was refused did not happen");
}

#[expect(clippy::disallowed_methods, reason = "a seed")]
fn random(below: u64) -> u64 {
    let seed = u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos());
    (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % below
}

/// Publishes one directory after the other until nothing answers any more. Gives what was acknowledged last.
fn publish_on(site: &Site, bodies: &[String], stop: &AtomicBool) -> Option<String> {
    let mut last = None;
    for body in bodies.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return last;
        }
        match site.ask_admin("POST", "/v1/publications", body) {
            Some((200, told)) => last = told["publication"]["revision"].as_str().map(str::to_owned),
            Some((status, told)) => panic!("{status}: {told:#}"),
            None => return last,
        }
    }
    last
}

#[test]
fn a_kill_in_the_middle_of_publications_leaves_the_old_or_the_new() {
    let rounds = setting("COUNTERSIGN_STORE_ROUNDS", ROUNDS);
    let upstream = Upstream::start(echo);
    let mut site = Site::up(&upstream);
    let dirs: Vec<PathBuf> = ["left", "right"].iter().map(|name| another(&site, name)).collect();
    let bodies: Vec<String> = dirs
        .iter()
        .map(|dir| serde_json::json!({ "files": texts(dir), "why": "in a hurry", "after": null }).to_string())
        .collect();
    let names: Vec<String> = dirs.iter().map(|dir| super::name_of(&texts(dir))).collect();
    let mut unkept = 0;
    for round in 0..rounds {
        let before = publications(&site).len();
        let mut process = site.take_process();
        let stop = AtomicBool::new(false);
        let acknowledged = std::thread::scope(|scope| {
            let (shared, bodies, stop) = (&site, &bodies, &stop);
            let publishing = scope.spawn(move || publish_on(shared, bodies, stop));
            let (begin, wait) = (Instant::now(), Duration::from_millis(random(LATEST)));
            wait_until("the moment of the kill", || begin.elapsed() >= wait);
            process.kill();
            publishing.join().unwrap()
        });
        site.start();
        let current = site.revision();
        assert!(round == 0 || names.contains(&current), "{current} is neither old nor new");
        let listed = publications(&site);
        assert_eq!(listed[0]["revision"], current.as_str(), "{listed:#?}");
        assert!(listed[0]["current"] == true && listed.len() >= before);
        if let Some(acknowledged) = acknowledged {
            // the one acknowledged last, or one that was under way when it died
            let kept = listed.iter().take(2).any(|one| one["revision"] == acknowledged.as_str());
            assert!(kept, "an acknowledged publication is lost: {acknowledged} of {listed:#?}");
        }
        unkept = record_and_store_agree(&site, &listed);
        assert!(unkept <= round as usize + 1, "{unkept} records of publications that are not in the store");
    }
    let all = publications(&site).len();
    say(&format!("{rounds} kills during publications: {all} kept, {unkept} recorded and not kept"));
    // a slow machine may not finish one before each kill
    assert!(all > 3, "there was nothing to interrupt: {all} publications");
}

/// Every publication of the store stands in the record, in the same order; gives how many the record has besides: acts
/// that were cut short, whose end the record of the next start tells.
fn record_and_store_agree(site: &Site, listed: &[Value]) -> usize {
    let log = read_log(&site.data());
    let mut recorded = log.iter().filter(|record| record.is_done("publish"));
    let all = recorded.clone().count();
    for one in listed.iter().rev() {
        let number = format!("publication {}", one["number"]);
        let found = recorded.any(|record| {
            let note = record.text(4);
            record.hex(6) == one["revision"].as_str().unwrap()
                && (note == number || note.starts_with(&format!("{number}:")))
        });
        assert!(found, "{number} has no record: {one:#}");
    }
    let started = log.iter().rfind(|record| record.kind == 5 && record.text(28) == "started").expect("a start");
    assert_eq!(started.hex(6), site.revision(), "the record says with which revision it started");
    all - listed.len()
}

/// Whoever tears the end off the store's write-ahead log loses no acknowledged act.
#[test]
fn acknowledged_acts_are_on_the_disk() {
    let upstream = Upstream::start(echo);
    let mut site = Site::up(&upstream);
    site.publish(&another(&site, "second"), "a second one");
    let revision = site.revision();
    site.kill();
    let wal = site.data().join("control.db-wal");
    if let Ok(mut file) = OpenOptions::new().write(true).open(&wal) {
        // half a frame at its end, as a write that was cut short leaves it
        file.seek(SeekFrom::End(0)).unwrap();
        file.write_all(&[0x5a; 1000]).unwrap();
    }
    site.start();
    assert_eq!(site.revision(), revision);
    assert_eq!(publications(&site).len(), 2);
}
