//! Tests of reading the log, on real logs in temporary directories.

use std::sync::atomic::{AtomicU64, Ordering};

use record::{Lane, Log, LogConfig};
use types::facts::{Lifecycle, Peer, Protocol};
use types::{Label, Recordable};

use super::*;

/// A clock that a test moves.
#[derive(Default)]
struct Held(AtomicU64);

impl Clock for Held {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

struct Line(Facts<'static>);

impl Recordable for Line {
    fn facts(&self) -> Facts<'_> {
        self.0.clone()
    }
}

struct Fixture {
    _dir: tempfile::TempDir,
    _log: Log,
    lane: Lane,
    clock: Arc<Held>,
    history: History,
}

const START: u64 = 1_795_425_242_000_000;

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Held::default());
    clock.0.store(START, Ordering::Relaxed);
    let path = dir.path().join("log");
    let config = LogConfig {
        max_bytes: 4 * 1024 * 1024,
        segment_bytes: 64 * 1024,
        ..LogConfig::new(&path, Label::parse("local").unwrap())
    };
    let log = Log::open(config, clock.clone()).unwrap();
    let lane = log.lane("worker-0").unwrap();
    let organisation = types::TrustDomain::parse("acme.internal").unwrap();
    let logs = Logs { own: path, intake: crate::Intake::open(dir.path(), 1024 * 1024).unwrap() };
    let history = History { logs, callers: Callers::of(organisation), clock: clock.clone() };
    Fixture { _dir: dir, _log: log, lane, clock, history }
}

fn id(seconds: u64, last: u8) -> DecisionId {
    DecisionId::new(START / 1_000 + seconds * 1_000, [0, 0, 0, 0, 0, 0, 0, 0, 0, last])
}

impl Fixture {
    fn at(&self, seconds: u64) {
        self.clock.0.store(START + seconds * 1_000_000, Ordering::Relaxed);
    }

    fn append(&mut self, facts: Facts<'static>) {
        let _ = self.lane.append(Line(facts)).unwrap();
    }

    fn decided(&mut self, id: DecisionId, caller: &'static str, reason: &'static str) {
        let peer = Peer {
            spiffe_id: caller,
            serial: "5c",
            sha256: [0; 32],
            not_before: Timestamp::default(),
            not_after: Timestamp::default(),
            via: "",
        };
        let caller = if caller.is_empty() { Caller::Unidentified { claimed: "" } } else { Caller::Verified(peer) };
        self.append(Facts::Decision(facts::Decision {
            id,
            outcome: if reason.is_empty() { Outcome::Allow } else { Outcome::Deny },
            reason,
            note: "",
            listener: "gateway",
            noted: Vec::new(),
            epoch: None,
            revision: None,
            source: None,
            protocol: Protocol::Http1,
            caller,
            host: "ledger.acme.internal",
            service: "finance/ledger",
            method: "GET",
            template: "/entries",
            risk: Some(50),
            determining: Vec::new(),
        }));
    }

    fn ended(&mut self, id: DecisionId) {
        self.append(Facts::Completion(facts::Completion {
            revision: None,
            epoch: None,
            id,
            status: Some(200),
            reason: "",
            micros: 5,
            request_bytes: 0,
            response_bytes: 1,
        }));
    }

    fn asked(&self, query: &DecisionQuery) -> Vec<Entry> {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1_000);
        self.history.answer(query, &sender).unwrap();
        drop(sender);
        std::iter::from_fn(|| receiver.blocking_recv()).collect()
    }
}

const PAYMENTS: &str = "spiffe://finance.acme.internal/payments";
const CI: &str = "spiffe://platform.acme.internal/ci";

fn ids(entries: &[Entry]) -> Vec<DecisionId> {
    let id = |entry: &Entry| match entry {
        Entry::Decision(decision) => Some(decision.id),
        _ => None,
    };
    entries.iter().filter_map(id).collect()
}

#[test]
fn decisions_are_joined_with_their_ends_and_nothing_else_is_listed() {
    let mut log = fixture();
    log.append(Facts::Lifecycle(Lifecycle { event: "started", version: "0", revision: None }));
    log.decided(id(0, 1), PAYMENTS, "");
    log.decided(id(0, 2), CI, "policy.no-permit");
    log.ended(id(0, 1));
    let entries = log.asked(&DecisionQuery::default());
    assert_eq!(ids(&entries), [id(0, 1), id(0, 2)]);
    let Entry::Decision(first) = &entries[0] else { panic!("{entries:?}") };
    assert_eq!(first.caller, "finance/payments");
    assert_eq!(first.completion.as_ref().and_then(|end| end.status), Some(200));
}

#[test]
fn filters_hold_and_the_limit_keeps_the_latest() {
    let mut log = fixture();
    for second in 0..10 {
        log.at(second);
        log.decided(
            id(second, 1),
            if second % 2 == 0 { PAYMENTS } else { CI },
            if second < 5 { "" } else { "policy.no-permit" },
        );
    }
    for second in 0..5 {
        log.ended(id(second, 1));
    }
    let since = |seconds: u64| Some(START + seconds * 1_000_000);
    let ask = |query: DecisionQuery| ids(&log.asked(&query));
    assert_eq!(ask(DecisionQuery { limit: Some(2), ..Default::default() }), [id(8, 1), id(9, 1)]);
    assert_eq!(ask(DecisionQuery { limit: Some(0), ..Default::default() }), []);
    assert_eq!(ask(DecisionQuery { since: since(8), ..Default::default() }), [id(8, 1), id(9, 1)]);
    assert_eq!(
        ask(DecisionQuery { caller: Some("platform/ci".into()), since: since(7), ..Default::default() }),
        [id(7, 1), id(9, 1)]
    );
    assert_eq!(ask(DecisionQuery { caller: Some(PAYMENTS.into()), limit: Some(1), ..Default::default() }), [id(8, 1)]);
    let allowed = log.asked(&DecisionQuery { outcome: Some(Answer::Allow), limit: Some(2), ..Default::default() });
    assert_eq!(ids(&allowed), [id(3, 1), id(4, 1)]);
    let ended = |entry: &Entry| matches!(entry, Entry::Decision(decision) if decision.completion.is_some());
    assert!(allowed.iter().all(ended), "ends are joined although the decision moved in the window");
}

#[test]
fn a_listing_of_everything_holds_little_and_loses_nothing() {
    let mut latest = Latest::new(2);
    let entry = |second: u64| {
        let message = second.to_string();
        Entry::Damage(Damage { message })
    };
    let out: Vec<Entry> = (0..5).filter_map(|second| latest.push(0, entry(second))).collect();
    assert_eq!(out, [entry(0), entry(1), entry(2)]);
    assert_eq!(latest.entries, [entry(3), entry(4)]);
}

#[test]
fn short_names_find_one_decision_or_say_which_there_are() {
    let mut log = fixture();
    log.decided(id(0, 1), PAYMENTS, "");
    log.ended(id(0, 1));
    log.decided(id(0, 2), PAYMENTS, "policy.no-permit");
    let found = log.history.find(&id(0, 1).to_string()).unwrap();
    assert!(found.completion.is_some());
    let text = id(0, 2).to_string();
    let (head, tail) = (text.get(..8).unwrap(), text.get(text.len() - 4..).unwrap());
    let short = format!("{head}…{tail}");
    assert_eq!(log.history.find(&short).unwrap().id, id(0, 2));
    let both = log.history.find(head).unwrap_err();
    assert_eq!(both.code, FailureCode::Ambiguous);
    assert!(both.hint.contains(&text) && both.hint.contains(&id(0, 1).to_string()), "{}", both.hint);
    assert_eq!(log.history.find("0197a1f2…c4d1").unwrap_err().code, FailureCode::NotFound);
    assert_eq!(log.history.find("what").unwrap_err().code, FailureCode::BadRequest);
}

#[test]
fn a_decision_whose_clock_was_set_back_is_still_found() {
    let mut log = fixture();
    log.decided(id(86_400, 1), PAYMENTS, "policy.no-permit");
    assert_eq!(log.history.find(&id(86_400, 1).to_string()).unwrap().id, id(86_400, 1));
}

#[test]
fn following_gives_what_happens_from_now_on_each_call_with_its_end() {
    let mut log = fixture();
    log.decided(id(0, 1), PAYMENTS, "policy.no-permit");
    let (sender, mut receiver) = tokio::sync::mpsc::channel(10);
    let history = log.history.clone();
    let query = DecisionQuery { follow: true, limit: Some(1), ..Default::default() };
    let reader = std::thread::spawn(move || history.answer(&query, &sender));
    let mut next = || receiver.blocking_recv().unwrap();
    assert_eq!(ids(&[next()]), [id(0, 1)]);
    log.decided(id(0, 2), PAYMENTS, "");
    log.ended(id(0, 2));
    let Entry::Decision(ended) = next() else { panic!("a decision") };
    assert!(ended.id == id(0, 2) && ended.completion.is_some());
    log.decided(id(0, 3), PAYMENTS, "");
    log.at(2);
    let Entry::Decision(open) = next() else { panic!("a decision") };
    assert!(open.id == id(0, 3) && open.completion.is_none(), "a call that lasts is shown after a second");
    drop(receiver);
    reader.join().unwrap().unwrap();
}
