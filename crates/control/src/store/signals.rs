//! Revocations and the epoch of signals, which grows with every change and never goes back.
//!
//! What enforcers need is read inside the transaction that changes it: an act that is kept can always be put in force.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use signal::{Revocation, State, Subject};
use types::{Timestamp, TrustDomain};
use wire::content;

use super::floors::{Adopted, keep};
use super::{NotDone, Store, StoreError, moment, number, timestamp, whole};

/// Revocations that ended are kept for so long: a clock that ran ahead for a while must not make them forgotten.
const ENDED_MICROS: u64 = 86_400_000_000;
/// The digests of so many epochs are kept. A peer that is further behind is taken to be of the same history.
const EPOCHS: u64 = 10_000; // tidy: of our own acts

/// What a change of signals left behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The revocation that was made or lifted, with the epoch of the change.
    pub revocation: Revocation,
    /// What the operator was told beside it.
    pub note: String,
    /// Everything that is held against anybody after the change.
    pub state: State,
}

/// What was taken over from a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// How many revocations were not known here, or lasted longer there.
    pub revocations: usize,
    /// Everything that is held against anybody after the change.
    pub state: State,
}

/// A revocation as it is kept, with what the operator was told beside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The revocation.
    pub revocation: Revocation,
    /// What the operator was told beside it.
    pub note: String,
}

const COLUMNS: &str = "SELECT subject, reason, operator, at, until, epoch, note FROM revocations";

impl Store {
    /// Keeps a revocation under the next epoch; one of the same subject is replaced. Those that ended a while ago are
    /// forgotten. It is recorded before it is kept.
    ///
    /// # Errors
    /// See `NotDone`.
    pub fn revoke<E>(
        &self,
        revocation: &Revocation,
        note: &str,
        organisation: &TrustDomain,
        record: impl FnOnce(&Change) -> Result<(), E>,
    ) -> Result<Change, NotDone<E>> {
        let work = |transaction: &Transaction<'_>| {
            let epoch = next_epoch(transaction)?;
            forget_ended(transaction, revocation.at)?;
            let revocation = Revocation { epoch, ..revocation.clone() };
            put(transaction, &revocation, note)?;
            Ok(Change { revocation, note: note.to_owned(), state: changed(transaction, organisation)? })
        };
        self.act(work, record)
    }

    /// The revocation of a subject that is in force at a moment.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn revocation(
        &self,
        subject: &Subject,
        organisation: &TrustDomain,
        now: Timestamp,
    ) -> Result<Option<Revocation>, StoreError> {
        let of_it = |held: Held| Some(held.revocation).filter(|revocation| revocation.subject == *subject);
        Ok(self.revocations(organisation, now)?.into_iter().find_map(of_it))
    }

    /// Lifts a revocation, under the next epoch. `None` where there is none; then nothing is recorded.
    ///
    /// # Errors
    /// See `NotDone`.
    pub fn restore<E>(
        &self,
        subject: &Subject,
        organisation: &TrustDomain,
        now: Timestamp,
        record: impl FnOnce(&Change) -> Result<(), E>,
    ) -> Result<Option<Change>, NotDone<E>> {
        let work = |transaction: &Transaction<'_>| {
            let sql = "DELETE FROM revocations WHERE subject = ?1 AND (until IS NULL OR until > ?2)
                RETURNING subject, reason, operator, at, until, epoch, note";
            let read = |row: &Row<'_>| held(row, organisation);
            let values = params![subject.to_string(), moment(now)];
            let lifted = transaction.query_row(sql, values, read).optional()?;
            let Some(Held { mut revocation, note }) = lifted else { return Ok(None) };
            revocation.epoch = next_epoch(transaction)?;
            Ok(Some(Change { revocation, note, state: changed(transaction, organisation)? }))
        };
        self.act(work, |lifted| lifted.as_ref().map_or(Ok(()), record))
    }

    /// Takes over what a peer holds and this store never held: nothing that is held against anybody, here or there, is
    /// dropped. The epoch goes above both. `None` where it is of this store's own history; then nothing is recorded.
    ///
    /// # Errors
    /// See `NotDone`.
    pub fn adopt<E>(
        &self,
        offered: &State,
        organisation: &TrustDomain,
        adopted: &Adopted,
        record: impl FnOnce(&Taken) -> Result<(), E>,
    ) -> Result<Option<Taken>, NotDone<E>> {
        let work = |transaction: &Transaction<'_>| {
            let ours = state(transaction, organisation)?;
            if is_known(transaction, &ours, offered.epoch(), &digest_of(offered))? {
                return Ok(None);
            }
            transaction.execute("UPDATE signals SET epoch = max(epoch, ?1) + 1", [whole(offered.epoch())])?;
            let note = format!("taken over from {}", adopted.peer);
            let mut revocations = 0_usize;
            for theirs in offered.iter() {
                let known = ours.iter().find(|ours| ours.subject == theirs.subject);
                if known.is_none_or(|ours| !ours.outlasts(theirs)) {
                    put(transaction, theirs, &note)?;
                    revocations = revocations.saturating_add(1);
                }
            }
            keep(transaction, adopted)?;
            Ok(Some(Taken { revocations, state: changed(transaction, organisation)? }))
        };
        self.act(work, |taken| taken.as_ref().map_or(Ok(()), record))
    }

    /// Whether this store once held the list of that epoch and digest, as far as it still knows.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn knows_epoch(&self, ours: &State, epoch: u64, digest: &[u8; 32]) -> Result<bool, StoreError> {
        self.read(|connection| is_known(connection, ours, epoch, digest))
    }

    /// The revocations in force at a moment, the latest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn revocations(&self, organisation: &TrustDomain, now: Timestamp) -> Result<Vec<Held>, StoreError> {
        self.read(|connection| {
            let sql = format!("{COLUMNS} WHERE until IS NULL OR until > ?1 ORDER BY at DESC, epoch DESC");
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map([moment(now)], |row| held(row, organisation))?.collect()
        })
    }

    /// Everything that is held against anybody, as enforcers need it.
    ///
    /// # Errors
    /// When the store cannot be read, or holds a subject that is none: then nothing may be let through.
    pub fn signals(&self, organisation: &TrustDomain) -> Result<State, StoreError> {
        self.read(|connection| state(connection, organisation))
    }
}

fn state(connection: &Connection, organisation: &TrustDomain) -> rusqlite::Result<State> {
    let epoch = epoch(connection)?;
    let mut statement = connection.prepare_cached(COLUMNS)?;
    let kept = statement.query_map([], |row| held(row, organisation))?;
    let kept: Vec<Held> = kept.collect::<rusqlite::Result<_>>()?;
    Ok(State::new(epoch, kept.into_iter().map(|held| held.revocation)))
}

/// The state after a change, whose digest is kept.
fn changed(transaction: &Transaction<'_>, organisation: &TrustDomain) -> rusqlite::Result<State> {
    let state = state(transaction, organisation)?;
    let digest = digest_of(&state);
    let values = params![whole(state.epoch()), digest.as_slice()];
    transaction.execute("INSERT OR REPLACE INTO epochs VALUES (?1, ?2)", values)?;
    let oldest = whole(state.epoch().saturating_sub(EPOCHS));
    transaction.execute("DELETE FROM epochs WHERE epoch <= ?1", [oldest])?;
    Ok(state)
}

/// The digest of a list of revocations as peers know it.
pub fn digest_of(state: &State) -> [u8; 32] {
    let items: Vec<Vec<u8>> = state.iter().map(content::revocation_item).collect();
    content::digest(items.iter().map(Vec::as_slice))
}

fn is_known(connection: &Connection, ours: &State, epoch: u64, digest: &[u8; 32]) -> rusqlite::Result<bool> {
    if epoch >= ours.epoch() {
        return Ok(epoch == ours.epoch() && *digest == digest_of(ours));
    }
    let sql = "SELECT digest FROM epochs WHERE epoch = ?1";
    let kept: Option<[u8; 32]> = connection.query_row(sql, [whole(epoch)], |row| row.get(0)).optional()?;
    Ok(kept.is_none_or(|kept| kept == *digest))
}

fn put(transaction: &Transaction<'_>, revocation: &Revocation, note: &str) -> rusqlite::Result<()> {
    let values = params![
        revocation.subject.to_string(),
        revocation.reason,
        revocation.operator,
        moment(revocation.at),
        revocation.until.map(moment),
        whole(revocation.epoch),
        note
    ];
    let sql = "INSERT OR REPLACE INTO revocations VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    transaction.execute(sql, values).map(drop)
}

fn forget_ended(transaction: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<()> {
    let ended = whole(now.micros().saturating_sub(ENDED_MICROS));
    transaction.execute("DELETE FROM revocations WHERE until <= ?1", [ended]).map(drop)
}

fn epoch(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT epoch FROM signals", [], |row| row.get(0)).map(number)
}

fn next_epoch(transaction: &Transaction<'_>) -> rusqlite::Result<u64> {
    transaction.query_row("UPDATE signals SET epoch = epoch + 1 RETURNING epoch", [], |row| row.get(0)).map(number)
}

fn held(row: &Row<'_>, organisation: &TrustDomain) -> rusqlite::Result<Held> {
    let subject: String = row.get(0)?;
    let not_one = |error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error));
    let until: Option<i64> = row.get(4)?;
    let revocation = Revocation {
        subject: Subject::parse(&subject, organisation).map_err(not_one)?,
        reason: row.get(1)?,
        operator: row.get(2)?,
        at: timestamp(row.get(3)?),
        until: until.map(timestamp),
        epoch: number(row.get(5)?),
    };
    Ok(Held { revocation, note: row.get(6)? })
}
