//! Joins organisation, domains and API descriptions into one model and its lookups, with the checks that need all of
//! them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use policy::model::{self, Effect, Model, Route, Unlisted};
use types::{AttestRule, Host, Label, Mode, RouteId, ServiceId, SpiffeId, TrustDomain, WorkloadId};

use crate::{
    claims::{self, Claimant},
    consent::{self, Domains},
    domain::RawDomain,
    elsewhere, group,
    load::{Apis, Served},
    lost::Lost,
    operator,
    organisation::Organisation,
    problem::{File, quote},
    revision::{Domain, Service, Workload},
    routes::{self, Listed},
    service::RawService,
    svid::Svid,
    table::{RouteTree, Table},
};

/// Everything of a revision but policies and tests; less than that where an error was reported.
pub(crate) struct Parts {
    pub(crate) model: Arc<Model>,
    pub(crate) domains: BTreeMap<Label, Domain>,
    pub(crate) services: BTreeMap<ServiceId, Arc<Service>>,
    pub(crate) workloads: BTreeMap<WorkloadId, Workload>,
    pub(crate) table: Table,
}

/// The domains as read; `None` for one whose file could not be read.
pub(crate) type Read<'a> = BTreeMap<Label, Option<(File<'a>, RawDomain)>>;

/// Where an API description lies that a domain names.
pub(crate) fn api_path(domain: &Label, written: &str) -> String {
    format!("domains/{domain}/{written}")
}

/// Checks and joins. Of a domain that could not be read there is the name. Notes what else is lost.
pub(crate) fn assemble(
    organisation: &Organisation,
    read: &Read<'_>,
    apis: &Apis<'_>,
    served: Served<'_>,
    lost: &mut Lost,
) -> Parts {
    let borrowed: Domains<'_> =
        read.iter().map(|(name, content)| (name.clone(), content.as_ref().map(|(file, raw)| (*file, raw)))).collect();
    consent::check(&borrowed, lost);
    check_settings(organisation, &borrowed);
    check_names(organisation, &borrowed);
    check_attestation(&borrowed);
    let federated = elsewhere::check(&borrowed, organisation);
    let listed = list_routes(&borrowed, apis, served, lost);
    lost.disputed = check_claims(&borrowed, &listed);

    let name = organisation.name.clone().unwrap_or_else(unknown_name);
    let mut parts = Collected::default();
    for (domain, content) in &borrowed {
        match content {
            Some((file, raw)) => {
                let trust_domain = trust_domain(domain, &name, file);
                parts.add(domain, trust_domain, raw, &listed, served.has(domain), organisation);
            }
            None => {
                drop(parts.models.insert(domain.clone(), build_domain(domain, &RawDomain::default(), BTreeMap::new())))
            }
        }
    }
    let model = Model {
        organisation: name,
        risk_unknown: organisation.risk_unknown,
        timezone: organisation.timezone.clone(),
        domains: parts.models,
        federated,
        operators: organisation.operators.iter().map(|(name, it)| (name.clone(), it.roles.clone())).collect(),
    };
    let table = Table::new(parts.services.values());
    let Collected { domains, services, workloads, .. } = parts;
    Parts { model: Arc::new(model), domains, services, workloads, table }
}

/// Stands in for a name that could not be read, so that the rest can be checked. Nothing that is checked depends on it.
#[expect(clippy::expect_used, reason = "a fixed name, which tests read")]
fn unknown_name() -> TrustDomain {
    TrustDomain::parse("unknown").expect("a trust domain")
}

type AllRoutes<'a> = BTreeMap<ServiceId, Vec<Listed<'a>>>;

fn list_routes<'a>(domains: &Domains<'a>, apis: &Apis<'a>, served: Served<'_>, lost: &mut Lost) -> AllRoutes<'a> {
    let mut all = AllRoutes::new();
    for (domain, (file, raw)) in domains.iter().filter_map(|(name, content)| Some((name, (*content)?))) {
        for (name, service) in raw.services.iter() {
            if !served.has(domain) {
                lost.names.routes.insert(ServiceId::new(domain.clone(), name.value.clone()));
                continue;
            }
            let named = service.apis.iter().filter_map(|api| apis.get(&api_path(domain, &api.value)));
            let named: Vec<_> = named.map(|(file, description)| (*file, description)).collect();
            let (listed, not_too_many) = routes::join(service, file, &named);
            let described =
                named.len() == service.apis.len() && named.iter().all(|(_, description)| description.is_whole);
            if !service.says_routes && !service.judges_unlisted && service.routes_are_whole {
                let hint = "list some in `routes`, or name an OpenAPI description in `api`".to_owned();
                let message = format!("the service {} has no route: every call is refused", quote(name.value.as_str()));
                file.warn("service.no-routes", &name.span, message, Some(hint));
            }
            let id = ServiceId::new(domain.clone(), name.value.clone());
            if !(service.routes_are_whole && described && not_too_many) {
                lost.names.routes.insert(id.clone());
            }
            all.insert(id, listed);
        }
    }
    all
}

fn check_claims(domains: &Domains<'_>, listed: &AllRoutes<'_>) -> BTreeSet<Host> {
    let mut claimants = Vec::new();
    for (domain, (file, raw)) in domains.iter().filter_map(|(name, content)| Some((name, (*content)?))) {
        for (name, service) in raw.services.iter() {
            let id = ServiceId::new(domain.clone(), name.value.clone());
            let routes = listed.get(&id).map(Vec::as_slice).unwrap_or_default();
            let hosts_are_whole = service.hosts_are_whole;
            claimants.push(Claimant { id, file, hosts: &service.hosts, hosts_are_whole, routes });
        }
    }
    claims::check(&claimants)
}

fn check_settings(organisation: &Organisation, domains: &Domains<'_>) {
    for (file, raw) in domains.values().flatten() {
        raw.modes.check_floor(organisation, file);
        raw.stale.check(organisation, file);
        organisation.svid.check(&raw.svid, file);
    }
}

/// Owners and node groups are named in one file and stand in another.
fn check_names(organisation: &Organisation, domains: &Domains<'_>) {
    for (file, raw) in domains.values().flatten() {
        operator::check_known(&raw.owners, organisation, file);
        for groups in raw.workloads.iter().filter_map(|(_, workload)| workload.runs_on.as_ref()) {
            group::check_known(groups, organisation, file);
        }
    }
}

/// One process that is two workloads may call as either.
fn check_attestation(domains: &Domains<'_>) {
    let mut known: HashMap<&AttestRule, WorkloadId> = HashMap::new();
    for (domain, (file, raw)) in domains.iter().filter_map(|(name, content)| Some((name, (*content)?))) {
        for (name, workload) in raw.workloads.iter() {
            let id = WorkloadId::new(domain.clone(), name.value.clone());
            for rule in &workload.rules {
                if let Some(other) = known.get(&rule.value) {
                    let message = format!("the same rule makes a process `{other}` and `{id}`");
                    let hint = "such a process may call as either; tell them apart by `path` or `uid`".to_owned();
                    file.warn("attest.same-rule", &rule.span, message, Some(hint));
                }
                known.entry(&rule.value).or_insert_with(|| id.clone());
            }
        }
    }
}

fn trust_domain(domain: &Label, organisation: &TrustDomain, file: &File<'_>) -> Option<TrustDomain> {
    match TrustDomain::parse(&format!("{domain}.{organisation}")) {
        Ok(name) => Some(name),
        Err(error) => {
            let message = format!("`{domain}.{organisation}` cannot be a trust domain: {error}");
            file.error("domain.name", &(0..0), message, Some("choose a shorter name".to_owned()));
            None
        }
    }
}

#[derive(Default)]
struct Collected {
    models: BTreeMap<Label, model::Domain>,
    domains: BTreeMap<Label, Domain>,
    services: BTreeMap<ServiceId, Arc<Service>>,
    workloads: BTreeMap<WorkloadId, Workload>,
}

impl Collected {
    fn add(
        &mut self,
        name: &Label,
        trust_domain: Option<TrustDomain>,
        raw: &RawDomain,
        listed: &AllRoutes<'_>,
        is_served: bool,
        organisation: &Organisation,
    ) {
        let svid = organisation.svid.resolve(&raw.svid);
        let mut services = BTreeMap::new();
        for (service_name, service) in raw.services.iter() {
            let id = ServiceId::new(name.clone(), service_name.value.clone());
            let routes = listed.get(&id).map(Vec::as_slice).unwrap_or_default();
            let unlisted = is_served.then(|| (service.judges_unlisted, raw.modes.unlisted()));
            let built = build_service(id.clone(), service, routes, unlisted);
            services.insert(service_name.value.clone(), Arc::clone(&built.model));
            self.services.insert(id, Arc::new(built));
        }
        self.models.insert(name.clone(), build_domain(name, raw, services));
        let Some(trust_domain) = trust_domain else { return };
        for workload in raw.workload_names() {
            self.add_workload(WorkloadId::new(name.clone(), workload.clone()), raw, &trust_domain, svid);
        }
        let stale = raw.stale.resolve(&organisation.stale, &organisation.stale_floors);
        let owners = raw.owners.iter().map(|owner| owner.value.clone()).collect();
        let Svid { ttl: svid_ttl, jwt_ttl, key } = svid;
        let (when_stale, signals_stale) = (stale.revision, stale.signals);
        let domain =
            Domain { name: name.clone(), trust_domain, svid_ttl, jwt_ttl, key, when_stale, signals_stale, owners };
        self.domains.insert(name.clone(), domain);
    }

    fn add_workload(&mut self, id: WorkloadId, raw: &RawDomain, trust_domain: &TrustDomain, svid: Svid) {
        let written = raw.workloads.get(id.name());
        let elsewhere = written.and_then(|workload| workload.spiffe_id.as_ref());
        let rules = written.map(|workload| workload.rules.iter().map(|rule| rule.value.clone()).collect());
        let runs_on = group::placed(written.and_then(|workload| workload.runs_on.as_ref()));
        // INVARIANT: a label is a path segment of a SPIFFE ID, and both names together are shorter than 2,048 bytes.
        let Ok(own) = SpiffeId::from_segments(trust_domain, &[id.name().as_str()]) else { return };
        let (spiffe_id, federated) = elsewhere.map_or((own, false), |foreign| (foreign.value.clone(), true));
        let (rules, Svid { ttl: svid_ttl, jwt_ttl, key }) = (rules.unwrap_or_default(), svid);
        let workload = Workload { id: id.clone(), spiffe_id, federated, rules, svid_ttl, jwt_ttl, key, runs_on };
        self.workloads.insert(id, workload);
    }
}

fn build_domain(name: &Label, raw: &RawDomain, services: BTreeMap<Label, Arc<model::Service>>) -> model::Domain {
    let values = |list: &[crate::decode::Spanned<Label>]| list.iter().map(|item| item.value.clone()).collect();
    let ids = |list: &[crate::decode::Spanned<ServiceId>]| list.iter().map(|item| item.value.clone()).collect();
    model::Domain {
        name: name.clone(),
        modes: raw.modes.build(name),
        accepts_from: raw.accepts_from.iter().map(|(caller, list)| (caller.value.clone(), values(list))).collect(),
        calls: raw.calls.iter().map(|(workload, list)| (workload.value.clone(), ids(list))).collect(),
        services,
        workloads: raw.workload_names().cloned().collect::<BTreeSet<_>>(),
    }
}

/// `unlisted`: whether unlisted routes are judged, and the mode of the check; absent for a service that is not served.
fn build_service(id: ServiceId, raw: &RawService, listed: &[Listed<'_>], unlisted: Option<(bool, Mode)>) -> Service {
    let routes: Vec<Arc<Route>> = listed.iter().map(|route| route.route(&id)).collect();
    let pseudo = || {
        // What is not described may change anything.
        let (id, effect, sensitivity) = (RouteId::unlisted(id.clone()), Effect::Write, raw.sensitivity);
        Arc::new(Route { id, effect, sensitivity, insecure_open: false })
    };
    let unlisted = match unlisted {
        Some((true, _)) => Unlisted::Judge(pseudo()),
        Some((false, Mode::Observe | Mode::Shadow)) => Unlisted::Tolerate(pseudo()),
        Some((false, Mode::Enforce)) | None => Unlisted::Deny,
    };
    let tree = RouteTree::new(&routes);
    Service {
        model: Arc::new(model::Service::new(id, raw.sensitivity, routes, unlisted)),
        hosts: raw.hosts.iter().map(|host| host.value.clone()).collect(),
        upstream: raw.upstream.clone(),
        limits: raw.limits,
        routes: tree,
    }
}
