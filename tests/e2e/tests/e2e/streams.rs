//! Thousands of open streams while the revision under them changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_e2e::{
    Caller, Dial, Drip, Identity, Load, Site, Stopwatch, Streams, Told, Watched, edit, say, wait_within,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{API, setting};

/// The host of the service that streams.
const BULK: &str = "bulk.e2e.internal";
/// Open streams; `COUNTERSIGN_STREAMS` overrides it.
const STREAMS: u32 = 10_000;
/// Streams on each connection.
const EACH: usize = 100;
/// How long the cut of all that is no longer allowed may take on a machine that carries callers, services and another test
/// beside. What it took is printed.
const BOUND: Duration = Duration::from_secs(3);
/// Files that are open beside a connection for each stream.
const OTHER_FILES: u64 = 500;
/// A machine that is busy with thousands of streams takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// The caller that stays allowed, and the one that does not.
const STAYS: &str = "spiffe://alpha.e2e.internal/caller";
const GOES: &str = "spiffe://alpha.e2e.internal/other";

/// What the new revision says.
const FORBID: &str = "\n@id(\"other-reads-no-files\")\n@reason(\"It has read enough.\")\n\
    forbid (principal == Workload::\"alpha/other\", action, resource in Service::\"alpha/bulk\");\n";

fn site(upstream: &Drip) -> Site {
    let mut site = Site::before(upstream.port());
    let everybody = ("principal == Workload::\"alpha/caller\",", "principal in Domain::\"alpha\",");
    site.edit("domains/alpha/policies/alpha.cedar", everybody.0, everybody.1);
    site.start();
    site
}

/// Connections of one caller, each full of streams.
fn open(site: &Site, runtime: &Streams, identity: &Identity, name: &str, connections: usize) -> Vec<Arc<Watched>> {
    let dial = Dial::with(site, identity, BULK, "h2");
    let targets =
        |connection| (0..EACH).map(|stream| format!("/files/{name}-{connection}-{stream}")).collect::<Vec<_>>();
    (0..connections).flat_map(|connection| runtime.open(&dial, &targets(connection))).collect()
}

fn wait_flowing(streams: &[Arc<Watched>]) {
    for stream in streams {
        wait_within(PATIENCE, "a stream to flow", || {
            assert!(!stream.is_over(), "{}: {:?}", stream.target, stream.seen());
            (stream.bytes() > 0).then_some(())
        });
        assert_eq!(stream.seen().status, 200, "{}", stream.target);
    }
}

#[test]
fn a_revision_changes_under_open_streams_and_only_those_it_forbids_are_cut() {
    let all = as_many_as_files(setting("COUNTERSIGN_STREAMS", STREAMS) as usize);
    // as many bytes a second for a thousand streams as for ten thousand
    let pause = Duration::from_micros(all as u64 * 400).max(Duration::from_millis(100));
    let upstream = Drip::start(pause);
    let site = site(&upstream);
    let (stays, goes) =
        (site.authority("alpha").svid(site.root(), STAYS), site.authority("alpha").svid(site.root(), GOES));
    let runtime = Streams::default();
    let empty = memory(&site);
    let begin = Instant::now();
    let staying = open(&site, &runtime, &stays, "stays", all / EACH / 2);
    let going = open(&site, &runtime, &goes, "goes", all / EACH / 2);
    wait_flowing(&staying);
    wait_flowing(&going);
    let full = memory(&site);
    say(&format!(
        "{} streams open after {:.1} s, the process holds {empty} → {full} KiB",
        staying.len() + going.len(),
        begin.elapsed().as_secs_f64()
    ));
    assert_eq!(upstream.open(), staying.len() + going.len());

    let asking = Caller {
        name: "fresh",
        dial: Dial::with(&site, &stays, API, "http/1.1"),
        streams: 1,
        asks: vec![("GET", "/items/1".into())],
    };
    let fresh = Load::start(vec![asking], Duration::from_millis(5));
    wait_within(PATIENCE, "something to compare with", || (fresh.so_far().len() > 50).then_some(()));
    let dir = site.copy_as("next");
    edit(
        &dir,
        "domains/alpha/policies/alpha.cedar",
        "\n@id(\"beta-reads-items\")",
        &format!("{FORBID}\n@id(\"beta-reads-items\")"),
    );
    let calm = Instant::now();
    let published = site.publish(&dir, "other has read enough");
    let done = Instant::now();
    let cut = cuts(&going, done);
    let over = Instant::now();
    none_of_those_that_stay_broke(&staying);
    latency(&fresh.stop(), calm, over);
    cut.print();
    say(&format!("the process holds {} KiB afterwards", memory(&site)));
    cut.within(BOUND);
    upstream_is_left(&upstream, staying.len());
    completions_say_so(&site, &going, published["revision"].as_str().unwrap());
}

/// Each stream is a connection to the service behind: an open file of the gateway, and one of this process.
fn as_many_as_files(wanted: usize) -> usize {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    let room = most.unwrap_or(u64::MAX).saturating_sub(OTHER_FILES) as usize / (2 * EACH) * 2 * EACH;
    if room < wanted {
        say(&format!("{room} streams instead of {wanted}: this user may not open more files"));
    }
    wanted.min(room)
}

/// In KiB, by what its status says.
fn memory(site: &Site) -> u64 {
    site.resident()
}

/// From the end of the command to the last byte of each stream that is cut.
fn cuts(going: &[Arc<Watched>], done: Instant) -> Stopwatch {
    let mut cut = Stopwatch::of("publish done → end of a stream that it forbids");
    for stream in going {
        let seen = wait_within(PATIENCE, "a forbidden stream to be cut", || stream.is_over().then(|| stream.seen()));
        let (ended, how) = seen.ended.unwrap();
        assert!(!how.is_empty(), "{} ended as if it were whole", stream.target);
        cut.add_after(done, ended);
    }
    cut
}

fn none_of_those_that_stay_broke(staying: &[Arc<Watched>]) {
    let before: Vec<usize> = staying.iter().map(|stream| stream.bytes()).collect();
    for (stream, before) in staying.iter().zip(before) {
        wait_within(PATIENCE, "an allowed stream to go on", || {
            assert!(!stream.is_over(), "{} broke: {:?}", stream.target, stream.seen());
            (stream.bytes() > before).then_some(())
        });
    }
}

/// What a fresh request waited, before and while everything is judged again.
fn latency(told: &[Told], calm: Instant, over: Instant) {
    let (mut before, mut during) =
        (Stopwatch::of("a fresh request before"), Stopwatch::of("a fresh request during the change"));
    for told in told {
        assert_eq!((told.status, told.broken.as_str()), (200, ""), "{told:?}");
        let took = told.ended - told.begun;
        if told.ended < calm {
            before.add(took);
        } else if told.begun < over {
            during.add(took);
        }
    }
    before.print();
    during.print();
    during.within(BOUND);
}

/// What was cut is closed towards the service, too.
fn upstream_is_left(upstream: &Drip, left: usize) {
    wait_within(PATIENCE, "the upstream to be left", || (upstream.open() == left).then_some(()));
}

fn completions_say_so(site: &Site, going: &[Arc<Watched>], revision: &str) {
    let ids: std::collections::BTreeSet<String> = going.iter().map(|stream| stream.seen().decision).collect();
    assert_eq!(ids.len(), going.len());
    let records = wait_within(PATIENCE, "every completion", || {
        let mut records = site.decisions_of("alpha/other");
        records.retain(|record| !record["completion"].is_null());
        (records.len() == ids.len()).then_some(records)
    });
    for record in records {
        assert!(ids.contains(record["id"].as_str().unwrap()), "{record:#}");
        let end = &record["completion"];
        assert_eq!((&end["reason"], &end["revision"]), (&"policy.forbidden".into(), &revision.into()), "{record:#}");
    }
}
