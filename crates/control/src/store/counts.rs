//! Exact counts, folded from the decision log minute by minute, with how far each lane has been folded.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use api::admin::{Answer, Count};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use types::{Timestamp, limits};

use super::{Store, StoreError, moment, number, timestamp, whole};

/// What is counted together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CountKey {
    /// See [`Count::caller`].
    pub caller: String,
    /// See [`Count::service`].
    pub service: String,
    /// See [`Count::method`].
    pub method: String,
    /// See [`Count::template`].
    pub template: String,
    /// The answer.
    pub answer: Answer,
    /// See [`Count::check`].
    pub check: String,
    /// See [`Count::reason`].
    pub reason: String,
}

/// The calls of one minute by their answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Allowed.
    pub allow: u64,
    /// Would-denies.
    pub would_deny: u64,
    /// Refused.
    pub deny: u64,
}

/// A lane of one start of one enforcer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LanePosition {
    /// The enforcer whose log was shipped here; empty for this node's own log.
    pub enforcer: String,
    /// The start.
    pub start: u64,
    /// The lane.
    pub lane: String,
}

/// Somebody who calls without TLS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlaintextCaller {
    /// The listener.
    pub listener: String,
    /// From where.
    pub source: IpAddr,
    /// The latest call.
    pub seen: Timestamp,
    /// How many calls.
    pub calls: u64,
}

/// A piece of the log, counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fold {
    /// The sequence that comes next in each lane.
    pub positions: BTreeMap<LanePosition, u64>,
    /// How often each thing happened in each minute.
    pub counts: BTreeMap<(u64, CountKey), u64>,
    /// All calls of each minute.
    pub minutes: BTreeMap<u64, Totals>,
    /// Who called without TLS: listener and source, with the latest moment and the number of calls.
    pub plaintext: BTreeMap<(String, IpAddr), (Timestamp, u64)>,
    /// Certificates that were issued or seen, by serial number: whose, and until when.
    pub certificates: BTreeMap<String, (String, Timestamp)>,
    /// What is missing or damaged in the logs of others, by enforcer.
    pub gaps: BTreeSet<(String, String)>,
}

impl Fold {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.gaps.is_empty()
    }
}

impl Store {
    /// How far each lane has been folded: the sequence that comes next.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn positions(&self) -> Result<BTreeMap<LanePosition, u64>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare("SELECT enforcer, start, lane, next FROM lanes")?;
            let read = |row: &Row<'_>| {
                let position = LanePosition { enforcer: row.get(0)?, start: number(row.get(1)?), lane: row.get(2)? };
                Ok((position, number(row.get(3)?)))
            };
            statement.query_map([], read)?.collect()
        })
    }

    /// Adds a piece of the log to the counts, with its positions, in one transaction: each record counts once.
    ///
    /// # Errors
    /// When the store does not take it; then nothing of it counts.
    pub fn fold(&self, fold: &Fold) -> Result<(), StoreError> {
        self.write(|transaction| {
            add_positions(transaction, fold)?;
            add_counts(transaction, fold)?;
            add_minutes(transaction, fold)?;
            add_plaintext(transaction, fold)?;
            add_certificates(transaction, fold)?;
            add_gaps(transaction, fold)
        })
    }

    /// What counting found missing or damaged in the log of another, one sentence each.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn log_gaps(&self, enforcer: &str) -> Result<Vec<String>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT what FROM log_gaps WHERE enforcer = ?1 ORDER BY what";
            connection.prepare_cached(sql)?.query_map([enforcer], |row| row.get(0))?.collect()
        })
    }

    /// Whether a live certificate of a SPIFFE ID or of a serial number was issued or seen.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn knows_certificate(&self, subject: &str) -> Result<bool, StoreError> {
        self.read(|connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM certificates WHERE serial = ?1 OR spiffe_id = ?1)";
            connection.prepare_cached(sql)?.query_row([subject], |row| row.get(0))
        })
    }

    /// Forgets the minutes before one, what happened only in them, and certificates that are over.
    ///
    /// # Errors
    /// When the store does not take it.
    pub fn forget_before(&self, minute: u64, now: Timestamp) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM certificates WHERE not_after < ?1", [moment(now)])?;
            let gone = transaction.execute("DELETE FROM counts WHERE minute < ?1", [whole(minute)])?;
            transaction.execute("DELETE FROM minutes WHERE minute < ?1", [whole(minute)])?;
            if gone > 0 {
                transaction.execute("DELETE FROM kinds WHERE id NOT IN (SELECT kind FROM counts)", [])?;
            }
            let seen = whole(minute.saturating_mul(MINUTE_MICROS));
            transaction.execute("DELETE FROM plaintext_callers WHERE seen < ?1", [seen]).map(drop)
        })
    }

    /// The counts of the minutes from `first` up to and without `end`, the most frequent first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn counts(&self, first: u64, end: u64) -> Result<Vec<Count>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT caller, service, method, template, answer, check_name, reason, sum(count) AS total
                FROM counts JOIN kinds ON kinds.id = counts.kind WHERE minute >= ?1 AND minute < ?2
                GROUP BY kinds.id ORDER BY total DESC, caller, service, template, method, answer, check_name, reason";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map(params![whole(first), whole(end)], count)?.collect()
        })
    }

    /// The minutes from `first` up to and without `end` in which anything was decided.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn minutes(&self, first: u64, end: u64) -> Result<BTreeMap<u64, Totals>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT minute, allow, would_deny, deny FROM minutes WHERE minute >= ?1 AND minute < ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let read = |row: &Row<'_>| Ok((number(row.get(0)?), totals(row)?));
            statement.query_map(params![whole(first), whole(end)], read)?.collect()
        })
    }

    /// Those who called without TLS since a moment.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn plaintext_callers(&self, since: Timestamp) -> Result<Vec<PlaintextCaller>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT listener, source, seen, calls FROM plaintext_callers WHERE seen >= ?1 ORDER BY 1, 2";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map([moment(since)], plaintext_caller)?.collect()
        })
    }
}

/// Microseconds of a minute.
const MINUTE_MICROS: u64 = 60_000_000;

fn add_positions(transaction: &Transaction<'_>, fold: &Fold) -> rusqlite::Result<()> {
    let sql = "INSERT INTO lanes VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET next = excluded.next";
    let mut statement = transaction.prepare_cached(sql)?;
    for (position, next) in &fold.positions {
        statement.execute(params![position.enforcer, whole(position.start), position.lane, whole(*next)])?;
    }
    Ok(())
}

fn add_counts(transaction: &Transaction<'_>, fold: &Fold) -> rusqlite::Result<()> {
    let sql = "INSERT INTO counts VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET count = count + excluded.count";
    let mut statement = transaction.prepare_cached(sql)?;
    for ((minute, key), count) in &fold.counts {
        statement.execute(params![whole(*minute), kind(transaction, key)?, whole(*count)])?;
    }
    Ok(())
}

fn kind(connection: &Connection, key: &CountKey) -> rusqlite::Result<i64> {
    let sql = "SELECT id FROM kinds WHERE caller = ?1 AND service = ?2 AND method = ?3 AND template = ?4
        AND answer = ?5 AND check_name = ?6 AND reason = ?7";
    let values = params![key.caller, key.service, key.method, key.template, key.answer.as_str(), key.check, key.reason];
    let known = connection.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    let sql = "INSERT INTO kinds (caller, service, method, template, answer, check_name, reason)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    connection.prepare_cached(sql)?.insert(values)
}

fn add_minutes(transaction: &Transaction<'_>, fold: &Fold) -> rusqlite::Result<()> {
    let sql = "INSERT INTO minutes VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET allow = allow + excluded.allow,
        would_deny = would_deny + excluded.would_deny, deny = deny + excluded.deny";
    let mut statement = transaction.prepare_cached(sql)?;
    for (minute, totals) in &fold.minutes {
        let values = params![whole(*minute), whole(totals.allow), whole(totals.would_deny), whole(totals.deny)];
        statement.execute(values)?;
    }
    Ok(())
}

/// Sources beyond the limit are those of a flood: they are left out, the known ones go on.
fn add_plaintext(transaction: &Transaction<'_>, fold: &Fold) -> rusqlite::Result<()> {
    let sql = "INSERT INTO plaintext_callers SELECT ?1, ?2, ?3, ?4
        WHERE EXISTS (SELECT 1 FROM plaintext_callers WHERE listener = ?1 AND source = ?2)
        OR (SELECT count(*) FROM plaintext_callers) < ?5
        ON CONFLICT DO UPDATE SET seen = max(seen, excluded.seen), calls = calls + excluded.calls";
    let mut statement = transaction.prepare_cached(sql)?;
    for ((listener, source), (seen, calls)) in &fold.plaintext {
        let most = whole(limits::PLAINTEXT_CALLERS.default);
        statement.execute(params![listener, source.to_string(), moment(*seen), whole(*calls), most])?;
    }
    Ok(())
}

fn add_certificates(transaction: &Transaction<'_>, fold: &Fold) -> rusqlite::Result<()> {
    let sql = "INSERT INTO certificates VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    let mut statement = transaction.prepare_cached(sql)?;
    for (serial, (spiffe_id, not_after)) in &fold.certificates {
        statement.execute(params![serial, spiffe_id, moment(*not_after)])?;
    }
    Ok(())
}

/// Beyond the limit a log is broken as a whole, and the first gaps say so.
fn add_gaps(transaction: &Transaction<'_>, fold: &Fold) -> rusqlite::Result<()> {
    let sql =
        "INSERT OR IGNORE INTO log_gaps SELECT ?1, ?2 WHERE (SELECT count(*) FROM log_gaps WHERE enforcer = ?1) < ?3";
    let mut statement = transaction.prepare_cached(sql)?;
    for (enforcer, what) in &fold.gaps {
        statement.execute(params![enforcer, what, whole(limits::LOG_GAPS.default)])?;
    }
    Ok(())
}

fn count(row: &Row<'_>) -> rusqlite::Result<Count> {
    let answer: String = row.get(4)?;
    Ok(Count {
        caller: row.get(0)?,
        service: row.get(1)?,
        method: row.get(2)?,
        template: row.get(3)?,
        answer: [Answer::Allow, Answer::WouldDeny]
            .into_iter()
            .find(|known| known.as_str() == answer)
            .unwrap_or(Answer::Deny),
        check: row.get(5)?,
        reason: row.get(6)?,
        count: number(row.get(7)?),
    })
}

fn totals(row: &Row<'_>) -> rusqlite::Result<Totals> {
    Ok(Totals { allow: number(row.get(1)?), would_deny: number(row.get(2)?), deny: number(row.get(3)?) })
}

fn plaintext_caller(row: &Row<'_>) -> rusqlite::Result<PlaintextCaller> {
    let source: String = row.get(1)?;
    let not_one = |error| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error));
    Ok(PlaintextCaller {
        listener: row.get(0)?,
        source: source.parse().map_err(not_one)?,
        seen: timestamp(row.get(2)?),
        calls: number(row.get(3)?),
    })
}
