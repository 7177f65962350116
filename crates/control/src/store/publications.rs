//! Revisions, each with all its files, and the publications that made them current.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::admin::{Publication, PublicationKind};
use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use trustdir::{MemoryFiles, Revision};
use types::{RevisionId, Timestamp};

use super::{NotDone, Store, StoreError, moment, number, proposals, timestamp};

/// What is to become the current revision.
pub struct NewPublication<'a> {
    /// The revision.
    pub revision: RevisionId,
    /// Its files; absent where they are kept already.
    pub sources: Option<&'a BTreeMap<String, String>>,
    /// What kind.
    pub kind: PublicationKind,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub operator: &'a str,
    /// Why.
    pub why: &'a str,
    /// What it changes.
    pub changes: Vec<String>,
    /// The proposal that it was, and the owners who approved it.
    pub approved: Option<(u64, Vec<String>)>,
}

const COLUMNS: &str = "SELECT number, revision, kind, at, operator, why, changes, approvals FROM publications";

impl Store {
    /// Makes a revision current. It is recorded before it is kept.
    ///
    /// # Errors
    /// See `NotDone`.
    pub fn publish<E>(
        &self,
        new: &NewPublication<'_>,
        record: impl FnOnce(&Publication) -> Result<(), E>,
    ) -> Result<Publication, NotDone<E>> {
        self.act(|transaction| insert(transaction, new), record)
    }

    /// The publication that made the current revision current; `None` in an empty store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn current(&self) -> Result<Option<Publication>, StoreError> {
        Ok(self.publications(1)?.pop())
    }

    /// The publications, the latest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn publications(&self, limit: usize) -> Result<Vec<Publication>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut listed = self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!("{COLUMNS} ORDER BY number DESC LIMIT ?1"))?;
            statement.query_map([limit], publication)?.collect::<Result<Vec<_>, _>>()
        })?;
        let current = listed.first().map(|latest| latest.revision.clone());
        for publication in &mut listed {
            publication.current = Some(&publication.revision) == current.as_ref();
        }
        Ok(listed)
    }

    /// When a revision last became current before a moment; `None` where it did not.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn current_since(&self, id: RevisionId, before: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.read(|connection| {
            let at: Option<i64> = connection.query_row(
                "SELECT max(at) FROM publications WHERE revision = ?1 AND at <= ?2",
                params![id.to_string(), moment(before)],
                |row| row.get(0),
            )?;
            Ok(at.map(timestamp))
        })
    }

    /// The revisions that were current whose names start so, each once, at most ten. What only waits for approval is not
    /// among them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn revisions_named(&self, start: &str) -> Result<Vec<RevisionId>, StoreError> {
        let names: Vec<String> = self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT DISTINCT revision FROM publications WHERE substr(revision, 1, ?1) = ?2 ORDER BY 1 LIMIT 10",
            )?;
            statement.query_map(params![whole_length(start), start], |row| row.get(0))?.collect::<Result<_, _>>()
        })?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The text of one file of a revision.
    pub fn file(&self, id: RevisionId, path: &str) -> Option<String> {
        let text = self.read(|connection| {
            let sql = "SELECT text FROM revision_files JOIN texts USING (digest) WHERE revision = ?1 AND path = ?2";
            connection.query_row(sql, params![id.to_string(), path], |row| row.get(0)).optional()
        });
        text.inspect_err(|error| tracing::error!(%error, "a kept file cannot be read")).ok().flatten()
    }

    /// The files of a revision by path.
    ///
    /// # Errors
    /// [`StoreError::Gone`] where it is not kept, or why it cannot be read.
    pub fn files(&self, id: RevisionId) -> Result<BTreeMap<String, String>, StoreError> {
        let files: BTreeMap<String, String> = self.read(|connection| {
            let sql = "SELECT path, text FROM revision_files JOIN texts USING (digest) WHERE revision = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map([id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })?;
        if files.is_empty() { Err(StoreError::Gone(id.short())) } else { Ok(files) }
    }

    /// A revision, compiled again. What its name does not prove is not used.
    ///
    /// # Errors
    /// [`StoreError::Gone`], [`StoreError::Changed`], [`StoreError::Invalid`], or why it cannot be read.
    pub fn load(&self, id: RevisionId) -> Result<Arc<Revision>, StoreError> {
        let loaded = trustdir::load(&MemoryFiles::new(self.files(id)?));
        match loaded.revision {
            Some(revision) if revision.id() == id => Ok(revision),
            Some(_) => Err(StoreError::Changed(id.short())),
            None if self.is_changed(id)? => Err(StoreError::Changed(id.short())),
            None => {
                let first = loaded.problems.into_iter().find(|problem| problem.severity == trustdir::Severity::Error);
                Err(StoreError::Invalid(id.short(), first.map(|problem| problem.message).unwrap_or_default()))
            }
        }
    }

    /// Whether a text is not what its digest says.
    fn is_changed(&self, id: RevisionId) -> Result<bool, StoreError> {
        let sql = "SELECT digest, text FROM revision_files JOIN texts USING (digest) WHERE revision = ?1";
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let kept = statement.query_map([id.to_string()], |row| {
                let (kept, text): (Vec<u8>, String) = (row.get(0)?, row.get(1)?);
                Ok(digest(&SHA256, text.as_bytes()).as_ref() != kept)
            })?;
            kept.collect::<rusqlite::Result<Vec<bool>>>().map(|changed| changed.contains(&true))
        })
    }
}

fn whole_length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

fn insert(transaction: &Transaction<'_>, new: &NewPublication<'_>) -> rusqlite::Result<Publication> {
    let revision = new.revision.to_string();
    if let Some(sources) = new.sources {
        keep(transaction, &revision, sources)?;
    }
    let (proposal, approvals) = new.approved.as_ref().map_or((None, &[][..]), |(number, by)| (Some(*number), by));
    if let Some(proposal) = proposal {
        proposals::forget(transaction, proposal)?;
    }
    let changes = serde_json::to_string(&new.changes).map_err(not_sql)?;
    let approvals = serde_json::to_string(approvals).map_err(not_sql)?;
    transaction.execute(
        "INSERT INTO publications (revision, kind, at, operator, why, changes, approvals)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![revision, name_of(new.kind), moment(new.at), new.operator, new.why, changes, approvals],
    )?;
    let mut kept = transaction.query_row(
        &format!("{COLUMNS} WHERE number = ?1"),
        [transaction.last_insert_rowid()],
        publication,
    )?;
    kept.current = true;
    Ok(kept)
}

/// Keeps a revision's files. One that is kept already is left alone.
pub(super) fn keep(
    connection: &Connection,
    revision: &str,
    sources: &BTreeMap<String, String>,
) -> rusqlite::Result<()> {
    let new = connection.execute("INSERT INTO revisions (id) VALUES (?1) ON CONFLICT DO NOTHING", [revision])?;
    if new == 0 {
        return Ok(());
    }
    let mut text = connection.prepare_cached("INSERT INTO texts VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    let mut file = connection.prepare_cached("INSERT INTO revision_files VALUES (?1, ?2, ?3)")?;
    for (path, content) in sources {
        let digest = digest(&SHA256, content.as_bytes());
        text.execute(params![digest.as_ref(), content])?;
        file.execute(params![revision, path, digest.as_ref()])?;
    }
    Ok(())
}

fn publication(row: &Row<'_>) -> rusqlite::Result<Publication> {
    let (kind, changes, approvals): (String, String, String) = (row.get(2)?, row.get(6)?, row.get(7)?);
    Ok(Publication {
        number: number(row.get(0)?),
        revision: row.get(1)?,
        kind: kind_of(&kind),
        at: timestamp(row.get(3)?),
        operator: row.get(4)?,
        why: row.get(5)?,
        changes: serde_json::from_str(&changes).map_err(not_sql)?,
        approvals: serde_json::from_str(&approvals).map_err(not_sql)?,
        current: false,
    })
}

/// Forgets the files of a revision that was never current and does not wait for approval.
pub(super) fn forget_unused(connection: &Connection, revision: &str) -> rusqlite::Result<()> {
    let unused = "DELETE FROM revision_files WHERE revision = ?1
        AND NOT EXISTS (SELECT 1 FROM publications WHERE revision = ?1)
        AND NOT EXISTS (SELECT 1 FROM proposals WHERE revision = ?1)";
    if connection.execute(unused, [revision])? > 0 {
        connection.execute("DELETE FROM revisions WHERE id = ?1", [revision])?;
        connection.execute("DELETE FROM texts WHERE digest NOT IN (SELECT digest FROM revision_files)", [])?;
    }
    Ok(())
}

/// The kind of a word in the database, which checks that it is one of them.
pub(super) fn kind_of(name: &str) -> PublicationKind {
    match name {
        "first" => PublicationKind::First,
        "rollback" => PublicationKind::Rollback,
        _ => PublicationKind::Publish,
    }
}

pub(super) const fn name_of(kind: PublicationKind) -> &'static str {
    match kind {
        PublicationKind::First => "first",
        PublicationKind::Publish => "publish",
        PublicationKind::Rollback => "rollback",
    }
}

pub(super) fn not_sql(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}
