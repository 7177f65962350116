//! The last bundle of each federated trust domain, so that a start without its endpoint goes on with what is known.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::params;
use types::{Timestamp, TrustDomain};

use super::{Store, StoreError, moment, timestamp};

/// A bundle that was fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptBundle {
    /// SHA-256 of what the trust directory said about where it comes from.
    pub source: [u8; 32],
    /// The document.
    pub document: String,
    /// The highest sequence number that was seen.
    pub sequence: Option<u64>,
    /// When it was fetched.
    pub fetched: Option<Timestamp>,
}

impl Store {
    /// What was kept, by trust domain. What is no trust domain is passed over.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn kept_bundles(&self) -> Result<BTreeMap<TrustDomain, KeptBundle>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT trust_domain, source, document, sequence, fetched FROM federated";
            let mut statement = connection.prepare_cached(sql)?;
            let row = |row: &rusqlite::Row<'_>| {
                let sequence: Option<String> = row.get(3)?;
                let kept = KeptBundle {
                    source: row.get(1)?,
                    document: row.get(2)?,
                    sequence: sequence.and_then(|digits| digits.parse().ok()),
                    fetched: Some(timestamp(row.get(4)?)),
                };
                Ok((row.get::<_, String>(0)?, kept))
            };
            let rows = statement.query_map([], row)?.collect::<rusqlite::Result<Vec<_>>>()?;
            let named = rows.into_iter().filter_map(|(name, kept)| Some((TrustDomain::parse(&name).ok()?, kept)));
            Ok(named.collect())
        })
    }

    /// Keeps what was fetched, in place of what was kept of the same trust domain.
    ///
    /// # Errors
    /// When the store does not take it.
    pub fn keep_bundle(&self, domain: &TrustDomain, kept: &KeptBundle) -> Result<(), StoreError> {
        self.write(|transaction| {
            let sql = "INSERT INTO federated VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (trust_domain) DO UPDATE SET
                source = excluded.source, document = excluded.document, sequence = excluded.sequence,
                fetched = excluded.fetched";
            let values = params![
                domain.as_str(),
                kept.source.as_slice(),
                kept.document,
                kept.sequence.map(|sequence| sequence.to_string()),
                moment(kept.fetched.unwrap_or_default()),
            ];
            transaction.execute(sql, values).map(drop)
        })
    }

    /// Forgets every trust domain but these.
    ///
    /// # Errors
    /// When the store does not take it.
    pub fn forget_bundles_but(&self, these: &BTreeSet<&TrustDomain>) -> Result<(), StoreError> {
        let gone: Vec<TrustDomain> = self.kept_bundles()?.into_keys().filter(|kept| !these.contains(kept)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached("DELETE FROM federated WHERE trust_domain = ?1")?;
            gone.iter().try_for_each(|name| statement.execute([name.as_str()]).map(drop))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TrustDomain {
        TrustDomain::parse(text).unwrap()
    }

    #[test]
    fn what_was_fetched_is_there_after_a_restart_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let first = KeptBundle {
            source: [1; 32],
            document: "{}".to_owned(),
            sequence: Some(u64::MAX),
            fetched: Some(Timestamp::from_seconds(7)),
        };
        let second = KeptBundle { source: [2; 32], sequence: None, ..first.clone() };
        {
            let store = Store::open(dir.path()).unwrap();
            store.keep_bundle(&name("a.example"), &first).unwrap();
            store.keep_bundle(&name("b.example"), &first).unwrap();
            store.keep_bundle(&name("b.example"), &second).unwrap();
        }
        let store = Store::open(dir.path()).unwrap();
        let kept = store.kept_bundles().unwrap();
        assert_eq!((&kept[&name("a.example")], &kept[&name("b.example")]), (&first, &second));
        let stays = name("b.example");
        store.forget_bundles_but(&BTreeSet::from([&stays])).unwrap();
        assert_eq!(store.kept_bundles().unwrap().into_keys().collect::<Vec<_>>(), [stays]);
    }
}
