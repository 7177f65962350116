//! The peers as control sees them: who joined, who is connected, what each acknowledged, and how far a change has come.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use api::admin::{PeerLoad, Reach, Role};
use api::wire::{Have, Load};
use tokio::sync::watch;
use types::{Label, RevisionId, Timestamp, limits};

use crate::store::{Joined, Last, Place};

/// What names a peer.
pub(crate) type Name = (Role, Label);

/// Everybody who joined, and the roles of this process.
#[derive(Default)]
pub(crate) struct Peers {
    seen: Mutex<BTreeMap<Name, Seen>>,
    /// Told whenever somebody acknowledged, came or went.
    moved: Condvar,
    /// See [`Peers::turn`].
    turns: Mutex<()>,
}

/// One peer.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub place: Place,
    /// SHA-256 of its public key; `None` for one that shares this process.
    pub key: Option<[u8; 32]>,
    pub joined: Timestamp,
    pub last: Last,
    pub line: Option<Line>,
    /// Since when it is connected, or is not; `None` where it never was since this process began.
    pub since: Option<Timestamp>,
    /// What it refused, until it has something later.
    pub refused: Option<Refused>,
    /// Why it was sent away, until it comes back.
    pub sent_away: String,
    /// By how many microseconds its clock is ahead.
    pub clock_ahead: i64,
    pub load: Option<Load>,
    /// How long the last change of signals took to be in force there, in microseconds.
    pub took: Option<u64>,
    /// When another connection took the place of one that was alive.
    pub replaced: Vec<Timestamp>,
    /// It holds something of a later history than the store's.
    pub ahead: String,
    dirty: bool,
}

/// A connection.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    id: u64,
    pub address: Option<SocketAddr>,
    /// Set to end it.
    end: watch::Sender<Option<Ending>>,
}

/// Why a connection is to end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ending {
    pub why: String,
    /// Whether it makes sense to come again.
    pub retry: bool,
}

/// An update that a peer did not take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refused {
    /// `publication 7`.
    pub what: String,
    /// A word of `api::protocol::refusals`.
    pub word: String,
    pub why: String,
}

/// One who is connected.
pub(crate) struct Held {
    pub id: u64,
    pub end: watch::Receiver<Option<Ending>>,
}

/// A change whose way is watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    Publication(u64),
    Epoch(u64),
}

impl Seen {
    fn new(place: Place, key: Option<[u8; 32]>, joined: Timestamp, last: Last) -> Self {
        Self {
            place,
            key,
            joined,
            last,
            line: None,
            since: None,
            refused: None,
            sent_away: String::new(),
            clock_ahead: 0,
            load: None,
            took: None,
            replaced: Vec::new(),
            ahead: String::new(),
            dirty: false,
        }
    }

    pub const fn is_connected(&self) -> bool {
        self.line.is_some()
    }

    pub const fn in_process(&self) -> bool {
        self.key.is_none()
    }

    /// `proxy/edge-1`.
    pub fn title(&self) -> String {
        title(self.place.role, &self.place.name)
    }

    fn has(&self, target: Target) -> bool {
        match target {
            Target::Publication(number) => self.last.publication.is_some_and(|held| held >= number),
            Target::Epoch(epoch) => self.last.epoch.is_some_and(|held| held >= epoch),
        }
    }

    /// Whether waiting a moment may help.
    fn may_follow(&self, target: Target) -> bool {
        let refused = self.refused.as_ref().is_some_and(|refused| refused.what == target.to_string());
        self.is_connected() && !refused && !self.has(target)
    }

    /// Why it does not have a change, in one sentence.
    fn excuse(&self, target: Target) -> String {
        let name = &self.place.name;
        match (&self.line, &self.refused, self.since) {
            (Some(_), Some(refused), _) if refused.what == target.to_string() => {
                format!("{name} refused it: {}", refused.why)
            }
            (Some(_), _, _) => format!("{name} has not confirmed it yet"),
            (None, _, Some(since)) => format!("{name} is not connected since {since}"),
            (None, _, None) => match self.last.heard {
                Some(heard) => format!("{name} is not connected; it was last heard at {heard}"),
                None => format!("{name} was never connected"),
            },
        }
    }
}

impl core::fmt::Display for Target {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Publication(number) => write!(f, "publication {number}"),
            Self::Epoch(epoch) => write!(f, "epoch {epoch}"),
        }
    }
}

/// `proxy/edge-1`.
pub(crate) fn title(role: Role, name: &Label) -> String {
    format!("{}/{name}", role.as_str())
}

impl Peers {
    /// Those that the store knows.
    pub fn of(joined: Vec<Joined>) -> Self {
        let peers = Self::default();
        joined.into_iter().for_each(|joined| peers.add(joined));
        peers
    }

    /// Held while the store and this change together: who is retired while it joins is in neither afterwards.
    pub fn turn(&self) -> MutexGuard<'_, ()> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody joined.
    pub fn add(&self, joined: Joined) {
        let Joined { place, key, joined, last } = joined;
        let name = (place.role, place.name.clone());
        self.lock().entry(name).or_insert_with(|| Seen::new(place, Some(key), joined, last));
    }

    /// Somebody is gone for good; a connection is told why.
    pub fn remove(&self, name: &Name, why: &str) {
        if let Some(line) = self.lock().remove(name).and_then(|seen| seen.line) {
            line.end(why, false);
        }
        self.moved.notify_all();
    }

    pub fn get(&self, name: &Name) -> Option<Seen> {
        self.lock().get(name).cloned()
    }

    /// All of them, proxies first, by name.
    pub fn all(&self) -> Vec<Seen> {
        self.lock().values().cloned().collect()
    }

    /// A connection begins. An older one of the same peer ends: connections may come in another order than they were
    /// opened in, but of two only one is alive, and it is the one that spoke last.
    pub fn connect(
        &self,
        place: &Place,
        in_process: bool,
        address: Option<SocketAddr>,
        now: Timestamp,
    ) -> Option<Held> {
        let name = (place.role, place.name.clone());
        let mut all = self.lock();
        if in_process {
            all.entry(name.clone()).or_insert_with(|| Seen::new(place.clone(), None, now, Last::default()));
        }
        let seen = all.get_mut(&name).filter(|seen| seen.in_process() == in_process)?;
        let (end, ended) = watch::channel(None);
        let id = seen.line.as_ref().map_or(now.micros(), |line| line.id.max(now.micros()).saturating_add(1));
        if let Some(older) = seen.line.replace(Line { id, address, end }) {
            older.end("another connection with the same identity took its place", true);
            seen.replaced.retain(|at| now.micros_since(*at) < REPLACED_MICROS);
            seen.replaced.push(now);
            seen.replaced.truncate(REPLACED_MOST);
        }
        seen.since = Some(now);
        seen.sent_away.clear();
        Some(Held { id, end: ended })
    }

    /// A connection ended.
    pub fn disconnect(&self, name: &Name, id: u64, now: Timestamp, why: &str) {
        self.edit(name, id, |seen| {
            seen.line = None;
            seen.since = Some(now);
            why.clone_into(&mut seen.sent_away);
        });
        self.moved.notify_all();
    }

    /// Ends the connections of everybody of whom that is to be.
    pub fn end_where(&self, mut judge: impl FnMut(&Seen) -> Option<Ending>) {
        for seen in self.lock().values().filter(|seen| seen.is_connected()) {
            if let (Some(Ending { why, retry }), Some(line)) = (judge(seen), &seen.line) {
                line.end(&why, retry);
            }
        }
    }

    /// What a peer says of itself at the beginning.
    pub fn greet(&self, name: &Name, id: u64, version: &str, now: Timestamp) {
        let version = version.chars().take(VERSION_CHARACTERS).collect();
        self.edit(name, id, |seen| {
            seen.last.version = version;
            seen.last.heard = Some(now);
        });
    }

    /// A peer is alive.
    pub fn pulse(&self, name: &Name, id: u64, clock: u64, load: Option<Load>, now: Timestamp) {
        self.edit(name, id, |seen| {
            seen.last.heard = Some(now);
            seen.clock_ahead = difference(clock, now.micros());
            seen.load = load.or_else(|| seen.load.take());
        });
    }

    /// A peer runs what it says. `changed` is when the signals that it confirms were put in force, where it is that: how long
    /// they were on their way counts for those only who were connected then.
    pub fn acknowledge(&self, name: &Name, id: u64, have: &Have, now: Timestamp, changed: Option<Timestamp>) {
        self.edit(name, id, |seen| {
            let revision = <[u8; 32]>::try_from(have.revision.as_slice()).ok().map(RevisionId::from_digest);
            if have.publication != 0 && seen.last.publication != Some(have.publication) {
                seen.last.publication = Some(have.publication);
                seen.last.revision_since = Some(now);
            }
            if revision.is_some() {
                seen.last.revision = revision;
            }
            if have.epoch != 0 || !have.signals_digest.is_empty() {
                seen.last.epoch = Some(have.epoch);
            }
            seen.last.heard = Some(now);
            let changed = changed.filter(|changed| seen.since.is_some_and(|connected| connected <= *changed));
            seen.took = changed.map(|changed| now.micros_since(changed)).or(seen.took);
        });
        self.moved.notify_all();
    }

    /// A peer did not take something, or took what it had refused.
    pub fn refuse(&self, name: &Name, id: u64, refused: Option<Refused>) {
        self.edit(name, id, |seen| seen.refused = refused);
        self.moved.notify_all();
    }

    /// A peer holds something of a later history than the store's; `""` where that is settled.
    pub fn is_ahead(&self, name: &Name, id: u64, ahead: &str) {
        self.edit(name, id, |seen| ahead.clone_into(&mut seen.ahead));
    }

    /// How far a change has come among enforcers, after waiting for those that are connected, at most so long.
    pub fn reach(&self, target: Target, wait: Duration) -> Reach {
        let deadline = Instant::now() + wait;
        let mut all = self.lock();
        while all.values().any(|seen| seen.place.role == Role::Proxy && seen.may_follow(target)) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            all = self.moved.wait_timeout(all, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let enforcers: Vec<&Seen> = all.values().filter(|seen| seen.place.role == Role::Proxy).collect();
        let mut waiting: Vec<String> =
            enforcers.iter().filter(|seen| !seen.has(target)).map(|seen| seen.excuse(target)).collect();
        let (count, most) = (waiting.len(), limits::REACH_NAMED.default_usize());
        if count > most {
            waiting.truncate(most);
            waiting.push(format!("{} more", count.saturating_sub(most)));
        }
        Reach { in_force: enforcers.len().saturating_sub(count), enforcers: enforcers.len(), waiting }
    }

    /// What was heard and is not kept yet. Those that share this process are not kept at all.
    pub fn unkept(&self) -> Vec<(Role, Label, Last)> {
        let mut all = self.lock();
        let joined = all.iter_mut().filter(|(_, seen)| !seen.in_process());
        let dirty = joined.filter_map(|(name, seen)| std::mem::take(&mut seen.dirty).then_some((name, seen)));
        dirty.map(|((role, name), seen)| (*role, name.clone(), seen.last.clone())).collect()
    }

    /// They could not be kept: they are tried again.
    pub fn still_unkept(&self, heard: &[(Role, Label, Last)]) {
        let mut all = self.lock();
        for (role, name, _) in heard {
            if let Some(seen) = all.get_mut(&(*role, name.clone())) {
                seen.dirty = true;
            }
        }
    }

    fn edit(&self, name: &Name, id: u64, edit: impl FnOnce(&mut Seen)) {
        let mut all = self.lock();
        // what an older connection still says no longer counts
        let current = |seen: &&mut Seen| seen.line.as_ref().is_some_and(|line| line.id == id);
        if let Some(seen) = all.get_mut(name).filter(current) {
            edit(seen);
            seen.dirty = true;
        }
    }

    /// A panic while one peer was written down spoils nothing of the others.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connections that were replaced are remembered for so long.
const REPLACED_MICROS: u64 = 3_600_000_000;
/// And so many of them.
const REPLACED_MOST: usize = 1_000; // tidy: of one peer, and forgotten within an hour
/// The version of a program is shorter than this.
const VERSION_CHARACTERS: usize = 40; // tidy: of a text that is only shown

impl Line {
    fn end(&self, why: &str, retry: bool) {
        // whoever held it may be gone
        self.end.send_replace(Some(Ending { why: why.to_owned(), retry }));
    }
}

/// What a peer says of its work, for operators.
pub(crate) const fn load_of(load: &Load) -> PeerLoad {
    PeerLoad {
        allowed: load.allowed,
        would_deny: load.would_deny,
        refused: load.refused,
        open_exchanges: load.open_exchanges,
        open_connections: load.open_connections,
    }
}

fn difference(theirs: u64, ours: u64) -> i64 {
    let whole = |micros: u64| i64::try_from(micros).unwrap_or(i64::MAX);
    whole(theirs).saturating_sub(whole(ours))
}

#[cfg(test)]
#[path = "peers_tests.rs"]
mod tests;
