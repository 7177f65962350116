//! A small organisation: finance and hr with services, internal-tools and platform as callers from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use types::{Label, Method, RouteId, ServiceId, Template, Timestamp, TrustDomain, WorkloadId};

use crate::model::{Domain, Effect, Federated, Model, Modes, Route, Sensitivity, Service, Unlisted, timezone};
use crate::{Policies, Principal, Problem, Question, SourceFile, Sources, Verdict, compile};

/// Monday 2026-03-02, 10:00 in Berlin.
pub const NOON: Timestamp = Timestamp::from_seconds(1_772_442_000);

pub fn label(text: &str) -> Label {
    Label::parse(text).expect(text)
}

pub fn workload(text: &str) -> WorkloadId {
    text.parse().expect(text)
}

fn route(service: &ServiceId, call: &str, sensitivity: Sensitivity) -> Arc<Route> {
    let (method, template) = call.split_once(' ').expect(call);
    let method: Method = method.parse().expect(call);
    let id = RouteId::listed(service.clone(), method, Template::parse(template).expect(call));
    let effect = if method.is_safe() { Effect::Read } else { Effect::Write };
    Arc::new(Route { id, effect, sensitivity, insecure_open: false })
}

fn service(id: &str, sensitivity: Sensitivity, calls: &[&str], judged: bool) -> (Label, Arc<Service>) {
    let id: ServiceId = id.parse().expect(id);
    let routes = calls.iter().map(|call| route(&id, call, sensitivity)).collect();
    let pseudo =
        || Route { id: RouteId::unlisted(id.clone()), effect: Effect::Write, sensitivity, insecure_open: false };
    let unlisted = if judged { Unlisted::Judge(Arc::new(pseudo())) } else { Unlisted::Deny };
    (id.name().clone(), Arc::new(Service::new(id, sensitivity, routes, unlisted)))
}

/// The ledger with a route that is open to everyone, tolerating what it does not list.
pub fn tolerating_ledger() -> Service {
    let id: ServiceId = "finance/ledger".parse().expect("an id");
    let (sensitivity, pseudo) = (Sensitivity::Confidential, RouteId::unlisted(id.clone()));
    let mut routes: Vec<_> = ["POST /entries", "GET /entries/{id}", "GET /healthz"]
        .map(|call| Arc::unwrap_or_clone(route(&id, call, sensitivity)))
        .into();
    routes.last_mut().expect("three").insecure_open = true;
    let unlisted = Route { id: pseudo, effect: Effect::Write, sensitivity, insecure_open: false };
    Service::new(id, sensitivity, routes.into_iter().map(Arc::new).collect(), Unlisted::Tolerate(Arc::new(unlisted)))
}

/// `(from, services)` and `(workload, services)`.
type Doors<'a> = &'a [(&'a str, &'a [&'a str])];

fn domain(
    name: &str,
    services: impl IntoIterator<Item = (Label, Arc<Service>)>,
    workloads: &[&str],
    accepts: Doors<'_>,
    calls: Doors<'_>,
) -> (Label, Domain) {
    let services: BTreeMap<_, _> = services.into_iter().collect();
    let workloads: BTreeSet<_> = workloads.iter().map(|name| label(name)).chain(services.keys().cloned()).collect();
    let accepts = accepts.iter().map(|(from, names)| (label(from), names.iter().map(|name| label(name)).collect()));
    let calls = calls.iter().map(|(who, ids)| (label(who), ids.iter().map(|id| id.parse().expect(id)).collect()));
    let (accepts_from, calls) = (accepts.collect(), calls.collect());
    (label(name), Domain { name: label(name), accepts_from, calls, services, workloads, modes: Modes::default() })
}

pub fn model() -> Model {
    let ledger = service("finance/ledger", Sensitivity::Confidential, &["POST /entries", "GET /entries/{id}"], false);
    let people = service("hr/people", Sensitivity::Internal, &["GET /people", "POST /people", "POST /search"], true);
    let payroll = service("hr/payroll", Sensitivity::Restricted, &["GET /runs/{id}", "POST /runs"], false);
    let domains = [
        domain(
            "finance",
            [ledger],
            &["payments"],
            &[("internal-tools", &["ledger"])],
            &[("payments", &["hr/payroll"])],
        ),
        domain(
            "hr",
            [people, payroll],
            &["portal"],
            &[("internal-tools", &["people", "payroll"]), ("finance", &["payroll"])],
            &[],
        ),
        domain(
            "internal-tools",
            [],
            &["directory", "search"],
            &[],
            &[("directory", &["hr/people"]), ("search", &["finance/ledger"])],
        ),
        domain("platform", [], &["ci"], &[], &[("ci", &["hr/people"])]),
    ];
    Model {
        organisation: TrustDomain::parse("acme.internal").expect("a name"),
        risk_unknown: 50,
        timezone: timezone("Europe/Berlin").expect("bundled"),
        domains: domains.into(),
        federated: Federated::default(),
        operators: BTreeMap::new(),
    }
}

pub const FINANCE: &str = r#"
@id("payments-posts-entries")
@reason("Payments books every settled payment in the ledger.")
permit (
  principal == Workload::"finance/payments",
  action == Action::"POST",
  resource == Route::"finance/ledger POST /entries"
) when { context.risk < 60 };

@id("finance-reads")
@reason("Finance reads its books.")
permit (principal in Domain::"finance", action in [Action::"read"], resource in Service::"finance/ledger");

@id("search-reads")
@reason("Search shows entries.")
permit (principal == Workload::"internal-tools/search", action == Action::"GET", resource in Service::"finance/ledger")
when { context.minute_of_day >= 480 && context.minute_of_day < 1080 && context.weekday <= 5 };
"#;

pub const HR: &str = r#"
@id("hr-keeps-people")
@reason("HR keeps people.")
permit (principal in Domain::"hr", action, resource in Service::"hr/people");

@id("directory-reads-people")
@reason("The directory mirrors people.")
permit (principal == Workload::"internal-tools/directory", action in [Action::"read"], resource in Service::"hr/people");

@id("payments-reads-runs")
@reason("Payments reads what to pay.")
permit (principal == Workload::"finance/payments", action == Action::"GET", resource == Route::"hr/payroll GET /runs/{id}");

@id("ci-reads-people")
@reason("A wish that consent does not grant.")
permit (principal == Workload::"platform/ci", action, resource in Service::"hr/people");
"#;

pub const GUARDRAILS: &str = r#"
@id("nothing-above-risk-90")
@reason("From risk 90 on nothing is called.")
forbid (principal, action, resource) when { context.risk >= 90 };

@id("no-deletes")
@reason("Nothing is deleted through the gateway.")
forbid (principal, action == Action::"DELETE", resource);
"#;

pub const ADMIN: &str = r#"
@id("local")
@reason("The owner of the data directory tries calls.")
permit (principal == Operator::"local", action == Action::"impersonate", resource);

@id("not-hr")
@reason("HR is not impersonated.")
forbid (principal, action == Action::"impersonate", resource in Domain::"hr");
"#;

pub fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.to_owned(), text: text.to_owned() }
}

pub fn sources(finance: &str, hr: &str) -> Sources {
    Sources {
        guardrails: vec![file("policies/guardrails.cedar", GUARDRAILS)],
        domains: BTreeMap::from([
            (label("finance"), vec![file("domains/finance/policies/ledger.cedar", finance)]),
            (label("hr"), vec![file("domains/hr/policies/people.cedar", hr)]),
        ]),
        admin: Some(file("admin.cedar", ADMIN)),
    }
}

/// Compiles what must compile.
pub fn policies_of(sources: &Sources) -> Policies {
    let (policies, problems) = compile(&Arc::new(model()), sources);
    policies.unwrap_or_else(|| panic!("{problems:#?}"))
}

pub fn policies() -> Policies {
    policies_of(&sources(FINANCE, HR))
}

/// The problems of a finance file beside everything else as it is.
pub fn problems_of(finance: &str) -> Vec<Problem> {
    compile(&Arc::new(model()), &sources(finance, HR)).1.into_iter().filter(|p| p.path.contains("finance")).collect()
}

/// A call in words: `finance/payments POST finance/ledger /entries`; `nobody` for no identity; `*` for the pseudo-route.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub words: &'a str,
    pub risk: u8,
    pub at: Timestamp,
}

pub const fn call(words: &str) -> Call<'_> {
    Call { words, risk: 20, at: NOON }
}

pub fn ask(policies: &Policies, call: Call<'_>) -> Verdict {
    let words: Vec<_> = call.words.split(' ').collect();
    let [who, method, service, template] = words.as_slice() else { panic!("{}", call.words) };
    let service: ServiceId = service.parse().expect("a service");
    let method: Method = method.parse().expect("a method");
    let service = policies.model().service(&service).expect("a known service").clone();
    let is_it = |route: &&Arc<Route>| match route.id.call() {
        None => *template == "*",
        Some((known, path)) => *known == method && path.as_str() == *template,
    };
    let route = service.judged_routes().find(is_it).unwrap_or_else(|| panic!("{}", call.words));
    let caller = (*who != "nobody").then(|| workload(who));
    let principal = caller.as_ref().map_or(Principal::Unidentified, Principal::Workload);
    let source = Some("192.0.2.7".parse().expect("an address"));
    policies.evaluate(&Question { principal, method, route, source, risk: call.risk, at: call.at })
}

/// `allow`, or the reason's code.
pub fn word(verdict: &Verdict) -> &'static str {
    verdict.reason.map_or("allow", types::Reason::code)
}

pub fn names(verdict: &Verdict) -> Vec<&str> {
    verdict.determining.iter().map(types::PolicyId::as_str).collect()
}
