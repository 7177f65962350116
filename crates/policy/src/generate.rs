//! The policies that nobody writes: requirements and both-sided consent as `forbid`s, so that every refusal is found and
//! explained in one way (DESIGN section 4).

use std::collections::BTreeMap;

use cedar_policy::Policy;
use types::{PolicyId, ServiceId, WorkloadId};

use crate::consent;
use crate::model::{Domain, Model, Service};
use crate::policies::Tier;

/// The callers from other domains by service.
type Callers<'m> = BTreeMap<&'m ServiceId, Vec<WorkloadId>>;

/// A generated policy.
pub(crate) struct Generated {
    pub(crate) id: PolicyId,
    pub(crate) tier: Tier,
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
    let consent = domain.services.values().flat_map(|service| {
        let callers = callers.get(&service.id).map(Vec::as_slice).unwrap_or_default();
        [provider(model, domain, service), consumer(domain, service, callers)]
    });
    core::iter::once(identity(domain)).chain(consent).collect()
}

fn generated(domain: &Domain, tier: Tier, name: &str, reason: String, rule: &str) -> Generated {
    let text = format!("@id(\"{name}\")\n@reason(\"{reason}\")\n{rule}\n");
    Generated { id: PolicyId::new(domain.name.as_str(), name), tier, reason, text }
}

fn identity(domain: &Domain) -> Generated {
    let reason = format!("{} requires a verified identity", domain.name);
    let rule = format!("forbid (principal is Unidentified, action, resource in Domain::\"{}\");", domain.name);
    generated(domain, Tier::Requires, "requires.identity", reason, &rule)
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

fn forbid_unless(service: &Service, consent: &str) -> String {
    let service = service.name();
    format!("forbid (principal is Workload, action, resource in Service::\"{service}\")\nunless {{ {consent} }};")
}
