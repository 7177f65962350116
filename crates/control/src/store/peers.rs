//! Who may join, who joined, and what was last heard of them.

use api::admin::Role;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, types::Type};
use types::{Label, RevisionId, Timestamp};

use super::logins::SecretHash;
use super::{NotDone, Store, StoreError, moment, number, timestamp, whole};

/// What a peer may be given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// What it does.
    pub role: Role,
    /// Its name.
    pub name: Label,
    /// The node group of an agent; absent for a proxy.
    pub group: Option<Label>,
    /// The domains that a proxy may serve; absent for all of them, and for an agent.
    pub domains: Option<Vec<Label>>,
}

/// A join token that is about to be handed out.
pub struct NewToken<'a> {
    /// Of the token.
    pub hash: SecretHash,
    /// Who joins by it.
    pub place: &'a Place,
    /// By whom it is made.
    pub made_by: &'a str,
    /// Now.
    pub now: Timestamp,
    /// Until when it is good.
    pub until: Timestamp,
}

/// Who joined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Joined {
    /// Its place.
    pub place: Place,
    /// SHA-256 of its public key.
    pub key: [u8; 32],
    /// When.
    pub joined: Timestamp,
    /// What was last heard of it.
    pub last: Last,
}

/// What was last heard of a peer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Last {
    /// The version of its program; `""` before it was heard.
    pub version: String,
    /// When it was heard.
    pub heard: Option<Timestamp>,
    /// The publication that it runs.
    pub publication: Option<u64>,
    /// Its revision.
    pub revision: Option<RevisionId>,
    /// Since when it runs that.
    pub revision_since: Option<Timestamp>,
    /// The epoch of its signals.
    pub epoch: Option<u64>,
}

/// What came of an attempt to join.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Join {
    /// It joined by this attempt; `by` made the token.
    Joined {
        /// The peer.
        joined: Joined,
        /// Who made the token.
        by: String,
    },
    /// It had joined before, with the same token and key.
    Again(Joined),
    /// There is no such token.
    Unknown,
    /// The token is over.
    Over(Place, Timestamp),
    /// Another key used it up.
    Used(Place),
    /// Somebody else has its name by now.
    Taken(Place),
    /// It was made for another name.
    OtherName(Place),
}

const PEERS: &str = "SELECT role, name, node_group, domains, key, joined, version, heard, publication, revision,
    revision_since, epoch FROM peers";

impl Store {
    /// Keeps a new token; those that are over are forgotten. It is recorded before it is kept. `false` where the name is
    /// taken by one who joined.
    ///
    /// # Errors
    /// See `NotDone`.
    pub fn add_token<E>(&self, new: &NewToken<'_>, record: impl FnOnce() -> Result<(), E>) -> Result<bool, NotDone<E>> {
        let work = |transaction: &Transaction<'_>| {
            transaction.execute("DELETE FROM join_tokens WHERE until <= ?1", [moment(new.now)])?;
            if find(transaction, new.place.role, &new.place.name)?.is_some() {
                return Ok(false);
            }
            let (group, domains) = texts(new.place)?;
            let Place { role, name, .. } = new.place;
            transaction.execute(
                "INSERT INTO join_tokens VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL)",
                params![new.hash.bytes(), role.as_str(), name.as_str(), group, domains, new.made_by, moment(new.until)],
            )?;
            Ok(true)
        };
        self.act(work, |added| if *added { record() } else { Ok(()) })
    }

    /// Uses a token up for a key, in one transaction: of two attempts with different keys at most one joins. It is recorded
    /// before it is kept; what changes nothing is not.
    ///
    /// # Errors
    /// See `NotDone`.
    pub fn join<E>(
        &self,
        token: SecretHash,
        key: &[u8; 32],
        name: &str,
        now: Timestamp,
        record: impl FnOnce(&Joined, &str) -> Result<(), E>,
    ) -> Result<Join, NotDone<E>> {
        let work = |transaction: &Transaction<'_>| attempt(transaction, token, key, name, now);
        self.act(work, |join| match join {
            Join::Joined { joined, by } => record(joined, by),
            _ => Ok(()),
        })
    }

    /// Everybody who joined, proxies first, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn peers(&self) -> Result<Vec<Joined>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!("{PEERS} ORDER BY role DESC, name"))?;
            statement.query_map([], joined)?.collect()
        })
    }

    /// Forgets a peer and the tokens for its name. It is recorded before it is kept. `false` where there is none.
    ///
    /// # Errors
    /// See `NotDone`.
    pub fn retire<E>(
        &self,
        role: Role,
        name: &Label,
        record: impl FnOnce() -> Result<(), E>,
    ) -> Result<bool, NotDone<E>> {
        let work = |transaction: &Transaction<'_>| {
            let who = params![role.as_str(), name.as_str()];
            transaction.execute("DELETE FROM join_tokens WHERE role = ?1 AND name = ?2", who)?;
            transaction.execute("DELETE FROM peers WHERE role = ?1 AND name = ?2", who).map(|gone| gone > 0)
        };
        self.act(work, |gone| if *gone { record() } else { Ok(()) })
    }

    /// Keeps what was last heard of peers. Those that were retired meanwhile stay so.
    ///
    /// # Errors
    /// When the store does not take it.
    pub fn keep_last(&self, heard: &[(Role, Label, Last)]) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(
                "UPDATE peers SET version = ?3, heard = ?4, publication = ?5, revision = ?6, revision_since = ?7, epoch = ?8
                WHERE role = ?1 AND name = ?2",
            )?;
            for (role, name, last) in heard {
                statement.execute(params![
                    role.as_str(),
                    name.as_str(),
                    last.version,
                    last.heard.map(moment),
                    last.publication.map(whole),
                    last.revision.map(|revision| revision.to_string()).unwrap_or_default(),
                    last.revision_since.map(moment),
                    last.epoch.map(whole),
                ])?;
            }
            Ok(())
        })
    }
}

/// One attempt to join, inside the transaction.
fn attempt(
    transaction: &Transaction<'_>,
    token: SecretHash,
    key: &[u8; 32],
    name: &str,
    now: Timestamp,
) -> rusqlite::Result<Join> {
    let sql = "SELECT role, name, node_group, domains, until, key, made_by FROM join_tokens WHERE hash = ?1";
    let row = |row: &Row<'_>| {
        Ok((place(row)?, timestamp(row.get(4)?), row.get::<_, Option<[u8; 32]>>(5)?, row.get::<_, String>(6)?))
    };
    let Some((place, until, used, by)) = transaction.query_row(sql, [token.bytes()], row).optional()? else {
        return Ok(Join::Unknown);
    };
    if until <= now {
        return Ok(Join::Over(place, until));
    }
    if used.is_some_and(|used| used != *key) {
        return Ok(Join::Used(place));
    }
    if !name.is_empty() && name != place.name.as_str() {
        return Ok(Join::OtherName(place));
    }
    match find(transaction, place.role, &place.name)? {
        Some(known) if used.is_some() && known.key == *key => return Ok(Join::Again(known)),
        Some(_) => return Ok(Join::Taken(place)),
        None => {}
    }
    transaction.execute("UPDATE join_tokens SET key = ?2 WHERE hash = ?1", params![token.bytes(), key.as_slice()])?;
    let (group, domains) = texts(&place)?;
    transaction.execute(
        "INSERT INTO peers VALUES (?1, ?2, ?3, ?4, ?5, ?6, '', NULL, NULL, '', NULL, NULL)",
        params![place.role.as_str(), place.name.as_str(), key.as_slice(), group, domains, moment(now)],
    )?;
    Ok(Join::Joined { joined: Joined { place, key: *key, joined: now, last: Last::default() }, by })
}

fn find(connection: &Connection, role: Role, name: &Label) -> rusqlite::Result<Option<Joined>> {
    let sql = format!("{PEERS} WHERE role = ?1 AND name = ?2");
    connection.query_row(&sql, params![role.as_str(), name.as_str()], joined).optional()
}

/// The group and the domains as they are kept.
fn texts(place: &Place) -> rusqlite::Result<(Option<&str>, Option<String>)> {
    let names = place.domains.as_ref().map(|domains| domains.iter().map(Label::as_str).collect::<Vec<_>>());
    let json = names.map(|names| serde_json::to_string(&names)).transpose();
    let json = json.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    Ok((place.group.as_ref().map(Label::as_str), json))
}

/// From the first four columns of a row.
fn place(row: &Row<'_>) -> rusqlite::Result<Place> {
    let domains: Option<String> = row.get(3)?;
    let domains: Option<Vec<String>> =
        domains.map(|text| serde_json::from_str(&text)).transpose().map_err(|error| not_ours(3, error))?;
    let domains = domains.map(|names| names.iter().map(|name| label(3, name)).collect()).transpose()?;
    let group: Option<String> = row.get(2)?;
    Ok(Place {
        role: if row.get::<_, String>(0)? == Role::Proxy.as_str() { Role::Proxy } else { Role::Agent },
        name: label(1, &row.get::<_, String>(1)?)?,
        group: group.map(|name| label(2, &name)).transpose()?,
        domains,
    })
}

fn joined(row: &Row<'_>) -> rusqlite::Result<Joined> {
    let at = |at: Option<i64>| at.map(timestamp);
    let revision: String = row.get(9)?;
    Ok(Joined {
        place: place(row)?,
        key: row.get(4)?,
        joined: timestamp(row.get(5)?),
        last: Last {
            version: row.get(6)?,
            heard: at(row.get(7)?),
            publication: row.get::<_, Option<i64>>(8)?.map(number),
            revision: revision.parse().ok(),
            revision_since: at(row.get(10)?),
            epoch: row.get::<_, Option<i64>>(11)?.map(number),
        },
    })
}

fn label(column: usize, text: &str) -> rusqlite::Result<Label> {
    Label::parse(text).map_err(|error| not_ours(column, error))
}

fn not_ours(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
