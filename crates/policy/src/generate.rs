//! The policies that nobody writes: requirements and both-sided consent as `forbid`s, so that every refusal is found and
//! explained in one way (DESIGN section 4).

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{Effect, Policy};
use types::{PolicyId, ServiceId, WorkloadId};

use crate::admin::Act;
use crate::consent;
use crate::model::{Domain, Model, Role, Route, Service};
use crate::policies::Tier;

/// The callers from other domains by service.
type Callers<'m> = BTreeMap<&'m ServiceId, Vec<WorkloadId>>;

/// A generated policy.
pub(crate) struct Generated {
    pub(crate) id: PolicyId,
    pub(crate) tier: Tier,
    pub(crate) effect: Effect,
    pub(crate) reason: String,
    pub(crate) text: String,
}

impl Generated {
    /// Parses it, as every other policy is.
    ///
    /// # Errors
    /// Cedar's words. The text holds nothing but labels, so this would be a fault of ours.
    pub(crate) fn policy(&self) -> Result<Policy, String> {
        let id = cedar_policy::PolicyId::new(self.id.as_str());
        Policy::parse(Some(id), &self.text).map_err(|errors| format!("{}: {errors}", self.id))
    }
}

/// The generated policies of a domain. `callers` is [`consent::all_callers`].
pub(crate) fn policies(model: &Model, callers: &Callers<'_>, domain: &Domain) -> Vec<Generated> {
    let of_services = domain.services.values().flat_map(|service| {
        let callers = callers.get(&service.id).map(Vec::as_slice).unwrap_or_default();
        let consent = [provider(model, domain, service), consumer(domain, service, callers)];
        consent.into_iter().chain(open(domain, service))
    });
    core::iter::once(identity(domain)).chain(of_services).collect()
}

fn generated(domain: &Domain, tier: Tier, name: &str, reason: String, rule: &str) -> Generated {
    let text = format!("@id(\"{name}\")\n@reason(\"{reason}\")\n{rule}\n");
    let effect = if tier == Tier::Permit { Effect::Permit } else { Effect::Forbid };
    Generated { id: PolicyId::new(domain.name.as_str(), name), tier, effect, reason, text }
}

fn identity(domain: &Domain) -> Generated {
    let reason = format!("{} requires a verified identity", domain.name);
    let open: Vec<_> = domain.services.values().flat_map(|service| service.open_routes()).collect();
    let unless = if open.is_empty() { String::new() } else { format!("\nunless {{ {} }}", is_one_of(&open)) };
    let rule = format!("forbid (principal is Unidentified, action, resource in Domain::\"{}\"){unless};", domain.name);
    generated(domain, Tier::Requires, "requires.identity", reason, &rule)
}

/// The routes that anyone may call.
fn open(domain: &Domain, service: &Service) -> Option<Generated> {
    let open: Vec<_> = service.open_routes().collect();
    let name = service.id.name();
    let calls = open.iter().filter_map(|route| route.id.call());
    let calls: Vec<_> = calls.map(|(method, template)| format!("{method} {template}")).collect();
    let reason = format!("{name} opens {} to everyone", consent::list(&calls));
    let rule = format!(
        "permit (principal, action, resource in Service::\"{}\")\nwhen {{ {} }};",
        service.name(),
        is_one_of(&open)
    );
    let id = format!("insecure_open.{name}");
    (!open.is_empty()).then(|| generated(domain, Tier::Permit, &id, reason, &rule))
}

/// The condition that the call is for one of these routes.
fn is_one_of(routes: &[&Arc<Route>]) -> String {
    let routes: Vec<_> = routes.iter().map(|route| format!("Route::\"{}\"", route.id)).collect();
    format!("[{}].contains(resource)", routes.join(", "))
}

/// The provider's side: `accepts_from`, with the own domain implied.
fn provider(model: &Model, domain: &Domain, service: &Service) -> Generated {
    let (own, name) = (&domain.name, service.id.name());
    let accepted: Vec<_> = consent::accepted(model, &service.id).collect();
    let reason = match accepted.as_slice() {
        [] => format!("{own} accepts no other domain for {name}"),
        others => format!("{own} accepts {} for {name}", consent::list(others)),
    };
    let set: Vec<_> = core::iter::once(own).chain(accepted).map(|domain| format!("Domain::\"{domain}\"")).collect();
    let rule = forbid_unless(service, &format!("principal in [{}]", set.join(", ")));
    generated(domain, Tier::Provider, &format!("consent.accepts_from.{name}"), reason, &rule)
}

/// The consumer's side: `calls` of every other domain, with the own domain implied.
fn consumer(domain: &Domain, service: &Service, callers: &[WorkloadId]) -> Generated {
    let (own, name) = (&domain.name, service.id.name());
    let reason = match callers {
        [] => format!("no other domain says that it calls {name}"),
        callers => format!("of other domains, {} say that they call {name}", consent::list(callers)),
    };
    let set: Vec<_> = callers.iter().map(|caller| format!("Workload::\"{caller}\"")).collect();
    let others = if set.is_empty() { String::new() } else { format!(" || principal in [{}]", set.join(", ")) };
    let rule = forbid_unless(service, &format!("principal in Domain::\"{own}\"{others}"));
    generated(domain, Tier::Consumer, &format!("consent.calls.{name}"), reason, &rule)
}

/// Forbids the calls of a service that lack consent, but for the routes that are open to everyone.
fn forbid_unless(service: &Service, consent: &str) -> String {
    let open: Vec<_> = service.open_routes().collect();
    let open = if open.is_empty() { String::new() } else { format!(" || {}", is_one_of(&open)) };
    let service = service.name();
    format!("forbid (principal is Workload, action, resource in Service::\"{service}\")\nunless {{ {consent}{open} }};")
}

/// What operators may without being permitted it in `admin.cedar`, which can forbid it all the same.
pub(crate) fn admin() -> Vec<Generated> {
    let of_roles = Role::ALL.into_iter().flat_map(|role| Act::of_role(role).iter().map(move |act| of_role(role, *act)));
    core::iter::once(local_operator()).chain(of_roles).collect()
}

fn of_role(role: Role, act: Act<'_>) -> Generated {
    let (role, act) = (role.as_str(), act.as_str());
    let reason = format!("the role {role} may {act}");
    let name = format!("admin.default.{role}.{act}");
    let text = format!(
        "@id(\"{name}\")\n@reason(\"{reason}\")\npermit (principal in Role::\"{role}\", action == Action::\"{act}\", resource);\n"
    );
    Generated { id: PolicyId::new("org", &name), tier: Tier::Permit, effect: Effect::Permit, reason, text }
}

/// What `Operator::"local"` may: everything but to pass for a workload. The owner of the data directory could do so with
/// the files in it anyway.
fn local_operator() -> Generated {
    let reason = "the owner of the data directory administers it".to_owned();
    let actions: Vec<_> = Act::OF_LOCAL.iter().map(|act| format!("Action::\"{}\"", act.as_str())).collect();
    let name = "admin.default.local";
    let text = format!(
        "@id(\"{name}\")\n@reason(\"{reason}\")\npermit (principal == Operator::\"local\", action in [{}], resource);\n",
        actions.join(", ")
    );
    Generated { id: PolicyId::new("org", name), tier: Tier::Permit, effect: Effect::Permit, reason, text }
}
