//! The tables, version by version, and how an older store becomes a newer one.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// `CSGN`: how a store is told from another program's database.
pub(super) const APPLICATION: i32 = 0x4353_474e;

/// What makes a store of version N from one of version N − 1; the first makes it from nothing. A migration that was
/// released is never changed.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("v1.sql"), include_str!("v2.sql"), include_str!("v3.sql")];

/// Brings a store to the latest version, each step in one transaction. Before anything is changed the whole store is
/// copied beside itself.
///
/// # Errors
/// [`StoreError::Newer`] for a version that is not known here, [`StoreError::Backup`], or what the database says.
pub(super) fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), StoreError> {
    let failed = |error| StoreError::of(path, error);
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    if (1..known).contains(&found) {
        back_up(connection, path, found)?;
    }
    let mut version = found;
    for migration in migrations.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        version = version.saturating_add(1);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        transaction.execute_batch(migration).map_err(failed)?;
        transaction.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
        transaction.pragma_update(None, "user_version", version).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

/// `control.db.before-2` for a store of version 1: what it was before it became version 2.
fn copy_of(path: &Path, found: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".before-{}", found.saturating_add(1)));
    PathBuf::from(name)
}

/// A whole copy, on the disk before this returns. A copy that an earlier attempt left is of the same version, since no
/// change was made after it or the change was not committed; it is replaced.
fn back_up(connection: &Connection, path: &Path, found: u32) -> Result<(), StoreError> {
    let copy = copy_of(path, found);
    let failed = |detail: String| StoreError::Backup { path: path.to_owned(), found, copy: copy.clone(), detail };
    let make = || -> std::io::Result<()> {
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&copy).map(drop)
    };
    make().map_err(|error| failed(error.to_string()))?;
    let text = copy.to_str().ok_or_else(|| failed("its path is not UTF-8".to_owned()))?;
    connection.execute("VACUUM INTO ?1", [text]).map_err(|error| failed(error.to_string()))?;
    let sync = || -> std::io::Result<()> {
        File::open(&copy)?.sync_all()?;
        path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    sync().map_err(|error| failed(error.to_string()))
}
