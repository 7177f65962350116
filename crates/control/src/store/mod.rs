//! The store: what control must still know after it ended. One SQLite file, `DATA/control.db`.
//!
//! There is one writer, and every write is one transaction that is on the disk before it is answered (WAL,
//! `synchronous=FULL`). Reading has a connection of its own and never waits for a write.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use rustix::fs::OFlags;
use types::{Timestamp, limits};

mod content;
mod counts;
mod error;
mod federated;
mod floors;
mod logins;
mod peers;
mod proposals;
mod publications;
mod schema;
mod signals;

pub use counts::{CountKey, Fold, LanePosition};
pub use error::StoreError;
pub use federated::KeptBundle;
pub use floors::{Adopted, Floor, Numbered};
pub use logins::SecretHash;
pub use peers::{Join, Joined, Last, NewToken, Place};
pub use proposals::{NewProposal, Waiting};
pub use publications::NewPublication;
pub use signals::{Change, Held, Taken};

/// The store of one data directory.
pub struct Store {
    path: PathBuf,
    /// INVARIANT: dropped before the writer, which as the last one moves everything into the one file.
    reader: Mutex<Connection>,
    writer: Mutex<Connection>,
}

/// Why an act did not happen.
#[derive(Debug)]
pub enum NotDone<E> {
    /// The store did not take it. Nothing is on record.
    Store(StoreError),
    /// It could not be recorded. The store is as it was.
    Record(E),
    /// It is on record, and then the store did not keep it. The store is as it was.
    NotKept(StoreError),
}

impl Store {
    /// Opens `control.db` in a data directory, and makes it where there is none. An older version is brought up to
    /// date, with a copy of what was kept beside it.
    ///
    /// # Errors
    /// [`StoreError`], with a hint, where the file is not ours, open to others, damaged, locked, read-only, another
    /// program's or a later version's. Nothing is changed then.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        Self::open_with(data, schema::MIGRATIONS)
    }

    fn open_with(data: &Path, migrations: &[&str]) -> Result<Self, StoreError> {
        let path = data.join("control.db");
        let is_new = prepare(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let failed = |error| StoreError::of(&path, error);
        let mut writer =
            Connection::open_with_flags(&path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
        set_up(&writer).map_err(failed)?;
        if !is_new {
            check(&writer, &path)?;
        }
        // WAL first: each transaction from here on is kept or not, whatever happens
        writer.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        schema::migrate(&mut writer, &path, migrations)?;
        // a reader or writer that holds the file is told now, and not at the first revocation
        writer
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .and_then(Transaction::commit)
            .map_err(failed)?;
        let reader = Connection::open_with_flags(&path, flags | OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
        set_up(&reader).map_err(failed)?;
        Ok(Self { path, reader: Mutex::new(reader), writer: Mutex::new(writer) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file and of what was written and not yet moved into it.
    pub fn bytes(&self) -> u64 {
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
        let mut wal = self.path.as_os_str().to_owned();
        wal.push("-wal");
        length(&self.path).saturating_add(length(Path::new(&wal)))
    }

    /// Whether something could be written now.
    ///
    /// # Errors
    /// Why not.
    pub fn try_write(&self) -> Result<(), StoreError> {
        // a file that was moved away still takes writes, and nobody finds them again
        let there = std::fs::metadata(&self.path).map_err(|error| StoreError::io(&self.path, error))?;
        if there.nlink() == 0 {
            return Err(StoreError::io(&self.path, io::ErrorKind::NotFound.into()));
        }
        self.write(|_| Ok(()))
    }

    /// One transaction that is kept whole or not at all.
    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let mut writer = held(&self.writer);
        let run = || {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        run().map_err(|error| StoreError::of(&self.path, error))
    }

    /// One transaction with a record of it in between: written, recorded, kept. Where the record fails nothing is kept.
    /// Where the process ends after the record, the store is as it was.
    fn act<T, E>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
        record: impl FnOnce(&T) -> Result<(), E>,
    ) -> Result<T, NotDone<E>> {
        let mut writer = held(&self.writer);
        let failed = |error| StoreError::of(&self.path, error);
        let begun = writer.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(|error| NotDone::Store(failed(error)))?;
        let result = work(&transaction).map_err(|error| NotDone::Store(failed(error)))?;
        record(&result).map_err(NotDone::Record)?;
        transaction.commit().map_err(|error| NotDone::NotKept(failed(error)))?;
        Ok(result)
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        work(&held(&self.reader)).map_err(|error| StoreError::of(&self.path, error))
    }
}

/// A panic between two statements rolled its transaction back.
fn held(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the file, private, where there is none; looks at whose it is where there is one. True for a new one.
fn prepare(path: &Path) -> Result<bool, StoreError> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    let open = || OpenOptions::new().read(true).write(true).create(true).mode(0o600).custom_flags(flags).open(path);
    let file = open().map_err(|error| match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => StoreError::NotAFile(path.to_owned()),
        _ => StoreError::io(path, error),
    })?;
    let found = file.metadata().map_err(|error| StoreError::io(path, error))?;
    if !found.is_file() {
        return Err(StoreError::NotAFile(path.to_owned()));
    }
    let user = rustix::process::geteuid().as_raw();
    if found.uid() != user {
        return Err(StoreError::NotOurs { path: path.to_owned(), owner: found.uid(), user });
    }
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StoreError::TooOpen { path: path.to_owned(), mode });
    }
    if found.len() > 0 {
        return Ok(false);
    }
    let parent = path.parent().unwrap_or(path);
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(|error| StoreError::io(path, error))?;
    Ok(true)
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_millis(limits::STORE_WAIT_TIME.default))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)
}

/// Whose database it is, and whether it is as it was written.
fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::of(path, error);
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    let tables: u32 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    // a start that ended before the first version was made leaves a database with nothing in it
    if tables == 0 && application == 0 {
        return Ok(());
    }
    if application != schema::APPLICATION {
        return Err(StoreError::Foreign(path.to_owned()));
    }
    let verdict: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0)).map_err(failed)?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::Damaged { path: path.to_owned(), detail: verdict }) }
}

/// As the database keeps moments and numbers: no column of ours holds a negative one.
fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn moment(at: Timestamp) -> i64 {
    whole(at.micros())
}

fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

fn timestamp(value: i64) -> Timestamp {
    Timestamp::from_micros(number(value))
}

#[cfg(test)]
mod tests;
