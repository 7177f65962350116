//! Bundles as items of a list: the roots and JWT keys of each trust domain, and who vouches for its roots.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    issuance::{Bundles, JwtKey},
    wire::{self, BundleItem},
};
use identity::{Bundle, BundleSet};
use prost::Message;
use types::{TrustDomain, limits};

use super::{ContentError, Succession, check_count, malformed};
use crate::words::shown;

/// What is told of one trust domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToldBundle {
    /// Whose.
    pub domain: TrustDomain,
    /// DER of each root.
    pub roots: Vec<Vec<u8>>,
    /// The keys that sign its JWT-SVIDs.
    pub jwt_keys: Vec<JwtKey>,
    /// It is somebody else's trust domain.
    pub federated: bool,
    /// Who vouches for roots that were not always there.
    pub successions: Vec<wire::Succession>,
}

/// Bundles as items, one for each trust domain. A succession for a trust domain that has none is left out.
pub fn bundle_items(bundles: &Bundles, successions: &BTreeMap<TrustDomain, Vec<Succession>>) -> Vec<Vec<u8>> {
    let none = Vec::new();
    let item = |(domain, roots): (&TrustDomain, &Vec<Vec<u8>>)| {
        let vouching = successions.get(domain).unwrap_or(&none);
        let told = ToldBundle {
            domain: domain.clone(),
            roots: roots.clone(),
            jwt_keys: bundles.jwt_keys.get(domain).cloned().unwrap_or_default(),
            federated: bundles.federated.contains(domain),
            successions: vouching.iter().map(|succession| succession.message(roots)).collect(),
        };
        told.item()
    };
    bundles.roots.iter().map(item).collect()
}

impl ToldBundle {
    /// As the item of a list.
    pub fn item(&self) -> Vec<u8> {
        let key = |key: &JwtKey| wire::JwtKey { kid: key.kid.clone(), spki: key.spki_der.clone() };
        let item = BundleItem {
            trust_domain: self.domain.as_str().to_owned(),
            roots: self.roots.clone(),
            jwt_keys: self.jwt_keys.iter().map(key).collect(),
            federated: self.federated,
            successions: self.successions.clone(),
        };
        item.encode_to_vec()
    }

    fn read(item: &[u8]) -> Result<Self, ContentError> {
        let item = BundleItem::decode(item).map_err(|_| malformed("a bundle cannot be read"))?;
        let domain = TrustDomain::parse(&item.trust_domain)
            .map_err(|error| malformed(&format!("`{}` is no trust domain: {error}", shown(&item.trust_domain))))?;
        for (count, limit) in
            [(item.jwt_keys.len(), limits::BUNDLE_JWT_KEYS), (item.successions.len(), limits::BUNDLE_SUCCESSIONS)]
        {
            check_count(count, limit).map_err(|error| malformed(&format!("the bundle of `{domain}`: {error}")))?;
        }
        let key = |key: wire::JwtKey| JwtKey { kid: key.kid, spki_der: key.spki };
        Ok(Self {
            domain,
            roots: item.roots,
            jwt_keys: item.jwt_keys.into_iter().map(key).collect(),
            federated: item.federated,
            successions: item.successions,
        })
    }
}

/// Reads the items of bundles. Whether they can be used [`usable_bundles`] says.
///
/// # Errors
/// The first item that is not a bundle or repeats a trust domain; [`ContentError::TooMany`] above the limit
/// `trust_domains`.
pub fn read_bundles(items: &[Vec<u8>]) -> Result<Vec<ToldBundle>, ContentError> {
    check_count(items.len(), limits::TRUST_DOMAINS)?;
    let mut seen = BTreeSet::new();
    let read = items.iter().map(|item| {
        let told = ToldBundle::read(item)?;
        if seen.insert(told.domain.clone()) {
            Ok(told)
        } else {
            Err(malformed(&format!("there are two bundles of `{}`", told.domain)))
        }
    });
    read.collect()
}

/// Bundles as they are put in force, each of which must be usable.
///
/// # Errors
/// The first bundle that cannot be used.
pub fn usable_bundles<'a>(
    generation: u64,
    told: impl IntoIterator<Item = &'a ToldBundle>,
) -> Result<(Bundles, BundleSet), ContentError> {
    let mut bundles = Bundles { generation, ..Bundles::default() };
    let mut set = Vec::new();
    for told in told {
        let ToldBundle { domain, roots, jwt_keys, federated, .. } = told;
        let keys = jwt_keys.iter().map(|key| (key.kid.clone(), key.spki_der.clone())).collect();
        let bundle = Bundle::new(domain.clone(), roots.clone(), keys)
            .map_err(|error| malformed(&format!("the bundle of `{domain}` cannot be used: {error}")))?;
        set.push(if *federated { bundle.federated() } else { bundle });
        bundles.roots.insert(domain.clone(), roots.clone());
        if !jwt_keys.is_empty() {
            bundles.jwt_keys.insert(domain.clone(), jwt_keys.clone());
        }
        if *federated {
            bundles.federated.insert(domain.clone());
        }
    }
    Ok((bundles, set.into_iter().collect()))
}
