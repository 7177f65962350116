//! Counting: a thread that follows the decision logs, this node's own and those that were shipped, and folds them into the store, each record once.
//!
//! How far each lane was read is kept in the same transaction as what was counted. A process that dies in between counts
//! again what was not kept, and nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use api::admin::Answer;
use record::{Cursor, DamageKind, Item, Record};
use thiserror::Error;
use types::facts::{self, Caller, Facts, Outcome};
use types::{Clock, Mode, Reason, Timestamp, limits};

use crate::intake::Intake;
use crate::names::Callers;
use crate::store::{CountKey, Fold, LanePosition, Store, StoreError};

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500); // tidy: a pause, not a limit
/// How often old minutes are forgotten.
const FORGET_EVERY_MICROS: u64 = 3_600_000_000;
/// Damages that are kept for `doctor`.
const TOLD: usize = 8;

/// What is counted, and where.
pub struct Counting {
    /// The directory of this node's own log.
    pub log: PathBuf,
    /// The logs of others.
    pub intake: Arc<Intake>,
    /// The store.
    pub store: Arc<Store>,
    /// How callers are named.
    pub callers: Callers,
    /// The listeners that take calls without TLS.
    pub plaintext: BTreeSet<String>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// How counting fares.
#[derive(Default)]
pub struct Progress {
    /// Microseconds of the moment up to which everything is counted.
    until: AtomicU64,
    records: AtomicU64,
    damages: AtomicU64,
    stop: AtomicBool,
    words: Mutex<Words>,
}

#[derive(Clone, Default)]
struct Words {
    failure: Option<String>,
    damages: Vec<String>,
}

/// The thread, and how it fares. Dropping it ends the thread.
pub struct Counter {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

/// Counting did not get on.
#[derive(Debug, Error)]
enum Stuck {
    #[error("the decision log is not readable: {0}")]
    Log(#[from] record::ReadError),
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl Progress {
    /// Everything that was recorded before this moment is counted.
    pub fn until(&self) -> Timestamp {
        Timestamp::from_micros(self.until.load(Ordering::Acquire))
    }

    /// How many records were counted since the start.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// At how many places the log is not as it was written, as far as it was read since the start.
    pub fn damages(&self) -> u64 {
        self.damages.load(Ordering::Relaxed)
    }

    /// The first of those places, in words.
    pub fn damage_words(&self) -> Vec<String> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).damages.clone()
    }

    /// Why counting does not get on; `None` where it does.
    pub fn failure(&self) -> Option<String> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).failure.clone()
    }

    fn tell(&self, edit: impl FnOnce(&mut Words)) {
        edit(&mut self.words.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Counter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(counting: Counting) -> std::io::Result<Self> {
        let progress = Arc::new(Progress::default());
        let seen = Arc::clone(&progress);
        let thread = thread::Builder::new().name("counting".to_owned()).spawn(move || counting.run(&seen))?;
        Ok(Self { progress, thread: Some(thread) })
    }

    /// How it fares.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.progress.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // a panic in it has been told on stderr
            let _ = thread.join();
        }
    }
}

impl Counting {
    fn run(&self, progress: &Progress) {
        let mut forgotten = Timestamp::default();
        while !progress.stop.load(Ordering::Acquire) {
            if let Err(error) = self.follow(progress, &mut forgotten) {
                let words = error.to_string();
                // once for each trouble, not twice a second
                if progress.failure().as_ref() != Some(&words) {
                    tracing::error!(error = words, "counting is held up");
                }
                progress.tell(|told| told.failure = Some(words));
                thread::park_timeout(LOOK_EVERY);
            }
        }
    }

    /// Follows until it is stopped, or stuck. Whoever calls again goes on from what was kept.
    fn follow(&self, progress: &Progress, forgotten: &mut Timestamp) -> Result<(), Stuck> {
        let mut positions = self.store.positions()?;
        let mut logs = vec![Log::open("", &self.log, &positions, 0)?];
        loop {
            let looked = self.clock.now();
            self.find_new(&mut logs, &positions)?;
            for log in &mut logs {
                while self.take(log, &mut positions, progress)? {
                    if progress.stop.load(Ordering::Acquire) {
                        return Ok(());
                    }
                }
            }
            progress.until.store(looked.micros(), Ordering::Release);
            progress.tell(|told| told.failure = None);
            self.forget(forgotten)?;
            if progress.stop.load(Ordering::Acquire) {
                return Ok(());
            }
            thread::park_timeout(LOOK_EVERY);
        }
    }

    /// Looks again at the logs to which something came, and takes in those that are new.
    fn find_new(&self, logs: &mut Vec<Log>, positions: &BTreeMap<LanePosition, u64>) -> Result<(), Stuck> {
        for log in logs.iter_mut().filter(|log| log.enforcer.is_empty()) {
            log.cursor.poll()?;
        }
        for (enforcer, dir, changes) in self.intake.logs() {
            match logs.iter_mut().find(|log| log.enforcer == enforcer.as_str()) {
                Some(log) if log.changes != changes => {
                    log.cursor.poll()?;
                    log.changes = changes;
                }
                Some(_) => {}
                // nothing was kept yet
                None if !dir.exists() => {}
                None => logs.push(Log::open(enforcer.as_str(), &dir, positions, changes)?),
            }
        }
        Ok(())
    }

    /// Folds one piece. False where there was none.
    fn take(
        &self,
        log: &mut Log,
        positions: &mut BTreeMap<LanePosition, u64>,
        progress: &Progress,
    ) -> Result<bool, Stuck> {
        let mut fold = Fold::default();
        let mut taken = 0;
        for item in log.cursor.by_ref().take(limits::FOLD_RECORDS.default_usize()) {
            match item? {
                Item::Record(record) => self.count(&log.enforcer, &record.view(), positions, &mut fold),
                Item::Damage(damage) => note(&log.enforcer, &damage, progress, &mut fold),
            }
            taken += 1;
        }
        if !fold.is_empty() {
            self.store.fold(&fold)?;
        }
        progress.records.fetch_add(taken, Ordering::Relaxed);
        Ok(taken > 0)
    }

    fn count(&self, enforcer: &str, record: &Record<'_>, positions: &mut BTreeMap<LanePosition, u64>, fold: &mut Fold) {
        let (start, lane) = (record.start.value(), record.lane.to_owned());
        let position = LanePosition { enforcer: enforcer.to_owned(), start, lane };
        let next = record.sequence.saturating_add(1);
        // what stands twice in a damaged log counts once
        if positions.get(&position).is_some_and(|known| *known >= next) {
            return;
        }
        positions.insert(position.clone(), next);
        fold.positions.insert(position, next);
        let minute = minute_of(record.at);
        match &record.facts {
            Facts::Decision(decision) => self.count_decision(enforcer, minute, record.at, decision, fold),
            Facts::Refusals(refusals) => count_refusals(minute, refusals, fold),
            // nobody but this node's issuer issues
            Facts::Issuance(issuance) if enforcer.is_empty() => {
                let issued = issuance.not_after.filter(|_| issuance.outcome == Outcome::Allow);
                if let Some(not_after) = issued {
                    let issued = (issuance.spiffe_id.to_owned(), not_after);
                    fold.certificates.insert(issuance.serial.to_owned(), issued);
                }
            }
            Facts::Issuance(_) | Facts::Completion(_) | Facts::Lifecycle(_) | Facts::Administration(_) => {}
        }
    }

    fn count_decision(
        &self,
        enforcer: &str,
        minute: u64,
        at: Timestamp,
        decision: &facts::Decision<'_>,
        fold: &mut Fold,
    ) {
        let answer = Answer::of(decision.outcome, decision.would_deny().is_some());
        let totals = fold.minutes.entry(minute).or_default();
        match answer {
            Answer::Allow => totals.allow += 1,
            Answer::WouldDeny => totals.would_deny += 1,
            Answer::Deny => totals.deny += 1,
        }
        for (check, reason) in checks(decision) {
            let key = CountKey {
                caller: self.caller(&decision.caller),
                service: decision.service.to_owned(),
                method: decision.method.to_owned(),
                template: template(decision, &reason).to_owned(),
                answer,
                check,
                reason,
            };
            *fold.counts.entry((minute, key)).or_default() += 1;
        }
        if let Caller::Verified(peer) = &decision.caller
            && !fold.certificates.contains_key(peer.serial)
        {
            fold.certificates.insert(peer.serial.to_owned(), (peer.spiffe_id.to_owned(), peer.not_after));
        }
        // the listeners of others have names of their own
        let is_plaintext = enforcer.is_empty() && self.plaintext.contains(decision.listener);
        if let Some(source) = decision.source.filter(|_| is_plaintext) {
            let seen = fold.plaintext.entry((decision.listener.to_owned(), source)).or_default();
            *seen = (seen.0.max(at), seen.1.saturating_add(1));
        }
    }

    fn caller(&self, caller: &Caller<'_>) -> String {
        match caller {
            Caller::Verified(peer) => self.callers.name(peer.spiffe_id),
            Caller::Unidentified { .. } => String::new(),
        }
    }

    /// Once in a while: what is older than counts are kept.
    fn forget(&self, forgotten: &mut Timestamp) -> Result<(), StoreError> {
        let now = self.clock.now();
        if now.micros_since(*forgotten) < FORGET_EVERY_MICROS {
            return Ok(());
        }
        *forgotten = now;
        let kept = limits::COUNTED_TIME.default.saturating_mul(1_000);
        self.store.forget_before(minute_of(Timestamp::from_micros(now.micros().saturating_sub(kept))), now)
    }
}

/// The minute of a moment, counted from 1970.
pub fn minute_of(at: Timestamp) -> u64 {
    at.seconds() / 60
}

/// The route that a decision is counted under. What is unlisted is judged as `*` where it is not refused; both are counted
/// as that, so that what would be refused can be compared with what is.
fn template<'a>(decision: &facts::Decision<'a>, reason: &str) -> &'a str {
    let unlisted = reason == Reason::RouteUnlisted.code() && !decision.service.is_empty();
    if unlisted { "*" } else { decision.template }
}

/// What a decision is counted under: nothing against an allow, the check that refused a denial, and each check in shadow
/// that would have refused.
fn checks(decision: &facts::Decision<'_>) -> BTreeMap<String, String> {
    match (decision.outcome, decision.would_deny()) {
        (Outcome::Deny, _) => {
            let check = Reason::from_code(decision.reason)
                .map(|reason| policy::check_of(reason, &decision.determining))
                .unwrap_or_default();
            BTreeMap::from([(check, decision.reason.to_owned())])
        }
        (Outcome::Allow, None) => BTreeMap::from([(String::new(), String::new())]),
        (Outcome::Allow, Some(_)) => {
            let shadowed = decision.noted.iter().filter(|noted| noted.mode == Mode::Shadow);
            // one check may be noted twice, as the consent of both sides is: its first reason stands for it
            shadowed.rev().map(|noted| (noted.check.to_owned(), noted.reason.to_owned())).collect()
        }
    }
}

fn count_refusals(minute: u64, refusals: &facts::Refusals<'_>, fold: &mut Fold) {
    let totals = fold.minutes.entry(minute).or_default();
    totals.deny = totals.deny.saturating_add(refusals.count);
    let key = CountKey {
        caller: String::new(),
        service: String::new(),
        method: String::new(),
        template: String::new(),
        answer: Answer::Deny,
        check: String::new(),
        reason: refusals.reason.to_owned(),
    };
    let count = fold.counts.entry((minute, key)).or_default();
    *count = count.saturating_add(refusals.count);
}

fn note(enforcer: &str, damage: &record::Damage, progress: &Progress, fold: &mut Fold) {
    // the writer died within a record on whose account nothing was answered
    if matches!(damage.what, DamageKind::TornTail { .. }) {
        return;
    }
    // what was shipped is read once, so what is missing in it must be kept
    if !enforcer.is_empty() {
        fold.gaps.insert((enforcer.to_owned(), damage.to_string()));
    }
    progress.damages.fetch_add(1, Ordering::Relaxed);
    progress.tell(|told| {
        if told.damages.len() < TOLD {
            told.damages.push(damage.to_string());
        }
    });
}

/// One log that is followed.
struct Log {
    /// Empty for this node's own.
    enforcer: String,
    cursor: Cursor,
    /// As the intake said when it was looked at.
    changes: u64,
}

impl Log {
    /// Goes on where counting stopped.
    fn open(
        enforcer: &str,
        dir: &Path,
        positions: &BTreeMap<LanePosition, u64>,
        changes: u64,
    ) -> Result<Self, record::ReadError> {
        let own = positions.iter().filter(|(lane, _)| lane.enforcer == enforcer);
        let known = own.map(|(lane, next)| ((lane.start, lane.lane.clone()), *next));
        Ok(Self { enforcer: enforcer.to_owned(), cursor: Cursor::open_after(dir, known.collect())?, changes })
    }
}

#[cfg(test)]
#[path = "counting_tests.rs"]
mod tests;
