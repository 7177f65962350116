//! Both-sided consent, read off the model: for generated policies, for checks and for words.

use std::collections::{BTreeMap, BTreeSet};

use types::{Label, ServiceId, WorkloadId};

use crate::model::Model;

/// The domains whose calls a service accepts beside those of its own domain.
pub(crate) fn accepted<'m>(model: &'m Model, service: &ServiceId) -> impl Iterator<Item = &'m Label> {
    let doors = model.domains.get(service.domain()).into_iter().flat_map(|domain| &domain.accepts_from);
    let (own, name) = (service.domain().clone(), service.name().clone());
    doors.filter(move |(domain, services)| **domain != own && services.contains(&name)).map(|(domain, _)| domain)
}

/// By service, the workloads of other domains whose domains say that they call it.
pub(crate) fn all_callers(model: &Model) -> BTreeMap<&ServiceId, Vec<WorkloadId>> {
    let mut callers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for domain in model.domains.values() {
        for (workload, services) in &domain.calls {
            for service in services.iter().filter(|service| *service.domain() != domain.name) {
                callers.entry(service).or_default().push(WorkloadId::new(domain.name.clone(), workload.clone()));
            }
        }
    }
    callers
}

/// Whether the provider's side consents.
pub(crate) fn provider_accepts(model: &Model, caller: &Label, service: &ServiceId) -> bool {
    caller == service.domain() || accepted(model, service).any(|domain| domain == caller)
}

/// Whether the consumer's side consents.
pub(crate) fn consumer_calls(model: &Model, caller: &WorkloadId, service: &ServiceId) -> bool {
    caller.domain() == service.domain() || called(model, caller).is_some_and(|services| services.contains(service))
}

/// Whether the consumer's side consents for any workload of a domain.
pub(crate) fn any_calls(model: &Model, caller: &Label, service: &ServiceId) -> bool {
    let calls = model.domains.get(caller).map(|domain| &domain.calls);
    caller == service.domain() || calls.is_some_and(|calls| calls.values().any(|services| services.contains(service)))
}

/// The services that a workload's domain says it calls.
fn called<'m>(model: &'m Model, caller: &WorkloadId) -> Option<&'m BTreeSet<ServiceId>> {
    model.domains.get(caller.domain())?.calls.get(caller.name())
}

/// Why the provider's side does not consent, such as `hr accepts internal-tools for people and payroll; platform is not
/// among them`.
pub(crate) fn provider_note(model: &Model, caller: &Label, service: &ServiceId) -> String {
    let (provider, name) = (service.domain(), service.name());
    let doors = model.domains.get(provider).map(|domain| &domain.accepts_from);
    if let Some(services) = doors.and_then(|doors| doors.get(caller)).filter(|services| !services.is_empty()) {
        return format!("{provider} accepts {caller} for {}; {name} is not among them", list(services));
    }
    match list(accepted(model, service)).as_str() {
        "" => format!("{provider} accepts no other domain for {name}"),
        others => format!("{provider} accepts {others} for {name}; {caller} is not among them"),
    }
}

/// Why the consumer's side does not consent.
pub(crate) fn consumer_note(model: &Model, caller: &WorkloadId, service: &ServiceId) -> String {
    match called(model, caller).filter(|services| !services.is_empty()) {
        Some(services) => format!("{caller} calls {}; {service} is not among them", list(services)),
        None => format!("`calls` of {} lists nothing for {}", caller.domain(), caller.name()),
    }
}

/// `a, b and c`, cut after eight.
pub(crate) fn list(items: impl IntoIterator<Item = impl ToString>) -> String {
    let mut texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if texts.len() > 8 {
        let rest = texts.len() - 8;
        texts.truncate(8);
        texts.push(format!("{rest} more"));
    }
    match texts.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
