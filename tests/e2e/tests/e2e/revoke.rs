//! Trust that is taken away while calls go on: how soon, how surely, and of nobody else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_e2e::{
    Caller, Curl, Dial, Drip, Identity, Load, Process, Raw, Refused, Site, Stopwatch, Streams, Told, Upstream, Watched,
    closed_port, echo, wait_for, wait_until,
};
use serde_json::Value;

use crate::identity::{install, run, written};
use crate::{API, CALLER, PROTOCOLS, setting};

/// The host of the service that streams.
const BULK: &str = "bulk.e2e.internal";
/// How often it is measured; `COUNTERSIGN_REVOKE_ROUNDS` overrides it.
const ROUNDS: u32 = 8;
/// Longer than any of it may take. What it took is printed.
const BOUND: Duration = Duration::from_secs(1);
/// The one whose trust is taken away.
const ID: &str = "spiffe://alpha.e2e.internal/caller";
/// Somebody else, who may call the same services.
const OTHER: &str = "spiffe://alpha.e2e.internal/other";

/// A system in which another workload may do what the caller may.
fn site_with_another(port: u16) -> Site {
    let site = Site::before(port);
    site.edit(
        "domains/alpha/policies/alpha.cedar",
        "principal == Workload::\"alpha/caller\",",
        "principal in Domain::\"alpha\",",
    );
    site
}

fn svid(site: &Site, id: &str) -> Identity {
    site.authority("alpha").svid(site.root(), id)
}

/// Takes trust away, and says when that began and when it was done.
fn revoke(site: &Site, subject: &str) -> (Instant, Value, Instant) {
    let begin = Instant::now();
    let revoked = site.json(&["revoke", subject, "--reason", "taken over", "--json"]).remove(0);
    (begin, revoked, Instant::now())
}

fn restore(site: &Site, subject: &str) {
    site.json(&["restore", subject, "--json"]);
}

/// The caller of a test, refused because it was revoked.
const fn revoked(caller: &str) -> Refused<'_> {
    Refused { status: 403, reason: "signals.revoked", caller }
}

/// What one round opens: everything that a caller can have open, and the same of somebody else.
struct Open {
    load: Load,
    streams: Vec<Arc<Watched>>,
    uploads: Vec<Arc<Watched>>,
    others: Vec<Arc<Watched>>,
    _runtime: Streams,
}

impl Open {
    fn all(site: &Site, victim: &Identity, other: &Identity, round: u32) -> Self {
        let dial = |identity, host, protocol| Dial::with(site, identity, host, protocol);
        let asks = vec![("GET", "/items/1".to_owned()), ("PUT", "/items/2".to_owned())];
        let caller = |name, identity, protocol, streams| Caller {
            name,
            dial: dial(identity, API, protocol),
            streams,
            asks: asks.clone(),
        };
        let load = vec![
            caller("victim http/1.1", victim, "http/1.1", 1),
            caller("victim h2", victim, "h2", 4),
            caller("other http/1.1", other, "http/1.1", 1),
            caller("other h2", other, "h2", 2),
        ];
        let runtime = Streams::default();
        let target = |name: &str| format!("/files/{name}-{round}");
        let several = |name: &str| (0..4).map(|stream| target(&format!("{name}{stream}"))).collect::<Vec<_>>();
        let mut streams = runtime.open(&dial(victim, BULK, "http/1.1"), &[target("one")]);
        streams.extend(runtime.open(&dial(victim, BULK, "h2"), &several("h2-")));
        let uploads = PROTOCOLS.map(|protocol| {
            let name = target(if protocol == "h2" { "up-h2" } else { "up-one" });
            runtime.upload(&dial(victim, BULK, protocol), &name)
        });
        let mut others = runtime.open(&dial(other, BULK, "http/1.1"), &[target("other-one")]);
        others.extend(runtime.open(&dial(other, BULK, "h2"), &several("other-h2-")));
        let load = Load::start(load, Duration::from_millis(2));
        Self { load, streams, uploads: uploads.into(), others, _runtime: runtime }
    }

    fn until_all_flow(&self, upstream: &Drip) {
        self.load.until_all(&["victim http/1.1", "victim h2", "other http/1.1", "other h2"], 200);
        for stream in self.streams.iter().chain(&self.others) {
            wait_until("a stream to flow", || stream.bytes() > 2);
        }
        for upload in &self.uploads {
            wait_until("an upload to flow", || upstream.received(&upload.target).is_some());
        }
    }
}

/// The times of all rounds.
struct Times {
    answers: Stopwatch,
    streams: Stopwatch,
    uploads: Stopwatch,
    from_start: Stopwatch,
}

#[test]
fn a_revoked_caller_is_cut_everywhere_at_once_and_nobody_else_is() {
    let upstream = Drip::start(Duration::from_millis(3));
    let mut site = site_with_another(upstream.port());
    site.start();
    let (victim, other) = (svid(&site, ID), svid(&site, OTHER));
    let mut times = Times {
        answers: Stopwatch::of("revoke done → last allowed answer"),
        streams: Stopwatch::of("revoke done → last byte of a streaming response"),
        uploads: Stopwatch::of("revoke done → last byte of a streaming request"),
        from_start: Stopwatch::of("revoke started → last allowed byte of all"),
    };
    for round in 0..setting("COUNTERSIGN_REVOKE_ROUNDS", ROUNDS) {
        measure(&site, &upstream, &victim, &other, round, &mut times);
    }
    for stopwatch in [&times.answers, &times.streams, &times.uploads, &times.from_start] {
        stopwatch.print();
    }
    times.answers.within(BOUND);
    times.streams.within(BOUND);
    times.uploads.within(BOUND);
}

fn measure(site: &Site, upstream: &Drip, victim: &Identity, other: &Identity, round: u32, times: &mut Times) {
    let open = Open::all(site, victim, other, round);
    open.until_all_flow(upstream);
    let (begin, act, done) = revoke(site, CALLER);
    for stream in open.streams.iter().chain(&open.uploads) {
        wait_until("a stream of the revoked to be cut", || stream.is_over());
    }
    open.load.until_all(&["victim http/1.1", "victim h2"], 403);
    open.load.until_all(&["other http/1.1", "other h2"], 200);
    let mut last = begin;
    for stream in &open.streams {
        let byte = stream.seen().last.unwrap();
        times.streams.add_after(done, byte);
        last = last.max(byte);
    }
    for upload in &open.uploads {
        let byte = upstream.received(&upload.target).unwrap();
        times.uploads.add_after(done, byte);
        last = last.max(byte);
    }
    undisturbed(&open.others);
    let told = open.load.stop();
    let allowed = told.iter().filter(|told| told.name.starts_with("victim") && told.status == 200);
    let answered = allowed.map(|told| told.ended).max().unwrap();
    times.answers.add_after(done, answered);
    last = last.max(answered);
    times.from_start.add_after(begin, last);
    only_the_victim_was_refused(&told, done);
    completions_say_so(site, &open.streams, &act);
    restore(site, CALLER);
    let answer = Curl::to(site, API).with(victim).get("/items/1");
    site.ended_well(&answer, CALLER);
}

/// Others' streams flow on.
fn undisturbed(others: &[Arc<Watched>]) {
    let before: Vec<usize> = others.iter().map(|other| other.bytes()).collect();
    for (other, before) in others.iter().zip(before) {
        wait_until("a stream of somebody else to go on", || other.bytes() > before + 2);
        assert!(!other.is_over(), "{:?}", other.seen());
    }
}

fn only_the_victim_was_refused(told: &[Told], done: Instant) {
    for told in told.iter().filter(|told| told.name.starts_with("other")) {
        assert_eq!((told.status, told.broken.as_str()), (200, ""), "{told:?}");
    }
    for told in told.iter().filter(|told| told.name.starts_with("victim")) {
        let refused = (told.status, told.reason.as_str()) == (403, "signals.revoked");
        let cut = told.status == 0 && !told.broken.is_empty();
        if told.begun > done {
            assert!(refused || cut, "asked {:?} after it was done: {told:?}", told.begun - done);
        } else {
            assert!(told.status == 200 || refused || cut, "{told:?}");
        }
    }
}

/// The completions of what was cut name the reason and the epoch.
fn completions_say_so(site: &Site, streams: &[Arc<Watched>], act: &Value) {
    let mut left: BTreeSet<String> = streams.iter().map(|stream| stream.seen().decision).collect();
    assert!(left.iter().all(|id| !id.is_empty()) && left.len() == streams.len(), "{left:?}");
    wait_for("the completions of what was cut", || {
        for record in site.decisions_of(CALLER) {
            let (end, id) = (&record["completion"], record["id"].as_str().unwrap());
            if !end.is_null() && left.remove(id) {
                assert_eq!(end["reason"], "signals.revoked", "{record:#}");
                assert_eq!(end["epoch"], act["epoch"], "{record:#}");
                assert!(record["epoch"].as_u64() < act["epoch"].as_u64(), "decided under an older one: {record:#}");
            }
        }
        left.is_empty().then_some(())
    });
}

#[test]
fn a_request_that_waits_for_its_answer_is_refused_when_its_caller_is_revoked() {
    let upstream = Drip::start(Duration::from_millis(3));
    let mut site = site_with_another(upstream.port());
    site.start();
    let victim = svid(&site, ID);
    for protocol in PROTOCOLS {
        let target = format!("/files/hold-{}", if protocol == "h2" { "two" } else { "one" });
        let streams = Streams::default();
        let before = site.decisions_of(CALLER).len();
        let waiting =
            streams.open(&Dial::with(&site, &victim, BULK, protocol), std::slice::from_ref(&target)).remove(0);
        wait_until("the request to be decided", || site.decisions_of(CALLER).len() > before);
        let (_, act, done) = revoke(&site, CALLER);
        let seen = wait_for("the answer", || waiting.seen().ended.map(|_| waiting.seen()));
        assert_eq!(seen.status, 403, "{protocol} {seen:?}");
        assert!(seen.last.unwrap().saturating_duration_since(done) < BOUND, "{protocol} {seen:?}");
        wait_until("the upstream to be left", || upstream.was_left(&target));
        let record = site.record(&seen.decision);
        assert_eq!(record["completion"]["reason"], "signals.revoked", "{record:#}");
        assert_eq!(record["completion"]["epoch"], act["epoch"], "{record:#}");
        restore(&site, CALLER);
    }
}

#[test]
fn by_name_by_serial_and_by_key() {
    let upstream = Upstream::start(echo);
    let mut site = site_with_another(upstream.port());
    site.start();
    let first = svid(&site, ID);
    let second = svid(&site, ID);
    let renewed = site.authority("alpha").renew(site.root(), ID, &first);
    let get = |identity: &Identity| Curl::to(&site, API).with(identity).get("/items/1");
    let serial = site.ended_well(&get(&first), CALLER)["identity"]["verified"]["serial"].as_str().unwrap().to_owned();
    let colons: Vec<&str> = (0..serial.len() / 2).map(|at| &serial[2 * at..2 * at + 2]).collect();
    // the subject as written, its full form, and who is refused: first, second, and first's key renewed
    let cases = [
        (ID.to_owned(), ID.to_owned(), [true, true, true]),
        (CALLER.to_owned(), ID.to_owned(), [true, true, true]),
        (format!("spiffe:{ID}"), ID.to_owned(), [true, true, true]),
        (format!("serial:{serial}"), format!("serial:{serial}"), [true, false, false]),
        (format!("serial:{}", colons.join(":").to_uppercase()), format!("serial:{serial}"), [true, false, false]),
        (first.key_subject(), first.key_subject(), [true, false, true]),
        (first.key_subject().to_uppercase().replace("KEY:", "key:"), first.key_subject(), [true, false, true]),
        (second.key_subject(), second.key_subject(), [false, true, false]),
    ];
    for (written, full, refused) in cases {
        let (_, act, _) = revoke(&site, &written);
        assert_eq!(
            (act["subject"].as_str(), act["reason"].as_str()),
            (Some(full.as_str()), Some("taken over")),
            "{act:#}"
        );
        assert_eq!((act["operator"].as_str(), &act["until"]), (Some("local"), &Value::Null), "{act:#}");
        let listed = site.json(&["subjects", "--json"]);
        assert_eq!((listed.len(), &listed[0]["subject"]), (1, &act["subject"]), "{listed:#?}");
        for (identity, refused) in [&first, &second, &renewed].into_iter().zip(refused) {
            let answer = get(identity);
            if refused {
                let record = site.refused(&answer, revoked(CALLER));
                assert_eq!(record["epoch"], act["epoch"], "{record:#}");
                let story = site.explained(&record);
                assert!(story.contains(&full) || story.contains("taken over"), "`{written}` is not named:\n{story}");
            } else {
                site.ended_well(&answer, CALLER);
            }
        }
        restore(&site, &written);
        assert!(site.json(&["subjects", "--json"]).is_empty());
        site.ended_well(&get(&first), CALLER);
    }
    assert_eq!(upstream.calls().iter().filter(|call| call.target != "/items/1").count(), 0);
}

#[test]
fn epochs_never_go_back() {
    let upstream = Upstream::start(echo);
    let mut site = Site::up(&upstream);
    let mut last = 0;
    for _ in 0..3 {
        let epoch = revoke(&site, CALLER).1["epoch"].as_u64().unwrap();
        assert!(epoch > last, "{epoch} after {last}");
        restore(&site, CALLER);
        site.kill();
        site.start();
        last = epoch;
    }
    // giving back is a change of its own
    assert!(revoke(&site, CALLER).1["epoch"].as_u64().unwrap() > last + 1);
}

#[test]
fn it_survives_a_kill_and_holds_before_the_first_answer() {
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    site.edit("node.yaml", "address: 127.0.0.1:0, domains", &format!("address: 127.0.0.1:{}, domains", closed_port()));
    site.start();
    let victim = svid(&site, ID);
    assert_eq!(Curl::to(&site, API).with(&victim).get("/items/1").status, 200);
    let (_, act, _) = revoke(&site, CALLER);
    let forwarded = upstream.count();
    for _ in 0..3 {
        site.kill();
        let asking = {
            Caller {
                name: "victim",
                dial: Dial::with(&site, &victim, API, "http/1.1"),
                streams: 1,
                asks: vec![("GET", "/items/1".into())],
            }
        };
        // it knocks before anything is up
        let load = Load::start(vec![asking], Duration::from_millis(1));
        wait_until("the first knock", || !load.so_far().is_empty());
        site.start();
        load.until_all(&["victim"], 403);
        let told = load.stop();
        assert!(told.iter().any(|told| !told.broken.is_empty()), "nobody knocked before");
        for told in &told {
            assert!(told.status == 0 || told.reason == "signals.revoked", "{told:?}");
        }
    }
    assert_eq!(upstream.count(), forwarded, "something was forwarded");
    let listed = site.json(&["subjects", "--json"]);
    assert_eq!((&listed[0]["epoch"], &listed[0]["at"]), (&act["epoch"], &act["at"]), "{listed:#?}");
    restore(&site, CALLER);
    site.kill();
    site.start();
    let answer = Curl::to(&site, API).with(&victim).get("/items/1");
    site.ended_well(&answer, CALLER);
}

#[test]
fn for_a_time_it_ends_by_itself() {
    let upstream = Upstream::start(echo);
    let mut site = Site::up(&upstream);
    let victim = svid(&site, ID);
    for restart in [false, true] {
        let begin = Instant::now();
        let act = site.json(&["revoke", CALLER, "--reason", "a moment", "--for", "2s", "--json"]).remove(0);
        assert!(act["until"].is_string(), "{act:#}");
        let answer = Curl::to(&site, API).with(&victim).get("/items/1");
        site.refused(&answer, revoked(CALLER));
        if restart {
            site.kill();
            site.start();
        }
        wait_until("the end of it", || Curl::to(&site, API).with(&victim).get("/items/1").status == 200);
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(1_900), "over after {took:?} already");
        assert!(took < Duration::from_secs(6), "not over before {took:?}");
        assert!(site.json(&["subjects", "--json"]).is_empty(), "it is over");
    }
}

/// A refused act: what is written, its exit code, and words that must stand in what it says.
#[test]
fn what_cannot_be_revoked_is_told_why() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let cases: [(&str, i32, &[&str]); 16] = [
        ("alpha/callr", 2, &["there is no workload `alpha/callr`", "did you mean `alpha/caller`?"]),
        ("nowhere/caller", 2, &["there is no workload `nowhere/caller`"]),
        ("spiffe://alpha.e2e.internal/nobody", 2, &["there is no workload `alpha/nobody`"]),
        ("operator:local", 1, &["`operator:local` may not be revoked", "hint: "]),
        ("operator:someone", 2, &["nobody is called", "countersign fleet"]),
        ("spiffe://system.e2e.internal/control/one", 1, &["may not be revoked"]),
        ("spiffe://alpha.e2e.internal", 2, &["names a trust domain", "hint: "]),
        ("spiffe://alpha.e2e.internal/a/../b", 2, &["is not a SPIFFE ID"]),
        ("spiffe://alpha.e2e.internal/_gateway/e2e", 2, &["is a gateway"]),
        ("user:corp/anna", 2, &["names nothing that can be revoked", "spiffe://"]),
        ("caller", 2, &["names nothing that can be revoked"]),
        ("", 2, &["names nothing that can be revoked"]),
        ("serial:", 2, &["is not a serial number", "hint: "]),
        ("serial:xyz", 2, &["is not a serial number"]),
        ("key:abcd", 2, &["is not the fingerprint of a key", "64 hexadecimal digits"]),
        ("alpha/caller\u{1b}[31m", 2, &["is not a workload"]),
    ];
    for (subject, code, says) in cases {
        let ended = site.run(["revoke", subject, "--reason", "test"]);
        assert_eq!(ended.code, Some(code), "{subject}: {ended:#?}");
        for said in says {
            assert!(ended.stderr.contains(said), "{subject}: `{said}` is missing: {ended:#?}");
        }
        assert!(!ended.stderr.contains(['\u{1b}', '\u{7}']), "{subject}: {ended:#?}");
    }
    for (arguments, code, said) in [
        (vec!["revoke", CALLER], 64, "--reason"),
        (vec!["revoke", CALLER, "--reason", " "], 64, "needs a reason"),
        (vec!["revoke", CALLER, "--reason", "x", "--for", "0s"], 64, "--for"),
        (vec!["revoke", CALLER, "--reason", "x", "--for", "soon"], 64, "soon"),
        (vec!["restore", CALLER], 2, "is not revoked"),
        (vec!["restore", "operator:local"], 1, "may not be revoked"),
        (vec!["restore", "serial:12"], 2, "is not revoked"),
    ] {
        let ended = site.run(&arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:#?}");
        assert!(ended.stderr.contains(said), "{arguments:?}: `{said}` is missing: {ended:#?}");
    }
    assert!(site.json(&["subjects", "--json"]).is_empty(), "nothing was revoked");
    // what nobody has seen is revoked all the same, and said so
    let act = site.json(&["revoke", "serial:1234", "--reason", "from a report", "--json"]).remove(0);
    assert!(act["note"].as_str().is_some_and(|note| !note.is_empty()), "{act:#}");
}

#[test]
fn a_revoked_workload_gets_no_new_certificate() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let program = install(&site, "e2e-workload");
    let fetch = || {
        wait_for("the workload to end", {
            let mut process: Process = run(&site, &program, 1);
            move || process.ended()
        })
    };
    assert_eq!(fetch().code, Some(0));
    let held = written(&site, 1);
    revoke(&site, CALLER);
    let answer = Curl::to(&site, API).with(&held).get("/items/1");
    site.refused(&answer, revoked(CALLER));
    let refused = fetch();
    assert_ne!(refused.code, Some(0), "a certificate was issued: {refused:#?}");
    assert!(refused.stderr.contains("PermissionDenied"), "{refused:#?}");
    restore(&site, CALLER);
    assert_eq!(fetch().code, Some(0));
    let answer = Curl::to(&site, API).with(&written(&site, 1)).get("/items/1");
    site.ended_well(&answer, CALLER);
}

/// Whoever is revoked has nothing to gain from a keep-alive connection, a fresh one, or the other protocol.
#[test]
fn every_way_in_is_refused_and_nothing_reaches_the_upstream() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let victim = svid(&site, ID);
    let mut kept = Raw::open(&site, Some(&victim), API).unwrap();
    assert_eq!(kept.ask(format!("GET /items/1 HTTP/1.1\r\nHost: {API}\r\n\r\n")).status, 200);
    let (_, _, _) = revoke(&site, CALLER);
    let forwarded = upstream.count();
    // cut, or answered once more, and then with a refusal
    if kept.send(format!("GET /items/1 HTTP/1.1\r\nHost: {API}\r\n\r\n")).is_ok()
        && let Ok(answer) = kept.answer()
    {
        assert_eq!((answer.status, answer.reason().as_str()), (403, "signals.revoked"), "{answer:?}");
    }
    for protocol in PROTOCOLS {
        for host in [API, BULK, "people.e2e.internal"] {
            for (method, target) in [("GET", "/items/1"), ("GET", "/nowhere"), ("PUT", "/files/x"), ("OPTIONS", "/")] {
                let answer = Curl::to(&site, host).with(&victim).over(protocol).send(method, target);
                let record = site.record(&answer.decision());
                assert_eq!(record["outcome"], "deny", "{record:#}");
                // an unlisted route is refused before anybody asks about trust
                let reasons = ["signals.revoked", "route.unlisted"];
                assert!(reasons.contains(&answer.reason().as_str()), "{protocol} {host} {method} {target} {answer:?}");
            }
        }
        let answer = Curl::to(&site, API).with(&victim).over(protocol).get("/items/1");
        site.refused(&answer, revoked(CALLER));
    }
    assert_eq!(upstream.count(), forwarded, "something was forwarded");
}
