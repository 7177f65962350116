//! kill -9 at any moment: what an upstream saw has its record, and the next start works.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use countersign_e2e::{Call, Identity, Raw, Site, Upstream, echo, wait_until};

use crate::{API, setting};

/// How many rounds; `COUNTERSIGN_KILL_ROUNDS` overrides it.
const ROUNDS: u32 = 20;
/// Connections that send requests at the same time.
const CALLERS: u64 = 4;
/// The longest time under load before the kill.
const LONGEST: u64 = 400;

fn rounds() -> u32 {
    setting("COUNTERSIGN_KILL_ROUNDS", ROUNDS)
}

/// A number that is another each time.
#[expect(clippy::disallowed_methods, reason = "a seed")]
fn random(below: u64) -> u64 {
    static STATE: AtomicU64 = AtomicU64::new(0);
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let mixed = (u64::from(seed) ^ STATE.fetch_add(0x9e37_79b9, Ordering::Relaxed)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 33) % below
}

/// Sends requests one after the other until the connection breaks. Gives how many were answered.
fn call(site: &Site, identity: &Identity, caller: u64, round: u32) -> u64 {
    let mut answered = 0;
    let Ok(mut client) = Raw::open(site, Some(identity), API) else { return 0 };
    loop {
        let body = "x".repeat((answered % 3 * 100) as usize);
        let request = format!(
            "PUT /items/r{round}-c{caller}-n{answered} HTTP/1.1\r\nHost: {API}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if client.send(request).is_err() {
            return answered;
        }
        match client.answer() {
            Ok(answer) if answer.broken.is_empty() => assert_eq!(answer.status, 200, "{answer:?}"),
            _ => return answered,
        }
        answered += 1;
    }
}

/// One round: load, kill, and the start after it. Gives how many requests were answered.
fn round(site: &mut Site, identity: &Identity, number: u32) -> u64 {
    let load = Duration::from_millis(20 + random(LONGEST));
    let mut process = site.take_process();
    let answered = thread::scope(|scope| {
        let shared = &*site;
        let callers: Vec<_> =
            (0..CALLERS).map(|caller| scope.spawn(move || call(shared, identity, caller, number))).collect();
        let begin = Instant::now();
        wait_until("the load to have lasted", || begin.elapsed() >= load);
        process.kill();
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    });
    site.start();
    for finding in site.status()["log_findings"].as_array().unwrap() {
        let finding = finding.as_str().unwrap();
        assert!(finding.contains("half written"), "a kill leaves nothing but a torn tail: {finding}");
    }
    answered
}

#[test]
fn kill_dash_nine_under_load_loses_no_record_of_a_forwarded_request() {
    let upstream = Upstream::start(echo);
    let mut site = Site::up(&upstream);
    let identity = site.authority("alpha").svid(site.root(), "spiffe://alpha.e2e.internal/caller");
    let (mut answered, mut torn) = (0, 0);
    for number in 0..rounds() {
        answered += round(&mut site, &identity, number);
        torn += site.status()["log_findings"].as_array().unwrap().len();
    }
    let entries = site.entries();
    assert!(entries.iter().all(|entry| entry["kind"] == "decision"), "damage or counted refusals");
    let recorded: BTreeSet<&str> =
        entries.iter().filter(|entry| entry["outcome"] == "allow").map(|entry| entry["id"].as_str().unwrap()).collect();
    let calls = upstream.calls();
    let seen: BTreeSet<String> = calls.iter().map(Call::decision).collect();
    let lost: Vec<&String> = seen.iter().filter(|id| !recorded.contains(id.as_str())).collect();
    assert!(lost.is_empty(), "{} of {} forwarded requests have no record: {lost:?}", lost.len(), seen.len());
    assert_eq!(seen.len(), calls.len(), "a decision was used twice");
    let targets: BTreeSet<&str> = calls.iter().map(|call| call.target.as_str()).collect();
    assert_eq!(targets.len(), calls.len(), "a request was forwarded twice");
    assert!(answered > u64::from(rounds()), "only {answered} requests were answered: there was no load");
    let _ = writeln!(
        std::io::stderr(),
        "{} rounds: {answered} answered, {} forwarded, {} recorded, {torn} torn tails",
        rounds(),
        calls.len(),
        recorded.len()
    );
}
