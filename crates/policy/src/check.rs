//! Checks of a policy's scope that Cedar cannot make: it does not know which entities exist and how they relate.

use types::{Label, Mode, ServiceId, WorkloadId};

use crate::consent;
use crate::lost::Lost;
use crate::model::{Model, Service};
use crate::policies::PolicyEffect;
use crate::problem::Problem;
use crate::scope::{Scope, Slot};
use crate::source::{Owner, SourcePolicy};

/// Checks the scope of a policy.
pub(crate) fn scope(model: &Model, lost: &Lost, owner: Owner<'_>, policy: &SourcePolicy, problems: &mut Vec<Problem>) {
    let scope = Scope::of(&policy.policy);
    if owner != Owner::Admin {
        problems.extend(contradicting_method(model, policy, &scope));
    }
    let permits = PolicyEffect::from(policy.policy.effect()) == PolicyEffect::Permit;
    if let (Owner::Domain(domain), true) = (owner, permits) {
        problems.extend(without_consent(model, lost, domain, policy, &scope));
    }
}

/// An action that the named route never has: `action == Action::"GET"` with `resource == Route::"… POST …"`.
fn contradicting_method(model: &Model, policy: &SourcePolicy, scope: &Scope) -> Option<Problem> {
    let entity = scope.resource.entity().filter(|entity| entity.type_name().to_string() == "Route")?;
    let id = entity.id().unescaped();
    let service = model.service(&id.split_once(' ')?.0.parse().ok()?)?;
    let route = service.routes.iter().find(|route| route.id.to_string() == id)?;
    let (method, _) = route.id.call()?;
    if scope.methods.contains(method) {
        return None;
    }
    let message = format!("the action never is the method of `{id}`");
    let problem = Problem::error("cedar.action-method", &policy.path, message).at(policy.place_of("Action::"));
    Some(problem.hint(format!("write `action == Action::\"{method}\"`, or name another route")))
}

/// A permit for callers of another domain whose calls are refused for want of consent whatever the permit says.
fn without_consent(
    model: &Model,
    lost: &Lost,
    domain: &Label,
    policy: &SourcePolicy,
    scope: &Scope,
) -> Option<Problem> {
    let entity = scope.principal.entity()?;
    let callers = callers(model, &entity.type_name().to_string(), entity.id().unescaped())?;
    if callers.domain == *domain || lost.may_consent(domain, &callers.domain) {
        return None;
    }
    let services: Vec<_> = services(model, domain, &scope.resource).collect();
    if services.is_empty() || services.iter().any(|service| callers.have_consent(model, &service.id)) {
        return None;
    }
    let who = if policy.is_named { format!("`{}`", policy.id) } else { "the policy".to_owned() };
    let message = format!("{who} never allows anything: both sides' consent is missing for every call it names");
    let place = policy.place_of(&format!("{}::\"{}\"", entity.type_name(), entity.id().unescaped()));
    let problem = Problem::warning("cedar.never-allows", &policy.path, message).at(place);
    let from = &callers.domain;
    Some(problem.hint(format!("see `accepts_from` of {domain} and `calls` of {from}; both must name the call")))
}

/// The callers that a literal stands for.
struct Callers {
    domain: Label,
    /// One workload, or all of the domain.
    workload: Option<WorkloadId>,
}

impl Callers {
    fn have_consent(&self, model: &Model, service: &ServiceId) -> bool {
        let consumer = match &self.workload {
            Some(workload) => consent::consumer_calls(model, workload, service),
            None => consent::any_calls(model, &self.domain, service),
        };
        // A side that does not enforce its consent lets the call pass.
        let relaxed = |domain| model.modes(domain).is_some_and(|modes| modes.consent < Mode::Enforce);
        (consumer || relaxed(&self.domain))
            && (consent::provider_accepts(model, &self.domain, service) || relaxed(service.domain()))
    }
}

fn callers(model: &Model, entity_type: &str, id: &str) -> Option<Callers> {
    let callers = match entity_type {
        "Domain" => Callers { domain: Label::parse(id).ok()?, workload: None },
        // The workload that a service implies bears its name.
        "Workload" | "Service" => {
            let workload: WorkloadId = id.parse().ok()?;
            Callers { domain: workload.domain().clone(), workload: Some(workload) }
        }
        _ => return None,
    };
    let known = match &callers.workload {
        Some(workload) => model.has_workload(workload),
        None => model.domains.contains_key(&callers.domain),
    };
    known.then_some(callers)
}

/// The services of a domain that a resource scope covers.
fn services<'m>(model: &'m Model, domain: &Label, resource: &Slot) -> impl Iterator<Item = &'m Service> {
    let named = resource.entity().filter(|entity| entity.type_name().to_string() != "Domain");
    let named = named.map(|entity| entity.id().unescaped().split(' ').next().unwrap_or_default().to_owned());
    let all = model.domains.get(domain).into_iter().flat_map(|domain| domain.services.values());
    all.map(|service| &**service).filter(move |service| named.as_deref().is_none_or(|named| named == service.name()))
}
