//! The workloads of a node with their rules, as an agent is told them.
//!
//! A reader writes again what it understood. Where that is not what came, byte for byte, a later release has put something
//! in that this one does not know: such a rule recognises nobody here. A part that is not known never makes a rule looser.

use std::collections::BTreeSet;

use api::{
    issuance::Entitled,
    wire::{self, Registration, Rule},
};
use prost::Message;
use types::attest::{
    AttestParts, AttestRule, CgroupRule, K8sRule, PathRule, Runtime, ServiceAccount, SystemdRule, UnixParts, UnixRule,
};
use types::{KeyKind, SpiffeId, limits};

use super::{ContentError, check_count, malformed};
use crate::words::shown;

/// The workloads of a node with their rules: what an agent may ask for.
pub type Registered = Vec<(Entitled, Vec<AttestRule>)>;

/// What a list of registrations says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registrations {
    /// Those that this program understands, each with the rules that it understands: a workload none of whose rules is
    /// understood recognises nobody.
    pub known: Registered,
    /// Workloads of which something is not understood, sorted: a rule, or the kind of key.
    pub unknown: BTreeSet<SpiffeId>,
}

/// A workload as a registration, encoded.
pub fn registration(workload: &Entitled, rules: &[AttestRule]) -> Vec<u8> {
    let rules = rules.iter().map(|rule| rule_message(rule).encode_to_vec()).collect();
    encode(workload, rules)
}

fn encode(workload: &Entitled, rules: Vec<Vec<u8>>) -> Vec<u8> {
    let key = match workload.key {
        KeyKind::P256 => String::new(),
        other => other.as_str().to_owned(),
    };
    Registration { spiffe_id: workload.id.as_str().to_owned(), rules, key }.encode_to_vec()
}

/// Reads registrations.
///
/// # Errors
/// Bytes that are no registration, or an id that is none; [`ContentError::TooMany`] above the limit `registered_rules`.
pub fn read_registrations(items: &[Vec<u8>]) -> Result<Registrations, ContentError> {
    check_count(items.len(), limits::REGISTERED_RULES)?;
    let (mut read, mut rules) = (Registrations::default(), 0_usize);
    for item in items {
        let message = Registration::decode(item.as_slice()).map_err(|_| malformed("a registration cannot be read"))?;
        rules = rules.saturating_add(message.rules.len().max(1));
        check_count(rules, limits::REGISTERED_RULES)?;
        read.take(item, message)?;
    }
    Ok(read)
}

/// Reads which serial numbers and keys trust was taken from. What no certificate has matches none.
///
/// # Errors
/// [`ContentError::TooMany`] above the limit `signals`.
pub fn read_revoked(subjects: &[String]) -> Result<BTreeSet<String>, ContentError> {
    check_count(subjects.len(), limits::SIGNALS)?;
    Ok(subjects.iter().cloned().collect())
}

impl Registrations {
    fn take(&mut self, item: &[u8], message: Registration) -> Result<(), ContentError> {
        let id = SpiffeId::parse(&message.spiffe_id)
            .map_err(|error| malformed(&format!("`{}` is no SPIFFE ID: {error}", shown(&message.spiffe_id))))?;
        let key = if message.key.is_empty() { Some(KeyKind::P256) } else { KeyKind::parse(&message.key) };
        let known: Vec<AttestRule> = message.rules.iter().filter_map(|rule| read_rule(rule)).collect();
        let is_whole = known.len() == message.rules.len();
        let workload = key.map(|key| Entitled { id: id.clone(), key });
        match workload.filter(|workload| encode(workload, message.rules) == item) {
            Some(workload) => self.known.push((workload, known)),
            None => drop(self.unknown.insert(id.clone())),
        }
        if !is_whole {
            self.unknown.insert(id);
        }
        Ok(())
    }
}

/// `None` for one that cannot be, and for one with something in it that is not known here.
fn read_rule(bytes: &[u8]) -> Option<AttestRule> {
    let rule = rule_of(Rule::decode(bytes).ok()?)?;
    (rule_message(&rule).encode_to_vec() == bytes).then_some(rule)
}

fn rule_message(rule: &AttestRule) -> Rule {
    let AttestParts { unix, systemd, cgroup, k8s } = rule.parts();
    Rule {
        unix: unix.as_ref().map(unix_message),
        systemd: systemd.as_ref().map(|rule| wire::SystemdRule { unit: rule.unit().to_owned() }),
        cgroup: cgroup.as_ref().map(|rule| wire::CgroupRule {
            runtime: rule.runtime().map(|runtime| runtime.as_str().to_owned()).unwrap_or_default(),
            container: rule.container().unwrap_or_default().to_owned(),
            pod: rule.pod().unwrap_or_default().to_owned(),
        }),
        k8s: k8s.as_ref().map(|rule| account_message(rule.account())),
    }
}

fn unix_message(rule: &UnixRule) -> wire::UnixRule {
    let UnixParts { uid, gid, groups, path, sha256 } = rule.parts();
    let (path, in_data) = match path {
        Some(PathRule::Absolute(path)) => (path.clone(), false),
        Some(PathRule::InData(path)) => (path.clone(), true),
        None => (String::new(), false),
    };
    wire::UnixRule {
        uid: *uid,
        gid: *gid,
        path,
        in_data,
        sha256: sha256.map(|digest| digest.to_vec()).unwrap_or_default(),
        groups: groups.iter().copied().collect(),
    }
}

/// A service account as it travels.
pub(super) fn account_message(account: &ServiceAccount) -> wire::K8sRule {
    wire::K8sRule {
        cluster: account.cluster.clone(),
        namespace: account.namespace.clone(),
        service_account: account.name.clone(),
    }
}

fn rule_of(rule: Rule) -> Option<AttestRule> {
    let Rule { unix, systemd, cgroup, k8s } = rule;
    let parts = AttestParts {
        unix: unix.map(unix_of).unwrap_or(Some(None))?,
        systemd: systemd.map(|rule| SystemdRule::new(&rule.unit)).transpose().ok()?,
        cgroup: cgroup.map(|rule| cgroup_of(&rule)).unwrap_or(Some(None))?,
        k8s: k8s.map(|rule| K8sRule::new(account_of(rule))).transpose().ok()?,
    };
    AttestRule::new(parts).ok()
}

fn unix_of(rule: wire::UnixRule) -> Option<Option<UnixRule>> {
    let path = match (rule.path.as_str(), rule.in_data) {
        ("", _) => None,
        (path, false) => Some(PathRule::parse(path).ok().filter(|rule| matches!(rule, PathRule::Absolute(_)))?),
        (path, true) => Some(PathRule::parse(&format!("$DATA/{path}")).ok()?),
    };
    let sha256 = match rule.sha256.as_slice() {
        [] => None,
        digest => Some(<[u8; 32]>::try_from(digest).ok()?),
    };
    let groups = rule.groups.into_iter().collect();
    UnixRule::new(UnixParts { uid: rule.uid, gid: rule.gid, groups, path, sha256 }).ok().map(Some)
}

fn cgroup_of(rule: &wire::CgroupRule) -> Option<Option<CgroupRule>> {
    let runtime = match rule.runtime.as_str() {
        "" => None,
        word => Some(Runtime::parse(word)?),
    };
    CgroupRule::new(runtime, some(&rule.container), some(&rule.pod)).ok().map(Some)
}

/// A service account, as it was told.
pub(super) fn account_of(account: wire::K8sRule) -> ServiceAccount {
    ServiceAccount { cluster: account.cluster, namespace: account.namespace, name: account.service_account }
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
