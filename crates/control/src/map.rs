//! The organisation as the running revision describes it.

use api::admin::{MapDomain, MapService};
use trustdir::{Revision, Service};

/// Domains with their services and the workloads that are no services, in the order of their names.
pub fn map(revision: &Revision) -> Vec<MapDomain> {
    let domains = revision.domains().keys().map(|name| {
        let own = |service: &&std::sync::Arc<Service>| service.model.id.domain() == name;
        let services: Vec<MapService> = revision.services().values().filter(own).map(|found| service(found)).collect();
        let callers = revision.workloads().keys().filter(|id| id.domain() == name).map(|id| id.name().to_string());
        let workloads = callers.filter(|caller| services.iter().all(|service| service.name != *caller)).collect();
        MapDomain {
            name: name.to_string(),
            mode: revision.mode(name),
            relaxed: revision.relaxed(name),
            services,
            workloads,
        }
    });
    domains.collect()
}

fn service(service: &Service) -> MapService {
    MapService {
        name: service.model.id.name().to_string(),
        sensitivity: service.model.sensitivity.as_str().to_owned(),
        hosts: service.hosts.iter().map(|claim| format!("{}{}", claim.host(), claim.prefix())).collect(),
        routes: service
            .model
            .routes
            .iter()
            .filter_map(|route| route.id.call())
            .map(|(m, t)| format!("{m} {t}"))
            .collect(),
    }
}
