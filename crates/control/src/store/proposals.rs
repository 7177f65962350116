//! Publications that wait for approval, each with its files. One that became current or was taken back is forgotten: the
//! decision log and the publications tell its story.

use std::collections::BTreeMap;

use api::admin::{Need, Proposal, PublicationKind};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use types::{RevisionId, Timestamp};

use super::publications::{forget_unused, keep, kind_of, name_of, not_sql};
use super::{NotDone, Store, StoreError, moment, number, timestamp, whole};

/// What is to wait for approval.
pub struct NewProposal<'a> {
    /// The revision that it would make current.
    pub revision: RevisionId,
    /// Its files; absent where they are kept already.
    pub sources: Option<&'a BTreeMap<String, String>>,
    /// The revision that is current.
    pub base: RevisionId,
    /// A publication or a rollback.
    pub kind: PublicationKind,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub operator: &'a str,
    /// Why.
    pub why: &'a str,
    /// What it would change.
    pub changes: Vec<String>,
    /// Whose approval it needs.
    pub needs: &'a [Need],
}

/// A proposal and who approved it so far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// The proposal.
    pub proposal: Proposal,
    /// The owners who approved it, in that order.
    pub approvers: Vec<String>,
}

const COLUMNS: &str = "SELECT number, revision, base, kind, at, operator, why, changes, needs FROM proposals";

impl Store {
    /// Keeps a proposal. It is recorded before it is kept.
    ///
    /// # Errors
    /// See `NotDone`.
    pub fn propose<E>(
        &self,
        new: &NewProposal<'_>,
        record: impl FnOnce(&Proposal) -> Result<(), E>,
    ) -> Result<Proposal, NotDone<E>> {
        self.act(|transaction| insert(transaction, new), record)
    }

    /// The proposals, the latest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn proposals(&self) -> Result<Vec<Proposal>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!("{COLUMNS} ORDER BY number DESC"))?;
            statement.query_map([], proposal)?.collect()
        })
    }

    /// One proposal; `None` where there is none of that number.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn proposal(&self, number: u64) -> Result<Option<Waiting>, StoreError> {
        self.read(|connection| find(connection, number))
    }

    /// Keeps an approval, and whose approval is needed after it. It is recorded before it is kept.
    ///
    /// # Errors
    /// See `NotDone`.
    pub fn approve<E>(
        &self,
        number: u64,
        operator: &str,
        at: Timestamp,
        needs: &[Need],
        record: impl FnOnce(&Proposal) -> Result<(), E>,
    ) -> Result<Proposal, NotDone<E>> {
        let work = |transaction: &Transaction<'_>| {
            let sql = "INSERT INTO approvals VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            transaction.execute(sql, params![whole(number), operator, moment(at)])?;
            let needs = serde_json::to_string(needs).map_err(not_sql)?;
            let sql = "UPDATE proposals SET needs = ?2 WHERE number = ?1";
            transaction.execute(sql, params![whole(number), needs])?;
            one(transaction, number)
        };
        self.act(work, record)
    }

    /// Forgets a proposal, and its files where nothing else has them. It is recorded before it is forgotten.
    ///
    /// # Errors
    /// See `NotDone`.
    pub fn withdraw<E>(
        &self,
        number: u64,
        record: impl FnOnce(&Proposal) -> Result<(), E>,
    ) -> Result<Proposal, NotDone<E>> {
        let work = |transaction: &Transaction<'_>| {
            let proposal = one(transaction, number)?;
            forget(transaction, number)?;
            forget_unused(transaction, &proposal.revision)?;
            Ok(proposal)
        };
        self.act(work, record)
    }
}

/// Takes a proposal out. That it was there is part of the transaction that makes it current.
pub(super) fn forget(connection: &Connection, number: u64) -> rusqlite::Result<()> {
    let gone = connection.execute("DELETE FROM proposals WHERE number = ?1", [whole(number)])?;
    if gone == 1 { Ok(()) } else { Err(rusqlite::Error::QueryReturnedNoRows) }
}

fn insert(transaction: &Transaction<'_>, new: &NewProposal<'_>) -> rusqlite::Result<Proposal> {
    let revision = new.revision.to_string();
    if let Some(sources) = new.sources {
        keep(transaction, &revision, sources)?;
    }
    let changes = serde_json::to_string(&new.changes).map_err(not_sql)?;
    let needs = serde_json::to_string(new.needs).map_err(not_sql)?;
    let values = params![
        revision,
        new.base.to_string(),
        name_of(new.kind),
        moment(new.at),
        new.operator,
        new.why,
        changes,
        needs
    ];
    let sql = "INSERT INTO proposals (revision, base, kind, at, operator, why, changes, needs)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    transaction.execute(sql, values)?;
    one(transaction, number(transaction.last_insert_rowid()))
}

fn one(connection: &Connection, number: u64) -> rusqlite::Result<Proposal> {
    connection.query_row(&format!("{COLUMNS} WHERE number = ?1"), [whole(number)], proposal)
}

fn find(connection: &Connection, number: u64) -> rusqlite::Result<Option<Waiting>> {
    let Some(proposal) = one(connection, number).optional()? else { return Ok(None) };
    let sql = "SELECT operator FROM approvals WHERE proposal = ?1 ORDER BY at, operator";
    let mut statement = connection.prepare_cached(sql)?;
    let approvers = statement.query_map([whole(number)], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(Some(Waiting { proposal, approvers }))
}

fn proposal(row: &Row<'_>) -> rusqlite::Result<Proposal> {
    let (kind, changes, needs): (String, String, String) = (row.get(3)?, row.get(7)?, row.get(8)?);
    Ok(Proposal {
        number: number(row.get(0)?),
        revision: row.get(1)?,
        base: row.get(2)?,
        kind: kind_of(&kind),
        at: timestamp(row.get(4)?),
        operator: row.get(5)?,
        why: row.get(6)?,
        changes: serde_json::from_str(&changes).map_err(not_sql)?,
        needs: serde_json::from_str(&needs).map_err(not_sql)?,
    })
}
