//! The names that a policy's literals may use, and the nearest one to a name that does not exist.

use std::collections::BTreeSet;

use types::{Label, ServiceId, WorkloadId};

use crate::model::{Model, Role};

/// The one entity of type `Unidentified`.
pub(crate) const NOBODY: &str = "nobody";

/// The operator who owns the data directory and needs no entry in `operators`.
pub(crate) const LOCAL: &str = "local";

/// What a literal's id turned out to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Resolved {
    /// It exists; the domain that it belongs to, where it belongs to one.
    Known(Option<Label>),
    /// It does not; the nearest name that does.
    Unknown(Option<String>),
}

/// Resolves a literal of one of our entity types; `None` for a type that is not ours, about which Cedar speaks.
pub(crate) fn resolve(model: &Model, entity_type: &str, id: &str) -> Option<Resolved> {
    match entity_type {
        "Domain" => Some(domain(model, id)),
        "Service" => Some(service(model, id)),
        "Workload" => Some(workload(model, id)),
        "Route" => Some(route(model, id)),
        "Operator" => Some(operator(model, id)),
        "Role" if Role::ALL.iter().any(|role| role.as_str() == id) => Some(Resolved::Known(None)),
        "Role" => Some(Resolved::Unknown(nearest(id, Role::ALL.iter().map(|role| role.as_str().to_owned())))),
        "Organisation" if id == model.organisation.as_str() => Some(Resolved::Known(None)),
        "Organisation" => Some(Resolved::Unknown(Some(model.organisation.as_str().to_owned()))),
        "Unidentified" if id == NOBODY => Some(Resolved::Known(None)),
        "Unidentified" => Some(Resolved::Unknown(Some(NOBODY.to_owned()))),
        _ => None,
    }
}

fn operator(model: &Model, id: &str) -> Resolved {
    if id == LOCAL || model.operators.keys().any(|name| name.as_str() == id) {
        return Resolved::Known(None);
    }
    Resolved::Unknown(nearest(id, model.operators.keys().map(Label::to_string).chain([LOCAL.to_owned()])))
}

fn domain(model: &Model, id: &str) -> Resolved {
    match Label::parse(id).ok().filter(|name| model.domains.contains_key(name)) {
        Some(name) => Resolved::Known(Some(name)),
        None => Resolved::Unknown(nearest(id, model.domains.keys().map(Label::to_string))),
    }
}

fn service(model: &Model, id: &str) -> Resolved {
    match id.parse::<ServiceId>().ok().filter(|id| model.service(id).is_some()) {
        Some(id) => Resolved::Known(Some(id.domain().clone())),
        None => Resolved::Unknown(nearest(id, services(model)).or_else(|| completed(id, services(model)))),
    }
}

fn services(model: &Model) -> impl Iterator<Item = String> {
    model.domains.values().flat_map(|domain| domain.services.values()).map(|service| service.name().to_owned())
}

fn workload(model: &Model, id: &str) -> Resolved {
    match id.parse::<WorkloadId>().ok().filter(|id| model.has_workload(id)) {
        Some(id) => Resolved::Known(Some(id.domain().clone())),
        None => Resolved::Unknown(nearest(id, workloads(model)).or_else(|| completed(id, workloads(model)))),
    }
}

fn workloads(model: &Model) -> impl Iterator<Item = String> {
    let domains = model.domains.values();
    domains.flat_map(|domain| domain.workloads.iter().map(|workload| format!("{}/{workload}", domain.name)))
}

/// A route is looked for in the service it names; where there is no such service, the nearest service is put in its
/// place, which bounds the comparisons.
fn route(model: &Model, id: &str) -> Resolved {
    let (service_text, call) = id.split_once(' ').unwrap_or((id, ""));
    let exact = service_text.parse::<ServiceId>().ok().and_then(|id| model.service(&id));
    if let Some(found) = exact {
        let routes = || found.all_routes().map(|route| route.id.to_string());
        if routes().any(|known| known == id) {
            return Resolved::Known(Some(found.id.domain().clone()));
        }
        return Resolved::Unknown(nearest(id, routes()).or_else(|| same_path(id, routes())));
    }
    let corrected = nearest(service_text, services(model)).map(|service| format!("{service} {call}"));
    Resolved::Unknown(corrected.filter(|corrected| matches!(route_exists(model, corrected), Some(true))))
}

fn route_exists(model: &Model, id: &str) -> Option<bool> {
    let service = model.service(&id.split_once(' ')?.0.parse().ok()?)?;
    Some(service.all_routes().any(|route| route.id.to_string() == id))
}

/// The route with the same path under another method.
fn same_path(id: &str, mut routes: impl Iterator<Item = String>) -> Option<String> {
    let path = |id: &str| id.rsplit_once(' ').map(|(_, path)| path.to_owned());
    let wanted = path(id)?;
    routes.find(|route| path(route).as_deref() == Some(&wanted))
}

/// The only `domain/name` whose domain was left out.
fn completed(id: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let mut fitting = candidates.filter(|candidate| candidate.split_once('/').is_some_and(|(_, name)| name == id));
    fitting.next().filter(|_| fitting.next().is_none())
}

/// The candidate that takes the fewest single edits, where that is at most a third of the name.
pub(crate) fn nearest(wrong: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let wrong: Vec<char> = wrong.chars().take(256).collect();
    let most = (wrong.len() / 3).max(1);
    let near = candidates.filter_map(|candidate| {
        let chars: Vec<char> = candidate.chars().take(256).collect();
        let plausible = chars.len().abs_diff(wrong.len()) <= most;
        let distance = plausible.then(|| edit_distance(&wrong, &chars)).filter(|distance| *distance <= most)?;
        Some((distance, candidate))
    });
    near.collect::<BTreeSet<_>>().pop_first().map(|(_, candidate)| candidate)
}

/// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment), with three rows.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let mut best = (at(&last, j + 1) + 1).min(at(&row, j) + 1).min(at(&last, j) + usize::from(x != y));
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = core::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}
