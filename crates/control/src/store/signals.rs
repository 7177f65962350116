//! Revocations and the epoch of signals, which grows with every change and never goes back.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use signal::{Revocation, State, Subject};
use types::{Timestamp, TrustDomain};

use super::{NotDone, Store, StoreError, moment, number, timestamp, whole};

/// What a change of signals left behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The revocation that was made or lifted, with the epoch of the change.
    pub revocation: Revocation,
    /// What the operator was told beside it.
    pub note: String,
}

const COLUMNS: &str = "SELECT subject, reason, operator, at, until, epoch, note FROM revocations";

impl Store {
    /// Keeps a revocation under the next epoch; one of the same subject is replaced. Those that ended are forgotten. It
    /// is recorded before it is kept.
    ///
    /// # Errors
    /// See `NotDone`.
    pub fn revoke<E>(
        &self,
        revocation: &Revocation,
        note: &str,
        record: impl FnOnce(&Change) -> Result<(), E>,
    ) -> Result<Change, NotDone<E>> {
        let work = |transaction: &Transaction<'_>| {
            let epoch = next_epoch(transaction)?;
            let ended = moment(revocation.at);
            transaction.execute("DELETE FROM revocations WHERE until <= ?1", [ended])?;
            transaction.execute(
                "INSERT OR REPLACE INTO revocations VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    revocation.subject.to_string(),
                    revocation.reason,
                    revocation.operator,
                    moment(revocation.at),
                    revocation.until.map(moment),
                    whole(epoch),
                    note
                ],
            )?;
            Ok(Change { revocation: Revocation { epoch, ..revocation.clone() }, note: note.to_owned() })
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
        let of_it = |change: Change| Some(change.revocation).filter(|revocation| revocation.subject == *subject);
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
            let read = |row: &Row<'_>| change(row, organisation);
            let values = params![subject.to_string(), moment(now)];
            let lifted = transaction.query_row(sql, values, read).optional()?;
            let Some(mut lifted) = lifted else { return Ok(None) };
            lifted.revocation.epoch = next_epoch(transaction)?;
            Ok(Some(lifted))
        };
        self.act(work, |lifted| lifted.as_ref().map_or(Ok(()), record))
    }

    /// The revocations in force at a moment, the latest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn revocations(&self, organisation: &TrustDomain, now: Timestamp) -> Result<Vec<Change>, StoreError> {
        self.read(|connection| {
            let sql = format!("{COLUMNS} WHERE until IS NULL OR until > ?1 ORDER BY at DESC, epoch DESC");
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map([moment(now)], |row| change(row, organisation))?.collect()
        })
    }

    /// Everything that is held against anybody, as enforcers need it.
    ///
    /// # Errors
    /// When the store cannot be read, or holds a subject that is none: then nothing may be let through.
    pub fn signals(&self, organisation: &TrustDomain) -> Result<State, StoreError> {
        self.read(|connection| {
            let epoch = epoch(connection)?;
            let mut statement = connection.prepare_cached(COLUMNS)?;
            let kept = statement.query_map([], |row| change(row, organisation))?;
            let kept: Vec<Change> = kept.collect::<rusqlite::Result<_>>()?;
            Ok(State::new(epoch, kept.into_iter().map(|change| change.revocation)))
        })
    }
}

fn epoch(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT epoch FROM signals", [], |row| row.get(0)).map(number)
}

fn next_epoch(transaction: &Transaction<'_>) -> rusqlite::Result<u64> {
    transaction.query_row("UPDATE signals SET epoch = epoch + 1 RETURNING epoch", [], |row| row.get(0)).map(number)
}

fn change(row: &Row<'_>, organisation: &TrustDomain) -> rusqlite::Result<Change> {
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
    Ok(Change { revocation, note: row.get(6)? })
}
