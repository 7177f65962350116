//! One service's SQLite file: opened with its tables, used from blocking threads, rows as JSON objects.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, Params, Row, types::ValueRef};
use serde_json::{Map, Value};

use super::web::Refusal;

/// A row as a JSON object: one member per column, named like it.
pub(super) type Record = Map<String, Value>;

/// The database of one service.
#[derive(Clone, Debug)]
pub(super) struct Store {
    connection: Arc<Mutex<Connection>>,
}

impl Store {
    /// Opens the file, and fills it by `setup` (tables and first rows) if it is new.
    pub(super) fn open(path: &Path, setup: &str) -> Result<Self, rusqlite::Error> {
        let mut connection = Connection::open(path)?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version == 0 {
            let filling = connection.transaction()?;
            filling.execute_batch(setup)?;
            filling.execute_batch("PRAGMA user_version = 1;")?;
            filling.commit()?;
        }
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs `work` in one transaction, on a thread that may block. What it changed is kept only if it succeeds.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Refusal> + Send + 'static,
    {
        let connection = Arc::clone(&self.connection);
        let blocking = move || {
            // A poisoned lock only says that another request failed half-way; its transaction was rolled back.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction()?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        tokio::task::spawn_blocking(blocking).await.map_err(|failure| Refusal::Failed(failure.to_string()))?
    }
}

/// All rows of a query.
pub(super) fn all(connection: &Connection, sql: &str, values: impl Params) -> Result<Vec<Record>, Refusal> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(values, record)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The first row of a query; refused with `missing` where there is none.
pub(super) fn one(connection: &Connection, sql: &str, values: impl Params, missing: &str) -> Result<Record, Refusal> {
    let mut statement = connection.prepare_cached(sql)?;
    match statement.query_row(values, record) {
        Err(rusqlite::Error::QueryReturnedNoRows) => Err(Refusal::Missing(missing.to_owned())),
        other => Ok(other?),
    }
}

/// Whether a query finds anything.
pub(super) fn exists(connection: &Connection, sql: &str, values: impl Params) -> Result<bool, Refusal> {
    Ok(connection.prepare_cached(sql)?.exists(values)?)
}

/// Runs a statement that changes rows; how many.
pub(super) fn change(connection: &Connection, sql: &str, values: impl Params) -> Result<usize, Refusal> {
    Ok(connection.prepare_cached(sql)?.execute(values)?)
}

fn record(row: &Row<'_>) -> Result<Record, rusqlite::Error> {
    let names = row.as_ref().column_names();
    names.into_iter().enumerate().map(|(at, name)| Ok((name.to_owned(), json(row.get_ref(at)?)))).collect()
}

fn json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned().into(),
    }
}
