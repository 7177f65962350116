//! What a revision changes, as sentences: the difference of two revisions as people would tell it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::Duration;

use policy::model::{self, Role, Unlisted};
use trustdir::{Domain, Federation, Folder, NodeGroup, Operator, Owner, Revision, Service, Workload};
use types::{Label, PolicyId, RouteId, limits};

/// What comes with `new`, one sentence each, at most as many as are read; the last one counts the rest. Empty where
/// nothing that decides has changed.
pub fn changes(old: &Revision, new: &Revision) -> Vec<String> {
    let mut said = Vec::new();
    organisation(old, new, &mut said);
    domains(old, new, &mut said);
    services(old, new, &mut said);
    workloads(old, new, &mut said);
    policies(old, new, &mut said);
    tests(old, new, &mut said);
    shorten(said)
}

fn shorten(mut said: Vec<String>) -> Vec<String> {
    let most = limits::CHANGES.default_usize();
    if said.len() > most {
        let rest = said.len().saturating_sub(most).saturating_add(1);
        said.truncate(most.saturating_sub(1));
        said.push(format!("and {rest} more changes"));
    }
    said
}

/// What stands on one side only, and the pairs of what stands on both.
fn sides<'a, K: Ord + Display, V>(
    kind: &str,
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
    said: &mut Vec<String>,
) -> Vec<(&'a K, &'a V, &'a V)> {
    let names: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
    let mut both = Vec::new();
    for name in names {
        match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) => both.push((name, old, new)),
            (None, _) => said.push(format!("{kind} {name} added")),
            (_, None) => said.push(format!("{kind} {name} removed")),
        }
    }
    both
}

/// `WHAT changed from OLD to NEW`, where it did.
fn value<T: PartialEq + Display>(what: impl Display, old: &T, new: &T, said: &mut Vec<String>) {
    if old != new {
        said.push(format!("{what} changed from {old} to {new}"));
    }
}

fn organisation(old: &Revision, new: &Revision, said: &mut Vec<String>) {
    owners("the organisation", old.owners_of(&Folder::Organisation), new.owners_of(&Folder::Organisation), said);
    operators(old, new, said);
    node_groups(old, new, said);
    federation(old, new, said);
    let (old, new) = (old.model(), new.model());
    value("the risk of the unknown", &old.risk_unknown, &new.risk_unknown, said);
    let zone = |model: &policy::Model| model.timezone.iana_name().unwrap_or("UTC").to_owned();
    value("the time zone", &zone(old), &zone(new), said);
}

fn owners(of: impl Display, old: &[Owner], new: &[Owner], said: &mut Vec<String>) {
    let names = |owners: &[Owner]| owners.iter().map(ToString::to_string).collect::<BTreeSet<String>>();
    let listed = |names: BTreeSet<String>| match names.is_empty() {
        true => "nobody".to_owned(),
        false => names.into_iter().collect::<Vec<_>>().join(", "),
    };
    value(format!("who owns {of}"), &listed(names(old)), &listed(names(new)), said);
}

fn operators(old: &Revision, new: &Revision, said: &mut Vec<String>) {
    for (name, before, after) in sides("operator", old.operators(), new.operators(), said) {
        let Operator { uid, roles } = before;
        let shown = |uid: Option<u32>| uid.map_or_else(|| "none".to_owned(), |uid| uid.to_string());
        value(format!("the user id of operator {name}"), &shown(*uid), &shown(after.uid), said);
        let listed = |roles: &BTreeSet<Role>| {
            let words: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
            if words.is_empty() { "none".to_owned() } else { words.join(", ") }
        };
        value(format!("the roles of operator {name}"), &listed(roles), &listed(&after.roles), said);
    }
}

fn node_groups(old: &Revision, new: &Revision, said: &mut Vec<String>) {
    for (name, before, after) in sides("node group", old.nodes(), new.nodes(), said) {
        let life = |group: &NodeGroup| format!("{} s", group.rejoin_within.as_secs());
        value(format!("rejoin_within of node group {name}"), &life(before), &life(after), said);
    }
}

fn federation(old: &Revision, new: &Revision, said: &mut Vec<String>) {
    for (name, before, after) in sides("federated trust domain", old.federation(), new.federation(), said) {
        let Federation { trust_domain: _, url, profile, private_network, first } = before;
        if (url, profile, private_network) != (&after.url, &after.profile, &after.private_network) {
            said.push(format!("where the bundle of {name} is fetched changed"));
        }
        if *first != after.first {
            said.push(format!("the first bundle of {name} changed"));
        }
    }
}

fn domains(old: &Revision, new: &Revision, said: &mut Vec<String>) {
    for (name, before, after) in sides("domain", old.domains(), new.domains(), said) {
        let Domain { name: _, trust_domain: _, svid_ttl, jwt_ttl, key, when_stale, signals_stale, owners: owned_by } =
            before;
        let life = |life: &Duration| format!("{} s", life.as_secs());
        value(format!("the life of certificates of {name}"), &life(svid_ttl), &life(&after.svid_ttl), said);
        value(format!("the life of JWT-SVIDs of {name}"), &life(jwt_ttl), &life(&after.jwt_ttl), said);
        value(format!("the kind of keys of {name}"), key, &after.key, said);
        owners(name, owned_by, &after.owners, said);
        value(format!("when_stale of {name}"), when_stale, &after.when_stale, said);
        value(format!("signals_stale of {name}"), signals_stale, &after.signals_stale, said);
        modes(name, old, new, said);
        let both = old.model().domains.get(name).zip(new.model().domains.get(name));
        if let Some((before, after)) = both {
            consent(name, before, after, said);
        }
    }
}

fn modes(domain: &Label, old: &Revision, new: &Revision, said: &mut Vec<String>) {
    value(format!("the mode of {domain}"), &old.mode(domain), &new.mode(domain), said);
    let lines = |revision: &Revision| revision.relaxed(domain).into_iter().collect::<BTreeSet<String>>();
    let (old, new) = (lines(old), lines(new));
    said.extend(new.difference(&old).map(|line| format!("{domain} relaxes {line}")));
    said.extend(old.difference(&new).map(|line| format!("{domain} no longer relaxes {line}")));
}

fn consent(domain: &Label, old: &model::Domain, new: &model::Domain, said: &mut Vec<String>) {
    let accepted = |side: &model::Domain| -> BTreeSet<(Label, Label)> {
        let pairs = side.accepts_from.iter();
        pairs.flat_map(|(from, services)| services.iter().map(|service| (from.clone(), service.clone()))).collect()
    };
    let (before, after) = (accepted(old), accepted(new));
    for (from, service) in after.difference(&before) {
        said.push(format!("{domain} accepts calls from {from} to {service}"));
    }
    for (from, service) in before.difference(&after) {
        said.push(format!("{domain} no longer accepts calls from {from} to {service}"));
    }
    let called = |side: &model::Domain| -> BTreeSet<(Label, String)> {
        let pairs = side.calls.iter();
        pairs.flat_map(|(who, called)| called.iter().map(|service| (who.clone(), service.to_string()))).collect()
    };
    let (before, after) = (called(old), called(new));
    for (who, service) in after.difference(&before) {
        said.push(format!("{domain} lets {who} call {service}"));
    }
    for (who, service) in before.difference(&after) {
        said.push(format!("{domain} no longer lets {who} call {service}"));
    }
}

fn services(old: &Revision, new: &Revision, said: &mut Vec<String>) {
    for (name, before, after) in sides("service", old.services(), new.services(), said) {
        let Service { model, hosts, upstream, limits, .. } = before.as_ref();
        let (was, is) = (model.sensitivity.as_str(), after.model.sensitivity.as_str());
        value(format!("the sensitivity of {name}"), &was, &is, said);
        let listed = |hosts: &[trustdir::HostPrefix]| {
            hosts.iter().map(|claim| format!("{}{}", claim.host(), claim.prefix())).collect::<Vec<_>>().join(", ")
        };
        value(format!("the hosts of {name}"), &listed(hosts), &listed(&after.hosts), said);
        let listed = |upstream: &trustdir::Upstream| {
            upstream.urls.iter().map(trustdir::UpstreamUrl::to_string).collect::<Vec<_>>().join(", ")
        };
        value(format!("the upstream of {name}"), &listed(upstream), &listed(&after.upstream), said);
        if *limits != after.limits {
            said.push(format!("the limits of {name} changed"));
        }
        let judges = |service: &model::Service| match service.unlisted {
            // what a mode tolerates is told as what the domain relaxes
            Unlisted::Deny | Unlisted::Tolerate(_) => "refused",
            Unlisted::Judge(_) => "judged",
        };
        value(format!("what happens to unlisted routes of {name}"), &judges(model), &judges(&after.model), said);
        routes(model, &after.model, said);
    }
}

fn routes(old: &model::Service, new: &model::Service, said: &mut Vec<String>) {
    let by_id = |service: &model::Service| -> BTreeMap<RouteId, (bool, &'static str, &'static str)> {
        let route = |route: &model::Route| (route.insecure_open, route.effect.as_str(), route.sensitivity.as_str());
        service.routes.iter().map(|listed| (listed.id.clone(), route(listed))).collect()
    };
    let (old, new) = (by_id(old), by_id(new));
    for (id, (was_open, was_effect, was_sensitive), (is_open, is_effect, is_sensitive)) in
        sides("route", &old, &new, said)
    {
        match (was_open, is_open) {
            (false, true) => said.push(format!("route {id} asks for no identity any more (insecure_open)")),
            (true, false) => said.push(format!("route {id} asks for an identity again")),
            _ => {}
        }
        value(format!("the effect of {id}"), was_effect, is_effect, said);
        value(format!("the sensitivity of {id}"), was_sensitive, is_sensitive, said);
    }
}

fn workloads(old: &Revision, new: &Revision, said: &mut Vec<String>) {
    for (name, before, after) in sides("workload", old.workloads(), new.workloads(), said) {
        let Workload { id: _, spiffe_id, federated: _, rules, svid_ttl, jwt_ttl, key, runs_on } = before;
        value(format!("who {name} is"), spiffe_id, &after.spiffe_id, said);
        value(format!("where {name} runs"), &places(runs_on.as_ref()), &places(after.runs_on.as_ref()), said);
        if *rules != after.rules {
            said.push(format!("how {name} is attested changed"));
        }
        // what follows from the domain is told there
        let of_domain = old.domains().get(name.domain()).map(|domain| (domain.svid_ttl, domain.jwt_ttl, domain.key));
        let (svid_of_domain, jwt_of_domain, key_of_domain) = of_domain.unwrap_or_default();
        if *svid_ttl != after.svid_ttl && svid_of_domain != *svid_ttl {
            said.push(format!("the life of certificates of {name} changed"));
        }
        if *jwt_ttl != after.jwt_ttl && jwt_of_domain != *jwt_ttl {
            said.push(format!("the life of JWT-SVIDs of {name} changed"));
        }
        if key_of_domain != *key {
            value(format!("the kind of keys of {name}"), key, &after.key, said);
        }
    }
}

fn places(groups: Option<&BTreeSet<Label>>) -> String {
    let names = groups.map(|groups| groups.iter().map(Label::as_str).collect::<Vec<_>>().join(", "));
    names.unwrap_or_else(|| "on control's machine".to_owned())
}

/// Written policies are told one by one; generated ones follow from settings that are told, or are told where they are
/// the only trace.
fn policies(old: &Revision, new: &Revision, said: &mut Vec<String>) {
    let written = |revision: &Revision| -> BTreeMap<PolicyId, String> {
        let written = revision.policies().all().filter(|policy| !policy.generated);
        written.map(|policy| (policy.id.clone(), policy.text.clone())).collect()
    };
    let (old, new) = (written(old), written(new));
    for (id, before, after) in sides("policy", &old, &new, said) {
        if before != after {
            said.push(format!("policy {id} changed"));
        }
    }
}

fn tests(old: &Revision, new: &Revision, said: &mut Vec<String>) {
    let (old, new) = (old.tests().len(), new.tests().len());
    value("the number of tests", &old, &new, said);
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
