//! Numbers that were told to peers and may never go back, also where the store was restored from an older copy of itself
//! (docs/decisions, "Control restored from a backup").

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use types::Timestamp;

use super::{NotDone, Store, StoreError, moment, number, timestamp, whole};

/// What a floor is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Floor {
    /// A publication that the fleet ran and this store did not know.
    Publication,
    /// The bundles that were told last.
    Bundles,
    /// The registrations that were told last.
    Registrations,
}

impl Floor {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Publication => "publication",
            Self::Bundles => "bundles",
            Self::Registrations => "registrations",
        }
    }
}

/// A number with the digest of what it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Numbered {
    /// The number.
    pub number: u64,
    /// The digest.
    pub digest: [u8; 32],
}

/// Something that was taken over from a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Adopted {
    /// When.
    pub at: Timestamp,
    /// From whom, such as `proxy/edge-1`.
    pub peer: String,
    /// What, in words.
    pub what: String,
}

impl Store {
    /// A floor, where there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn floor(&self, of: Floor) -> Result<Option<Numbered>, StoreError> {
        self.read(|connection| floor(connection, of))
    }

    /// The number for a state: the one it had where it was the last one that was told, otherwise one above every earlier
    /// one and not below `wanted`. On the disk before it is given.
    ///
    /// # Errors
    /// When the store does not take it.
    pub fn number_of(&self, of: Floor, digest: [u8; 32], wanted: u64) -> Result<u64, StoreError> {
        match self.floor(of)? {
            Some(kept) if kept.digest == digest => Ok(kept.number),
            kept => {
                let above = kept.map_or(1, |kept| kept.number.saturating_add(1));
                let number = above.max(wanted);
                self.write(|transaction| raise(transaction, of, Numbered { number, digest }))?;
                Ok(number)
            }
        }
    }

    /// Numbers continue above one that a peer holds. `false` where they do already.
    ///
    /// # Errors
    /// See `NotDone`.
    pub fn raise_floor<E>(
        &self,
        of: Floor,
        to: Numbered,
        adopted: &Adopted,
        record: impl FnOnce() -> Result<(), E>,
    ) -> Result<bool, NotDone<E>> {
        let work = |transaction: &Transaction<'_>| {
            let known = match of {
                Floor::Publication => last_publication(transaction)?,
                Floor::Bundles | Floor::Registrations => 0,
            };
            let kept = floor(transaction, of)?.map_or(0, |kept| kept.number);
            if kept.max(known) >= to.number {
                return Ok(false);
            }
            raise(transaction, of, to)?;
            if of == Floor::Publication {
                let sql = "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'publications'";
                transaction.execute(sql, [whole(to.number)])?;
            }
            keep(transaction, adopted)?;
            Ok(true)
        };
        self.act(work, |raised| if *raised { record() } else { Ok(()) })
    }

    /// The publication that the fleet ran and that is later than any this store knows.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn fleet_ahead(&self) -> Result<Option<Numbered>, StoreError> {
        self.read(|connection| {
            let last = last_publication(connection)?;
            Ok(floor(connection, Floor::Publication)?.filter(|kept| kept.number > last))
        })
    }

    /// What was taken over from peers, the latest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn adopted(&self, since: Timestamp) -> Result<Vec<Adopted>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT at, peer, what FROM adopted WHERE at >= ?1 ORDER BY at DESC LIMIT 100";
            let mut statement = connection.prepare_cached(sql)?;
            let row = |row: &rusqlite::Row<'_>| {
                Ok(Adopted { at: timestamp(row.get(0)?), peer: row.get(1)?, what: row.get(2)? })
            };
            statement.query_map([moment(since)], row)?.collect()
        })
    }
}

/// The last publication of this store itself.
fn last_publication(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT coalesce(max(number), 0) FROM publications", [], |row| row.get(0)).map(number)
}

fn floor(connection: &Connection, of: Floor) -> rusqlite::Result<Option<Numbered>> {
    let sql = "SELECT number, digest FROM floors WHERE kind = ?1";
    let row = |row: &rusqlite::Row<'_>| Ok(Numbered { number: number(row.get(0)?), digest: row.get(1)? });
    connection.query_row(sql, [of.as_str()], row).optional()
}

fn raise(transaction: &Transaction<'_>, of: Floor, to: Numbered) -> rusqlite::Result<()> {
    let sql = "INSERT INTO floors VALUES (?1, ?2, ?3)
        ON CONFLICT (kind) DO UPDATE SET number = excluded.number, digest = excluded.digest";
    transaction.execute(sql, params![of.as_str(), whole(to.number), to.digest.as_slice()]).map(drop)
}

pub(super) fn keep(transaction: &Transaction<'_>, adopted: &Adopted) -> rusqlite::Result<()> {
    let values = params![moment(adopted.at), adopted.peer, adopted.what];
    transaction.execute("INSERT INTO adopted VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING", values).map(drop)
}
