//! A clock that ticks, items to record, and short ways to write and read a log.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use types::{
    Clock, DecisionId, Label, Mode, Recordable, RevisionId, Timestamp,
    facts::{
        Administration, Caller, Completion, Decision, Facts, Issuance, Lifecycle, Noted, Outcome, Peer, Protocol,
        Refusals,
    },
};

use crate::{Cursor, Damage, DamageKind, Item, Lane, Log, LogConfig, OwnedRecord, Recorded};

pub(super) const SEGMENT: u64 = 64 * 1024;

/// Each look moves it on by a microsecond, so that no two records have the same time.
pub(super) struct Ticking(pub(super) AtomicU64);

impl Ticking {
    pub(super) fn from(micros: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(micros)))
    }
}

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

pub(super) fn config(dir: &Path) -> LogConfig {
    let enforcer = Label::parse("gw-1").unwrap();
    LogConfig { dir: dir.to_owned(), max_bytes: 64 * SEGMENT, segment_bytes: SEGMENT, enforcer }
}

pub(super) fn open(dir: &Path) -> Log {
    Log::open(config(dir), Ticking::from(1_000_000)).unwrap()
}

pub(super) fn id(number: u64) -> DecisionId {
    let mut random = [0u8; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    DecisionId::new(1, random)
}

/// Anything that can be recorded, with its texts and numbers in a row.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) kind: u8,
    pub(super) id: DecisionId,
    pub(super) texts: Vec<String>,
    pub(super) policies: Vec<String>,
    pub(super) numbers: [u64; 3],
    pub(super) digest: [u8; 32],
    pub(super) source: Option<IpAddr>,
    pub(super) status: Option<u16>,
    pub(super) risk: Option<u8>,
    pub(super) allow: bool,
    pub(super) revision: bool,
    pub(super) verified: bool,
    pub(super) protocol: u8,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            kind: 0,
            id: id(0),
            texts: vec![String::new(); 12],
            policies: Vec::new(),
            numbers: [0; 3],
            digest: [0; 32],
            source: None,
            status: None,
            risk: None,
            allow: false,
            revision: false,
            verified: false,
            protocol: 0,
        }
    }
}

pub(super) fn deny(number: u64) -> Sample {
    Sample { id: id(number), ..Sample::default() }
}

pub(super) fn allow(number: u64) -> Sample {
    Sample { id: id(number), allow: true, ..Sample::default() }
}

pub(super) fn done(number: u64) -> Sample {
    Sample { kind: 1, id: id(number), numbers: [u64::MAX; 3], status: Some(200), ..Sample::default() }
}

impl Sample {
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.texts[1] = note.into();
        self
    }

    fn text(&self, index: usize) -> &str {
        &self.texts[index]
    }

    fn time(&self, index: usize) -> Timestamp {
        Timestamp::from_micros(self.numbers[index])
    }

    fn decision(&self) -> Decision<'_> {
        let peer = Peer {
            spiffe_id: self.text(3),
            serial: self.text(4),
            sha256: self.digest,
            not_before: self.time(0),
            not_after: self.time(1),
            via: self.text(5),
        };
        let unidentified = Caller::Unidentified { claimed: self.text(6) };
        Decision {
            id: self.id,
            outcome: self.outcome(),
            reason: self.text(0),
            note: self.text(1),
            listener: self.text(2),
            revision: self.revision(),
            source: self.source,
            protocol: [Protocol::Tls, Protocol::Http1, Protocol::Http2][usize::from(self.protocol) % 3],
            caller: if self.verified { Caller::Verified(peer) } else { unidentified },
            host: self.text(7),
            service: self.text(8),
            method: self.text(9),
            template: self.text(10),
            risk: self.risk,
            determining: self.policies.iter().map(String::as_str).collect(),
            noted: self.policies.iter().filter(|_| self.status.is_some()).map(|policy| self.noted(policy)).collect(),
            epoch: self.verified.then_some(self.numbers[2]),
        }
    }

    fn noted<'a>(&'a self, policy: &'a str) -> Noted<'a> {
        let mode = Mode::ALL[usize::from(self.protocol) % 3];
        Noted { check: self.text(9), mode, reason: self.text(0), policy }
    }

    fn outcome(&self) -> Outcome {
        if self.allow { Outcome::Allow } else { Outcome::Deny }
    }

    fn revision(&self) -> Option<RevisionId> {
        self.revision.then(|| RevisionId::from_digest(self.digest))
    }
}

impl Recordable for Sample {
    fn facts(&self) -> Facts<'_> {
        let [first, second, third] = self.numbers;
        match self.kind % 6 {
            0 => Facts::Decision(self.decision()),
            1 => Facts::Completion(Completion {
                id: self.id,
                status: self.status,
                reason: self.text(0),
                micros: first,
                request_bytes: second,
                response_bytes: third,
                revision: self.revision(),
                epoch: self.verified.then_some(first),
            }),
            2 => Facts::Refusals(Refusals {
                listener: self.text(2),
                reason: self.text(0),
                source: self.source,
                count: first,
                since: self.time(1),
            }),
            3 => Facts::Issuance(Issuance {
                outcome: self.outcome(),
                note: self.text(1),
                spiffe_id: self.text(3),
                serial: self.text(4),
                not_after: self.risk.map(|_| self.time(0)),
                selectors: self.text(11),
                via: self.text(5),
            }),
            4 => Facts::Lifecycle(Lifecycle { event: self.text(0), version: self.text(2), revision: self.revision() }),
            _ => Facts::Administration(Administration {
                act: self.text(0),
                outcome: self.outcome(),
                operator: self.text(2),
                subject: self.text(3),
                why: self.text(1),
                note: self.text(11),
                revision: self.revision(),
                until: self.risk.map(|_| self.time(0)),
            }),
        }
    }
}

/// Everything that a log holds at present.
pub(super) fn read(dir: &Path) -> (Vec<OwnedRecord>, Vec<Damage>) {
    drain(&mut Cursor::open(dir).unwrap())
}

pub(super) fn drain(cursor: &mut Cursor) -> (Vec<OwnedRecord>, Vec<Damage>) {
    let (mut records, mut damage) = (Vec::new(), Vec::new());
    for item in cursor {
        match item.unwrap() {
            Item::Record(record) => records.push(record),
            Item::Damage(found) => damage.push(found),
        }
    }
    (records, damage)
}

pub(super) fn kinds(damage: &[Damage]) -> Vec<DamageKind> {
    damage.iter().map(|damage| damage.what.clone()).collect()
}

pub(super) fn sequences(records: &[OwnedRecord]) -> Vec<u64> {
    records.iter().map(|record| record.view().sequence).collect()
}

/// The files of a directory that are segments, sorted.
pub(super) fn segments(dir: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = all.filter(|path| path.extension().is_some_and(|e| e == "seg")).collect();
    segments.sort();
    segments
}

pub(super) fn bytes_of(dir: &Path) -> u64 {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().map_or(0, |m| m.len())).sum()
}

/// Waits for something that another thread brings about.
pub(super) fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "waited too long for {what}");
        // tidy: it waits on a condition
        thread::sleep(Duration::from_millis(1));
    }
}

/// Appends, waiting for room where the next segment is not ready yet.
pub(super) fn put(lane: &mut Lane, sample: &Sample) -> Recorded<Sample> {
    wait_for("room in the log", || lane.append(sample.clone()).ok())
}

/// A finished log: `count` denials in lane `a`, over as many segments as they take.
pub(super) fn written(dir: &Path, count: u64, note: usize) {
    let log = open(dir);
    let mut lane = log.lane("a").unwrap();
    for number in 0..count {
        let _ = put(&mut lane, &deny(number).note("x".repeat(note)));
    }
}
