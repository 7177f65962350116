//! Links that log a browser in once, and sessions. Of both only the hashes of their secrets are kept.

use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::{OptionalExtension, Transaction, params};
use types::Timestamp;

use super::{NotDone, Store, StoreError, moment};

/// SHA-256 of a secret. Finding it by an index tells a stranger about the hash and not about the secret, which has 256
/// random bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Of a secret as it stands in a link or a cookie.
    pub fn of(secret: &str) -> Self {
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(digest(&SHA256, secret.as_bytes()).as_ref()) {
            *to = *from;
        }
        Self(hash)
    }

    /// As it is kept.
    pub(super) const fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl Store {
    /// Keeps a new link; those that are over are forgotten. It is recorded before it is kept.
    ///
    /// # Errors
    /// See `NotDone`.
    pub fn add_link<E>(
        &self,
        hash: SecretHash,
        operator: &str,
        now: Timestamp,
        until: Timestamp,
        record: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), NotDone<E>> {
        let work = |transaction: &Transaction<'_>| {
            transaction.execute("DELETE FROM links WHERE until <= ?1", [moment(now)])?;
            let values = params![hash.0.as_slice(), operator, moment(until)];
            transaction.execute("INSERT INTO links VALUES (?1, ?2, ?3)", values).map(drop)
        };
        self.act(work, |()| record())
    }

    /// Uses a link up for a session, and gives its operator. `None` for one that is unknown, used or over; then nothing
    /// is recorded.
    ///
    /// # Errors
    /// See `NotDone`.
    pub fn log_in<E>(
        &self,
        link: SecretHash,
        session: SecretHash,
        now: Timestamp,
        until: Timestamp,
        record: impl FnOnce(&str) -> Result<(), E>,
    ) -> Result<Option<String>, NotDone<E>> {
        let work = |transaction: &Transaction<'_>| {
            transaction.execute("DELETE FROM sessions WHERE until <= ?1", [moment(now)])?;
            let sql = "DELETE FROM links WHERE hash = ?1 AND until > ?2 RETURNING operator";
            let used = transaction.query_row(sql, params![link.0.as_slice(), moment(now)], |row| row.get(0));
            let operator: Option<String> = used.optional()?;
            if let Some(operator) = &operator {
                let values = params![session.0.as_slice(), operator, moment(until)];
                transaction.execute("INSERT INTO sessions VALUES (?1, ?2, ?3)", values)?;
            }
            Ok(operator)
        };
        self.act(work, |operator| operator.as_deref().map_or(Ok(()), record))
    }

    /// The operator of a session.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn session(&self, session: SecretHash, now: Timestamp) -> Result<Option<String>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT operator FROM sessions WHERE hash = ?1 AND until > ?2";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_row(params![session.0.as_slice(), moment(now)], |row| row.get(0)).optional()
        })
    }

    /// Ends the sessions and links of all operators but these: who is gone does not come back with an old one.
    ///
    /// # Errors
    /// When the store does not take it.
    pub fn end_sessions_of_others(&self, stay: &[&str]) -> Result<(), StoreError> {
        self.end_logins("NOT IN", stay)
    }

    /// Ends the sessions and links of one operator.
    ///
    /// # Errors
    /// When the store does not take it.
    pub fn end_sessions_of(&self, operator: &str) -> Result<(), StoreError> {
        self.end_logins("IN", &[operator])
    }

    fn end_logins(&self, relation: &str, operators: &[&str]) -> Result<(), StoreError> {
        let list = serde_json::Value::from(operators).to_string();
        self.write(|transaction| {
            for table in ["sessions", "links"] {
                let sql = format!("DELETE FROM {table} WHERE operator {relation} (SELECT value FROM json_each(?1))");
                transaction.execute(&sql, [&list])?;
            }
            Ok(())
        })
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the store does not take it.
    pub fn end_session(&self, session: SecretHash) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute("DELETE FROM sessions WHERE hash = ?1", [session.0.as_slice()]).map(drop)
        })
    }
}
