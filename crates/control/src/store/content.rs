//! The files of revisions as peers are given them: by digest.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};
use types::RevisionId;

use super::{Store, StoreError};

impl Store {
    /// The digest of each file of a revision.
    ///
    /// # Errors
    /// [`StoreError::Gone`] where it is not kept, or why it cannot be read.
    pub fn manifest(&self, id: RevisionId) -> Result<BTreeMap<String, [u8; 32]>, StoreError> {
        let manifest: BTreeMap<String, [u8; 32]> = self.read(|connection| {
            let sql = "SELECT path, digest FROM revision_files WHERE revision = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            statement.query_map([id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })?;
        if manifest.is_empty() { Err(StoreError::Gone(id.short())) } else { Ok(manifest) }
    }

    /// The text of a digest; `None` where it is not kept.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn text(&self, sha256: &[u8; 32]) -> Result<Option<String>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT text FROM texts WHERE digest = ?1";
            connection.prepare_cached(sql)?.query_row(params![sha256.as_slice()], |row| row.get(0)).optional()
        })
    }
}
