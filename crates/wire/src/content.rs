//! The items of lists whose digests are signed, and what they mean: revocations, bundles, registrations.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    issuance::Bundles,
    wire::{self, BundleItem, Registration, Rule},
};
use identity::{Bundle, BundleSet, sign::list_digest};
use prost::Message;
use signal::{Revocation, Subject};
use thiserror::Error;
use types::{PathRule, Selectors, SpiffeId, Timestamp, TrustDomain, UnixRule, limits};

use crate::words::shown;

/// Why a list cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ContentError {
    /// More than a peer takes.
    #[error("it has more than {0} items")]
    TooMany(u64),
    /// Bytes that are not what they should be.
    #[error("{0}")]
    Malformed(String),
}

/// The digest of a list, whatever the order of its items: see `Fact.digest` of the protocol. Repeated items count once.
pub fn digest<'a>(items: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let sorted: BTreeSet<&[u8]> = items.into_iter().collect();
    list_digest(sorted.into_iter())
}

/// A revocation as the item of a list.
pub fn revocation_item(revocation: &Revocation) -> Vec<u8> {
    let item = wire::Revocation {
        subject: revocation.subject.to_string(),
        reason: revocation.reason.clone(),
        operator: revocation.operator.clone(),
        at: revocation.at.micros(),
        until: revocation.until.map(Timestamp::micros).unwrap_or_default(),
        epoch: revocation.epoch,
    };
    item.encode_to_vec()
}

/// What a list of revocations says.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    /// Those that this program understands.
    pub known: Vec<Revocation>,
    /// How many it does not, such as those of a kind of subject that a later release knows. They cannot be enforced here,
    /// so that the list as a whole does not count as being in force.
    pub unknown: usize,
}

/// Reads revocations.
///
/// # Errors
/// [`ContentError::TooMany`] above the limit `signals`.
pub fn read_revocations<'a>(
    items: impl ExactSizeIterator<Item = &'a [u8]>,
    organisation: &TrustDomain,
) -> Result<Revocations, ContentError> {
    check_count(items.len(), limits::SIGNALS)?;
    let mut read = Revocations::default();
    for item in items {
        match read_revocation(item, organisation) {
            Some(revocation) => read.known.push(revocation),
            None => read.unknown = read.unknown.saturating_add(1),
        }
    }
    Ok(read)
}

fn read_revocation(item: &[u8], organisation: &TrustDomain) -> Option<Revocation> {
    let item = wire::Revocation::decode(item).ok()?;
    Some(Revocation {
        subject: Subject::parse(&item.subject, organisation).ok()?,
        reason: item.reason,
        operator: item.operator,
        at: Timestamp::from_micros(item.at),
        until: (item.until != 0).then(|| Timestamp::from_micros(item.until)),
        epoch: item.epoch,
    })
}

/// Bundles as items, one for each trust domain.
pub fn bundle_items(bundles: &Bundles) -> Vec<Vec<u8>> {
    let item = |(domain, roots): (&TrustDomain, &Vec<Vec<u8>>)| {
        BundleItem { trust_domain: domain.as_str().to_owned(), roots: roots.clone() }.encode_to_vec()
    };
    bundles.roots.iter().map(item).collect()
}

/// Reads bundles, each of which must be usable.
///
/// # Errors
/// The first item that is not a bundle or repeats a trust domain; [`ContentError::TooMany`] above the limit
/// `trust_domains`.
pub fn read_bundles(generation: u64, items: &[Vec<u8>]) -> Result<(Bundles, BundleSet), ContentError> {
    check_count(items.len(), limits::TRUST_DOMAINS)?;
    let mut roots = BTreeMap::new();
    let mut set = Vec::with_capacity(items.len());
    for item in items {
        let item = BundleItem::decode(item.as_slice()).map_err(|_| malformed("a bundle cannot be read"))?;
        let domain = TrustDomain::parse(&item.trust_domain)
            .map_err(|error| malformed(&format!("`{}` is no trust domain: {error}", shown(&item.trust_domain))))?;
        let bundle = Bundle::from_der(domain.clone(), item.roots.clone())
            .map_err(|error| malformed(&format!("the bundle of `{domain}` cannot be used: {error}")))?;
        set.push(bundle);
        if roots.insert(domain.clone(), item.roots).is_some() {
            return Err(malformed(&format!("there are two bundles of `{domain}`")));
        }
    }
    Ok((Bundles { generation, roots }, set.into_iter().collect()))
}

/// The workloads of a node with their rules: what an agent may ask for.
pub type Registered = Vec<(SpiffeId, Vec<UnixRule>)>;

/// A workload as a registration.
pub fn registration(id: &SpiffeId, rules: &[UnixRule]) -> Registration {
    Registration { spiffe_id: id.as_str().to_owned(), rules: rules.iter().map(rule).collect() }
}

fn rule(rule: &UnixRule) -> Rule {
    let (path, in_data) = match rule.path() {
        Some(PathRule::Absolute(path)) => (path.clone(), false),
        Some(PathRule::InData(path)) => (path.clone(), true),
        None => (String::new(), false),
    };
    let sha256 = rule.sha256().map(|digest| digest.to_vec()).unwrap_or_default();
    Rule { uid: rule.uid(), gid: rule.gid(), path, in_data, sha256 }
}

/// Reads registrations. A rule of a later release that means nothing here recognises nobody; the issuer decides anyway.
///
/// # Errors
/// An id that is none, or a rule that cannot be; [`ContentError::TooMany`] above the limit `registered_rules`.
pub fn read_registrations(registrations: &[Registration]) -> Result<Registered, ContentError> {
    check_count(registrations.iter().map(|workload| workload.rules.len().max(1)).sum(), limits::REGISTERED_RULES)?;
    registrations.iter().map(read_registration).collect()
}

fn read_registration(workload: &Registration) -> Result<(SpiffeId, Vec<UnixRule>), ContentError> {
    let id = SpiffeId::parse(&workload.spiffe_id)
        .map_err(|error| malformed(&format!("`{}` is no SPIFFE ID: {error}", shown(&workload.spiffe_id))))?;
    let rules = workload
        .rules
        .iter()
        .map(|rule| read_rule(rule).ok_or_else(|| malformed(&format!("a rule of `{id}` cannot be used"))));
    let rules = rules.collect::<Result<_, _>>()?;
    Ok((id, rules))
}

fn read_rule(rule: &Rule) -> Option<UnixRule> {
    let path = match (rule.path.as_str(), rule.in_data) {
        ("", _) => None,
        (path, false) => Some(PathRule::parse(path).ok().filter(|rule| matches!(rule, PathRule::Absolute(_)))?),
        (path, true) => Some(PathRule::parse(&format!("$DATA/{path}")).ok()?),
    };
    let sha256 = match rule.sha256.as_slice() {
        [] => None,
        digest => Some(<[u8; 32]>::try_from(digest).ok()?),
    };
    UnixRule::new(rule.uid, rule.gid, path, sha256).ok()
}

/// What an agent proved about a process, for control.
pub fn selectors_message(selectors: &Selectors) -> wire::Selectors {
    wire::Selectors {
        pid: selectors.pid,
        uid: selectors.uid,
        gid: selectors.gid,
        path: selectors.path.clone().unwrap_or_default(),
        path_in_data: selectors.path_in_data.clone().unwrap_or_default(),
        sha256: selectors.sha256.map(|digest| digest.to_vec()).unwrap_or_default(),
    }
}

/// Reads what an agent proved. `None` for a digest that is none.
pub fn read_selectors(message: wire::Selectors) -> Option<Selectors> {
    let some = |text: String| (!text.is_empty()).then_some(text);
    let sha256 = match message.sha256.as_slice() {
        [] => None,
        digest => Some(<[u8; 32]>::try_from(digest).ok()?),
    };
    Some(Selectors {
        pid: message.pid,
        uid: message.uid,
        gid: message.gid,
        path: some(message.path),
        path_in_data: some(message.path_in_data),
        sha256,
    })
}

fn check_count(count: usize, limit: limits::Limit) -> Result<(), ContentError> {
    if count > limit.default_usize() { Err(ContentError::TooMany(limit.default)) } else { Ok(()) }
}

fn malformed(what: &str) -> ContentError {
    ContentError::Malformed(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organisation() -> TrustDomain {
        TrustDomain::parse("acme.internal").unwrap()
    }

    fn revocation(subject: &str) -> Revocation {
        Revocation {
            subject: Subject::parse(subject, &organisation()).unwrap(),
            reason: "stolen".to_owned(),
            operator: "local".to_owned(),
            at: Timestamp::from_micros(5),
            until: Some(Timestamp::from_micros(9)),
            epoch: 3,
        }
    }

    #[test]
    fn revocations_go_both_ways_and_what_is_not_understood_is_counted() {
        let all = ["finance/payments", "serial:5c1e01", &format!("key:{}", "0f".repeat(32))].map(revocation);
        let mut items: Vec<Vec<u8>> = all.iter().map(revocation_item).collect();
        let later = wire::Revocation { subject: "aura:green".to_owned(), ..wire::Revocation::default() };
        items.push(later.encode_to_vec());
        items.push(vec![0xff]);
        let read = read_revocations(items.iter().map(Vec::as_slice), &organisation()).unwrap();
        assert_eq!((read.known.as_slice(), read.unknown), (all.as_slice(), 2));
    }

    #[test]
    fn the_order_of_items_makes_no_difference_and_their_borders_do() {
        let digest_of = |items: &[&[u8]]| digest(items.iter().copied());
        assert_eq!(digest_of(&[b"a", b"b"]), digest_of(&[b"b", b"a"]));
        assert_ne!(digest_of(&[b"ab"]), digest_of(&[b"a", b"b"]));
        assert_ne!(digest_of(&[]), digest_of(&[b""]));
    }

    #[test]
    fn registrations_go_both_ways() {
        let id = SpiffeId::parse("spiffe://finance.acme.internal/payments").unwrap();
        let path = |text: &str| Some(PathRule::parse(text).unwrap());
        let rules = vec![
            UnixRule::new(Some(1), None, path("/opt/x"), Some([7; 32])).unwrap(),
            UnixRule::new(None, Some(2), path("$DATA/x"), None).unwrap(),
        ];
        let read = read_registrations(&[registration(&id, &rules)]).unwrap();
        assert_eq!(read, [(id, rules)]);
    }

    #[test]
    fn a_rule_that_names_nothing_or_leaves_the_folder_is_refused() {
        let with = |rule: Rule| Registration {
            spiffe_id: "spiffe://finance.acme.internal/payments".to_owned(),
            rules: vec![rule],
        };
        for rule in [
            Rule::default(),
            Rule { path: "../x".to_owned(), in_data: true, ..Rule::default() },
            Rule { path: "$DATA/x".to_owned(), ..Rule::default() },
            Rule { sha256: vec![1], ..Rule::default() },
        ] {
            assert!(read_registrations(&[with(rule)]).is_err());
        }
    }

    #[test]
    fn bundles_that_cannot_be_used_are_named() {
        let item =
            |domain: &str, roots: Vec<Vec<u8>>| BundleItem { trust_domain: domain.to_owned(), roots }.encode_to_vec();
        let bad = read_bundles(1, &[item("finance.acme.internal", vec![vec![1, 2]])]).unwrap_err();
        assert!(bad.to_string().contains("finance.acme.internal"), "{bad}");
        let twice = [item("finance.acme.internal", vec![]), item("finance.acme.internal", vec![])];
        assert!(read_bundles(1, &twice).unwrap_err().to_string().contains("two bundles"));
    }
}
