//! Publications while calls go on: decisions change, and no request fails over it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_e2e::{
    Answer, Caller, Curl, Dial, Drip, Http2, Identity, Load, Raw, Site, Stopwatch, Streams, Told, Upstream, Watched,
    body_of, echo, edit, read_log, say, wait_for, wait_until,
};
use http::Request;
use serde_json::Value;

use crate::{API, CALLER, setting};

/// Publications, and as many rollbacks; `COUNTERSIGN_PUBLISH_ROUNDS` overrides it.
const ROUNDS: u32 = 100;
/// Between two requests of one stream.
const PAUSE: Duration = Duration::from_millis(5);
/// What the second revision adds: a refusal, and below a route.
const FREEZE: &str = "\n@id(\"no-more-writes\")\n@reason(\"Round @ROUND@.\")\n\
    forbid (principal, action == Action::\"PUT\", resource == Route::\"alpha/api PUT /items/{id}\");\n";

/// Which of the two revisions decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    First,
    Second,
}

/// What each revision answers: status and reason.
fn expected(side: Side, method: &str, target: &str) -> (u16, &'static str) {
    match (method, target, side) {
        ("PUT", _, Side::Second) => (403, "policy.forbidden"),
        ("GET", "/extra", Side::First) => (404, "route.unlisted"),
        _ => (200, ""),
    }
}

/// The requests that everybody makes over and over.
const ASKS: [(&str, &str); 3] = [("GET", "/items/1"), ("PUT", "/items/2"), ("GET", "/extra")];

fn second(site: &Site, name: &str, round: u32) -> PathBuf {
    let dir = site.copy_as(name);
    let policies = dir.join("domains/alpha/policies/alpha.cedar");
    let text = std::fs::read_to_string(&policies).unwrap();
    std::fs::write(&policies, text + &FREEZE.replace("@ROUND@", &round.to_string())).unwrap();
    edit(&dir, "domains/alpha/domain.yaml", "\"GET /items\": {}", "\"GET /items\": {}\n      \"GET /extra\": {}");
    dir
}

/// Connections that stay open all the time, one over each protocol.
struct Probes {
    http1: Raw,
    http2: Http2,
    asked: u64,
    allowed: u64,
}

impl Probes {
    fn open(site: &Site, identity: &Identity) -> Self {
        let http1 = Raw::open(site, Some(identity), API).unwrap();
        Self { http1, http2: Http2::with(site, identity, API), asked: 0, allowed: 0 }
    }

    /// Calls that others made and that were allowed.
    fn allowed(&mut self, calls: usize) {
        self.asked += calls as u64;
        self.allowed += calls as u64;
    }

    /// Looks that the very next requests are answered by one revision.
    fn look(&mut self, side: Side, when: &str) {
        for (method, target) in ASKS {
            let request = format!("{method} {target} HTTP/1.1\r\nHost: {API}\r\nContent-Length: 0\r\n\r\n");
            let over_http1 = self.http1.ask(request);
            let request = Request::builder().method(method).uri(format!("https://{API}{target}"));
            let over_http2 = self.http2.ask(request.body(body_of("")).unwrap()).unwrap();
            for answer in [over_http1, over_http2] {
                let (status, reason) = expected(side, method, target);
                assert_eq!(told(&answer), (status, reason.to_owned()), "{when}: {method} {target} {answer:?}");
                self.asked += 1;
                self.allowed += u64::from(answer.status == 200);
            }
        }
    }
}

/// Streaming responses that every revision allows.
fn streams(site: &Site, identity: &Identity) -> (Streams, Vec<Arc<Watched>>) {
    let streams = Streams::default();
    let dial = |protocol| Dial::with(site, identity, "bulk.e2e.internal", protocol);
    let mut open = streams.open(&dial("http/1.1"), &["/files/one".to_owned()]);
    open.extend(streams.open(&dial("h2"), &["/files/two", "/files/three"].map(str::to_owned)));
    for stream in &open {
        wait_until("a stream to flow", || stream.bytes() > 0);
    }
    (streams, open)
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status, if answer.status == 200 { String::new() } else { answer.reason() })
}

/// What the store must list, the latest first.
struct Done {
    kind: &'static str,
    why: String,
    revision: String,
}

fn callers(site: &Site, identity: &Identity) -> Vec<Caller> {
    let asks: Vec<_> = ASKS.iter().map(|(method, target)| (*method, (*target).to_owned())).collect();
    let caller = |name, protocol, streams| {
        let dial = Dial::with(site, identity, API, protocol);
        Caller { name, dial, streams, asks: asks.clone() }
    };
    vec![caller("http/1.1, first", "http/1.1", 1), caller("http/1.1, second", "http/1.1", 1), caller("h2", "h2", 4)]
}

#[test]
fn a_hundred_publications_and_rollbacks_under_load_fail_no_request() {
    let rounds = setting("COUNTERSIGN_PUBLISH_ROUNDS", ROUNDS);
    let upstream = Drip::start(Duration::from_millis(20));
    let mut site = Site::before(upstream.port());
    site.start();
    let identity = site.authority("alpha").svid(site.root(), "spiffe://alpha.e2e.internal/caller");
    let first = site.revision();
    let (streams, open) = streams(&site, &identity);
    let mut probes = Probes::open(&site, &identity);
    probes.allowed(open.len());
    let load = Load::start(callers(&site, &identity), PAUSE);
    let (mut publishing, mut rolling_back) = (Stopwatch::of("publish DIR"), Stopwatch::of("rollback REV"));
    let mut done = Vec::new();
    for round in 0..rounds {
        let dir = second(&site, "second", round);
        let (why, begin) = (format!("round {round}"), Instant::now());
        let published = site.publish(&dir, &why);
        publishing.add(begin.elapsed());
        probes.look(Side::Second, &why);
        let revision = published["revision"].as_str().unwrap().to_owned();
        done.push(Done { kind: "publish", why, revision });
        let (why, begin) = (format!("back from round {round}"), Instant::now());
        site.json(&["rollback", &first[..12], "--why", &why, "--json"]);
        rolling_back.add(begin.elapsed());
        probes.look(Side::First, &why);
        done.push(Done { kind: "rollback", why, revision: first.clone() });
    }
    let told = load.stop();
    publishing.print();
    rolling_back.print();
    for stream in &open {
        let before = stream.bytes();
        wait_until("a stream to outlive them all", || stream.bytes() > before);
        assert!(!stream.is_over(), "{:?}", stream.seen());
    }
    drop(streams);
    every_answer_is_one_of_the_two(&told, rounds);
    the_store_says_what_was_done(&site, &first, &done);
    the_record_says_so_too(&site, &done);
    counts_are_exact(&site, &told, &probes);
}

fn every_answer_is_one_of_the_two(told: &[Told], rounds: u32) {
    let mut kinds: BTreeMap<(&str, &str, u16, &str), usize> = BTreeMap::new();
    for told in told {
        assert_eq!(told.broken, "", "{told:?}");
        let answer = (told.status, told.reason.as_str());
        let sides = [Side::First, Side::Second].map(|side| expected(side, told.method, &told.target));
        assert!(sides.contains(&answer), "{told:?}");
        *kinds.entry((told.method, &told.target, told.status, &told.reason)).or_default() += 1;
    }
    say(&format!("{} requests during {} publications, none failed: {kinds:?}", told.len(), 2 * rounds));
    assert_eq!(kinds.len(), 5, "both revisions decided under load: {kinds:?}");
    assert!(told.len() > 10 * rounds as usize, "there was no load");
}

fn the_store_says_what_was_done(site: &Site, first: &str, done: &[Done]) {
    let listed = site.json(&["revisions", "--limit", "1000", "--json"]);
    assert_eq!(listed.len(), done.len() + 1);
    let numbers: Vec<u64> = listed.iter().map(|one| one["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=listed.len() as u64).rev().collect::<Vec<_>>());
    let oldest = &listed[listed.len() - 1];
    assert_eq!((&oldest["kind"], &oldest["revision"]), (&Value::from("first"), &Value::from(first)), "{oldest:#}");
    for (one, done) in listed.iter().zip(done.iter().rev()) {
        assert_eq!(
            (&one["kind"], &one["why"], &one["revision"], &one["operator"]),
            (&done.kind.into(), &done.why.as_str().into(), &done.revision.as_str().into(), &"local".into()),
            "{one:#}"
        );
        let changes = one["changes"].to_string();
        assert!(changes.contains("no-more-writes") && changes.contains("/extra"), "what changed: {changes}");
        assert!(one["at"].as_str().is_some_and(|at| at.starts_with("20")), "{one:#}");
    }
    let current: Vec<usize> = (0..listed.len()).filter(|at| listed[*at]["current"] == true).collect();
    assert!(
        current.contains(&0) && listed.iter().all(|one| one["current"] == (one["revision"] == first)),
        "{current:?}"
    );
}

/// Who, when, why and what, as another program reads it.
fn the_record_says_so_too(site: &Site, done: &[Done]) {
    let log = read_log(&site.data());
    let acts: Vec<_> = log.iter().filter(|record| record.is_done("publish") || record.is_done("rollback")).collect();
    assert_eq!(acts.len(), done.len() + 1, "the first publication and every one since");
    for (record, done) in acts[1..].iter().zip(done) {
        assert_eq!(
            (record.text(33).as_str(), record.text(36), record.hex(6)),
            (done.kind, done.why.clone(), done.revision.clone())
        );
        assert_eq!(record.text(34), "local", "{record:?}");
        assert!(record.at > 0 && record.text(4).contains("no-more-writes"), "what changed: {record:?}");
    }
}

/// What the callers saw is what `decisions --counts` says. A request that was allowed, and no longer was before its
/// answer began, was told so: it counts as what was decided first, and its completion says the rest.
fn counts_are_exact(site: &Site, told: &[Told], probes: &Probes) {
    let log = read_log(&site.data());
    let ended = log.iter().filter(|record| record.kind == 2 && !record.text(3).is_empty());
    let cut: Vec<_> = ended.filter(|record| record.text(3) != "caller-gone").collect();
    for record in &cut {
        assert!(["policy.forbidden", "route.unlisted"].contains(&record.text(3).as_str()), "{record:?}");
        assert_eq!(record.hex(6).len(), 64, "the revision that says so: {record:?}");
    }
    say(&format!("{} requests were judged again while they waited for their answer", cut.len()));
    let allowed = cut.len() as u64 + told.iter().filter(|told| told.status == 200).count() as u64 + probes.allowed;
    let all = told.len() as u64 + probes.asked;
    let sum = wait_for("every call to be counted", || {
        let counts = site.json(&["decisions", "--counts", "--since", "1d", "--json"]);
        let of = |answer: &str| -> u64 {
            counts.iter().filter(|one| one["answer"] == answer).map(|one| one["count"].as_u64().unwrap()).sum()
        };
        (of("allow") + of("deny") >= all).then(|| (of("allow"), of("deny")))
    });
    assert_eq!(sum, (allowed, all - allowed));
}

/// What went out before a publication is finished as it was decided, and what was refused stays refused.
#[test]
fn a_request_in_flight_that_stays_allowed_is_not_disturbed() {
    let upstream = Upstream::start(|turn| {
        if turn.head().target == "/items/slow" {
            turn.dawdle(Duration::from_millis(900));
        }
        echo(turn)
    });
    let site = Site::up(&upstream);
    let dir = second(&site, "second", 0);
    let (mut http1, mut http2) = (Raw::by(&site, CALLER, API), Http2::by(&site, CALLER, API));
    http1.send(format!("GET /items/slow HTTP/1.1\r\nHost: {API}\r\n\r\n")).unwrap();
    let asking = std::thread::spawn(move || {
        http2.ask(Request::get(format!("https://{API}/items/slow")).body(body_of("")).unwrap())
    });
    upstream.wait_for("both requests", |call| call.target == "/items/slow" && call.connection == 1);
    let published = site.publish(&dir, "while two wait");
    for answer in [http1.answer().unwrap(), asking.join().unwrap().unwrap()] {
        let record = site.ended_well(&answer, CALLER);
        assert_ne!(record["revision"], published["revision"], "decided before: {record:#}");
    }
    let after = Curl::to(&site, API).by(CALLER).get("/extra");
    assert_eq!(site.ended_well(&after, CALLER)["revision"], published["revision"]);
}

/// A domain that a later revision adds is served and issued for at once.
#[test]
fn a_domain_that_a_publication_adds_is_served() {
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    site.edit("node.yaml", ", domains: [alpha, beta, edge]", "");
    site.start();
    let dir = site.copy_as("with-gamma");
    gamma(&dir, upstream.port());
    let published = site.publish(&dir, "gamma joins");
    assert!(published["changes"].to_string().contains("gamma"), "{published:#}");
    let out = site.root().join("gamma-id");
    let fetched = site.run(["identity", "fetch", "--as", "gamma/caller", "--out", &out.display().to_string()]);
    assert_eq!(fetched.code, Some(0), "{fetched:#?}");
    let identity = Identity { certificate: out.join("svid.pem"), key: out.join("svid.key") };
    let roots = site.data().join("keys/gamma/ca.pem").display().to_string();
    let call = Curl::to(&site, "api.gamma.internal").with(&identity).args(&["--cacert", &roots]);
    let answer = call.get("/things");
    site.ended_well(&answer, "gamma/caller");
    // and it goes again
    site.json(&["rollback", published_before(&site).as_str(), "--json"]);
    let call = Curl::to(&site, "api.gamma.internal").with(&identity).args(&["--cacert", &roots]);
    let answer = call.get("/things");
    assert_eq!(answer.status, 0, "{answer:?}");
    site.refused_at_tls("accept.server-name");
}

fn published_before(site: &Site) -> String {
    site.json(&["revisions", "--json"])[1]["revision"].as_str().unwrap().to_owned()
}

fn gamma(dir: &Path, port: u16) {
    let folder = dir.join("domains/gamma/policies");
    std::fs::create_dir_all(&folder).unwrap();
    let domain = format!(
        "domain: gamma\nservices:\n  api:\n    hosts: [api.gamma.internal]\n    upstream: {{ urls: [http://127.0.0.1:{port}] }}\n    \
         routes: {{ \"GET /things\": {{}} }}\nworkloads:\n  caller: {{ attest: {{ any: [{{ unix: {{ path: $DATA/bin/g }} }}] }} }}\n"
    );
    std::fs::write(dir.join("domains/gamma/domain.yaml"), domain).unwrap();
    let policy = "@id(\"reads\")\n@reason(\"The caller reads.\")\npermit (principal == Workload::\"gamma/caller\", action, resource);\n";
    std::fs::write(folder.join("gamma.cedar"), policy).unwrap();
}
