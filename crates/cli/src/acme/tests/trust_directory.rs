//! The trust directory against the services: it loads without a word, its tests pass, and what it lists is served.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;
use trustdir::{MemoryFiles, Revision, Service, load, run_tests};
use types::attest::UnixParts;
use types::{AttestRule, Method, RouteId, UnixRule};

use super::{Running, call};
use crate::acme::{
    catalogue::{self, SERVICES, WORKLOADS},
    files::FILES,
};

fn revision() -> Arc<Revision> {
    let loaded = load(&MemoryFiles::new(FILES.iter().copied()));
    assert_eq!(loaded.problems, []);
    loaded.revision.unwrap()
}

#[test]
fn it_loads_without_a_warning() {
    let revision = revision();
    assert_eq!(revision.domains().len(), 4);
}

#[test]
fn its_node_file_is_read() {
    let (path, text) = FILES.iter().find(|(path, _)| *path == "node.yaml").unwrap();
    let known = revision().domains().keys().cloned().collect();
    let node = trustdir::node::parse(path, text, trustdir::node::Kind::Up, Some(&known)).unwrap();
    assert_eq!(node.listeners.len(), 1);
}

#[test]
fn its_tests_pass_and_every_domain_has_some_of_both_kinds() {
    let revision = revision();
    let results = run_tests(&revision);
    let failed: Vec<_> = results.iter().filter(|result| !result.passed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    for domain in revision.domains().keys() {
        let folder = format!("domains/{domain}/tests/");
        let of_domain = results.iter().filter(|result| result.file.starts_with(&folder));
        let outcomes: BTreeSet<_> = of_domain.map(|result| result.expected.to_string()).collect();
        assert!(
            outcomes.is_superset(&BTreeSet::from(["allow".to_owned(), "deny".to_owned()])),
            "{domain}: {outcomes:?}"
        );
    }
}

#[test]
fn every_written_policy_decides_some_test() {
    let revision = revision();
    let deciding: BTreeSet<_> = run_tests(&revision).into_iter().flat_map(|result| result.by).collect();
    let written = revision.policies().all().filter(|policy| !policy.generated).map(|policy| policy.id.to_string());
    let idle: Vec<_> = written.filter(|id| !deciding.contains(id) && !id.starts_with("org/admin.")).collect();
    assert_eq!(idle, Vec::<String>::new());
}

#[test]
fn the_local_operator_may_try_calls_as_anyone() {
    let revision = revision();
    for id in revision.workloads().keys() {
        assert_eq!(revision.policies().may_impersonate("local", id).reason, None, "{id}");
        assert!(revision.policies().may_impersonate("mallory", id).reason.is_some(), "{id}");
    }
}

#[test]
fn its_names_are_those_of_the_catalogue() {
    let revision = revision();
    let services: BTreeSet<_> = SERVICES.iter().map(|service| format!("{}/{}", service.domain, service.name)).collect();
    assert_eq!(revision.services().keys().map(ToString::to_string).collect::<BTreeSet<_>>(), services);
    let callers = WORKLOADS.iter().map(|(domain, name)| format!("{domain}/{name}"));
    let workloads: BTreeSet<_> = services.into_iter().chain(callers).collect();
    assert_eq!(revision.workloads().keys().map(ToString::to_string).collect::<BTreeSet<_>>(), workloads);
    assert_eq!(workloads.len() + 1, catalogue::names().count(), "the prober is no workload");
}

#[test]
fn every_workload_is_attested_by_its_own_path() {
    for (id, workload) in revision().workloads() {
        let path = types::PathRule::parse(&format!("$DATA/bin/acme-{}", id.name())).unwrap();
        assert_eq!(
            workload.rules,
            [AttestRule::from(UnixRule::new(UnixParts { path: Some(path), ..UnixParts::default() }).unwrap())],
            "{id}"
        );
    }
}

#[test]
fn upstreams_are_the_ports_of_the_catalogue() {
    let revision = revision();
    let ports = super::standard_ports();
    for (id, service) in revision.services() {
        let urls: Vec<_> = service.upstream.urls.iter().map(ToString::to_string).collect();
        assert_eq!(urls, [format!("http://127.0.0.1:{}", ports.get(id.name().as_str()).unwrap())], "{id}");
    }
}

/// A path that matches a template, with parameters that the first rows of each service know.
fn path_of(service: &str, template: &str) -> String {
    let (id, number) = match service {
        "people" | "payroll" => ("p-1003", ""),
        "invoices" => ("", "R2041"),
        _ => ("3", "1200"),
    };
    let filled = template.replace("{id}", id).replace("{number}", number);
    filled.replace("{month}", "2026-10").replace("{handle}", "mira")
}

fn listed(service: &Service) -> impl Iterator<Item = (Method, String)> {
    let calls = service.model.routes.iter().filter_map(|route| RouteId::call(&route.id));
    calls.map(|(method, template)| (*method, template.to_string()))
}

/// A route that a service does not have is answered by its fallback (404, "no such page") or by 405.
#[tokio::test]
async fn every_listed_route_is_served() {
    let mut routes = 0;
    for (id, service) in revision().services() {
        let name = SERVICES.iter().find(|known| known.name == id.name().as_str()).unwrap().name;
        let running = Running::start(name).await;
        for (method, template) in listed(service) {
            let (status, answer) = call(running.address, method.as_str(), &path_of(name, &template), Some("{}")).await;
            assert_ne!(status, 405, "{id} {method} {template}");
            assert_ne!(answer, json!({ "error": "there is no such page" }), "{id} {method} {template}");
            assert!(status < 500, "{id} {method} {template}: {status}");
            assert!(
                method != Method::Get || status == 200 || template == "/search",
                "{id} {method} {template}: {status}"
            );
            routes += 1;
        }
        running.stop().await;
    }
    assert_eq!(routes, 53);
}
