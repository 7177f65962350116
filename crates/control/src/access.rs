//! Who can call a route, and what a workload can call, by one revision. What modes relax is told as it will be when it
//! is enforced; what operators revoke is not part of a revision.

use api::admin::{Access, AccessResult, Failure, FailureCode};
use policy::model::{Model, Route};
use policy::{Principal, Survey};
use trustdir::Revision;
use types::{CanonicalRequest, Label, Method, WorkloadId};

use crate::names;

/// How a caller without identity is named.
const ANYONE: &str = "(anyone)";
/// How many names a hint lists.
const LISTED: usize = 12;

/// Who can call a route: a line for every workload, and one for everyone where the route asks for no identity.
///
/// # Errors
/// [`Failure`] when the revision has no such route, with what was probably meant.
pub(crate) fn who_can(revision: &Revision, route: &str) -> Result<Vec<Access>, Failure> {
    let (route, method) = find_route(revision, route)?;
    let model = revision.model();
    let survey = Survey::of(revision.policies(), route.id.service().domain());
    let methods = method.map_or_else(|| methods(route), |method| vec![method]);
    let callers = workloads(model);
    let principals = callers.iter().map(Principal::Workload).chain([Principal::Unidentified]);
    let mut all = Vec::new();
    for principal in principals {
        all.extend(lines(&survey, principal, route, &methods)?);
    }
    all.sort_by(|a, b| (a.result, &a.caller, &a.route).cmp(&(b.result, &b.caller, &b.route)));
    Ok(all)
}

/// What a workload can call: a line for every route of every service; `(anyone)` stands for a caller without identity.
///
/// # Errors
/// [`Failure`] when the revision has no such workload, with what was probably meant.
pub(crate) fn what_can(revision: &Revision, caller: &str) -> Result<Vec<Access>, Failure> {
    let workload = if caller == ANYONE { None } else { Some(find_workload(revision, caller)?) };
    let principal = workload.as_ref().map_or(Principal::Unidentified, Principal::Workload);
    let mut all = Vec::new();
    for domain in revision.model().domains.values() {
        let survey = Survey::of(revision.policies(), &domain.name);
        for route in domain.services.values().flat_map(|service| service.all_routes()) {
            all.extend(lines(&survey, principal, route, &methods(route))?);
        }
    }
    all.sort_by(|a, b| (a.result, &a.route).cmp(&(b.result, &b.route)));
    Ok(all)
}

/// The methods by which a route is called: its own, or all of them for the pseudo-route.
fn methods(route: &Route) -> Vec<Method> {
    route.id.call().map_or_else(|| Method::ALL.to_vec(), |(method, _)| vec![*method])
}

/// The answers for one caller and route; methods of the pseudo-route that are answered alike share a line. That nobody
/// without identity may call goes without saying.
fn lines(
    survey: &Survey<'_>,
    principal: Principal<'_>,
    route: &Route,
    methods: &[Method],
) -> Result<Vec<Access>, Failure> {
    let mut alike: Vec<(policy::Access, Vec<Method>)> = Vec::new();
    for method in methods {
        let access = survey.access(principal, *method, route).map_err(unanswered)?;
        match alike.iter_mut().find(|(known, _)| *known == access) {
            Some((_, methods)) => methods.push(*method),
            None => alike.push((access, vec![*method])),
        }
    }
    let lines = alike.into_iter().map(|(access, methods)| line(principal, route, &methods, access));
    let said = |line: &Access| principal != Principal::Unidentified || line.result != AccessResult::Refused;
    Ok(lines.filter(said).collect())
}

fn line(principal: Principal<'_>, route: &Route, methods: &[Method], access: policy::Access) -> Access {
    let caller = match principal {
        Principal::Workload(id) => id.to_string(),
        Principal::Unidentified => ANYONE.to_owned(),
    };
    let route = match route.id.call() {
        Some(_) => route.id.to_string(),
        None => {
            let methods: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
            format!("{} {} *", route.id.service(), methods.join(","))
        }
    };
    let texts = |ids: Vec<types::PolicyId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (result, policies, conditions, reason) = match access {
        policy::Access::Allowed(permits) => (AccessResult::Allowed, texts(permits), Vec::new(), String::new()),
        policy::Access::Conditional { permits, conditions } => {
            (AccessResult::Conditional, texts(permits), conditions, String::new())
        }
        policy::Access::Refused(reason, by) => (AccessResult::Refused, texts(by), Vec::new(), reason.code().to_owned()),
    };
    Access { caller, route, result, policies, conditions, reason }
}

fn unanswered(words: String) -> Failure {
    Failure::new(FailureCode::Unavailable, format!("the policies cannot be asked: {words}"), "")
}

fn workloads(model: &Model) -> Vec<WorkloadId> {
    let of = |domain: &Label, name: &Label| WorkloadId::new(domain.clone(), name.clone());
    model.domains.values().flat_map(|domain| domain.workloads.iter().map(|name| of(&domain.name, name))).collect()
}

/// A route by `finance/ledger POST /entries`, `POST https://ledger.acme.internal/entries`, or for a pseudo-route
/// `platform/status *` or `platform/status GET *`; and the method where the name holds one.
fn find_route<'r>(revision: &'r Revision, text: &str) -> Result<(&'r Route, Option<Method>), Failure> {
    if text.contains("://") {
        return by_url(revision, text);
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let wanted = words.join(" ");
    let routes = || {
        revision
            .model()
            .domains
            .values()
            .flat_map(|domain| domain.services.values())
            .flat_map(|service| service.all_routes())
    };
    if let Some(route) = routes().find(|route| route.id.to_string() == wanted) {
        return Ok((route, None));
    }
    if let [service, method, "*"] = words.as_slice() {
        let method: Option<Method> = method.parse().ok();
        let pseudo = routes().find(|route| route.id.call().is_none() && route.id.service().to_string() == *service);
        if let (Some(route), Some(method)) = (pseudo, method) {
            return Ok((route, Some(method)));
        }
    }
    let known: Vec<String> = routes().map(|route| route.id.to_string()).collect();
    Err(no_route(text, meant(revision, &known, &wanted)))
}

/// What was probably meant by the name of a route that there is not: the route of the same service, the same route of the
/// service that was meant, or that service.
fn meant(revision: &Revision, known: &[String], wanted: &str) -> String {
    let (service, call) = wanted.split_once(' ').unwrap_or((wanted, ""));
    let own: Vec<String> = known.iter().filter(|id| id.split(' ').next() == Some(service)).cloned().collect();
    if !own.is_empty() {
        let near = policy::did_you_mean(wanted, own.iter().map(String::as_str));
        return near
            .map_or_else(|| format!("the routes are {}", listed(&own)), |near| format!("did you mean `{near}`?"));
    }
    let services: Vec<String> = revision.services().keys().map(ToString::to_string).collect();
    let Some(near) = policy::did_you_mean(service, services.iter().map(String::as_str)) else {
        let example = known.first().map_or("finance/ledger POST /entries", String::as_str);
        return format!("the services are {}; name a route like `{example}`", listed(&services));
    };
    let corrected = format!("{near} {call}");
    match known.contains(&corrected) {
        true => format!("did you mean `{corrected}`?"),
        false => format!("did you mean a route of `{near}`?"),
    }
}

/// The route that a request to this URL leads to.
fn by_url<'r>(revision: &'r Revision, text: &str) -> Result<(&'r Route, Option<Method>), Failure> {
    let example = "write it like `POST https://ledger.acme.internal/entries`";
    let (method, url) = text.trim().split_once(char::is_whitespace).ok_or_else(|| no_route(text, example))?;
    let (_, rest) = url.trim().split_once("://").ok_or_else(|| no_route(text, example))?;
    let slash = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(slash).ok_or_else(|| no_route(text, example))?;
    let target = if path.is_empty() { "/" } else { path };
    let request = CanonicalRequest::parse(method, host, target)
        .map_err(|reason| no_route(text, format!("{}; {example}", reason.title())))?;
    if let Ok((_, route)) = revision.route(&request) {
        let found = revision
            .model()
            .service(route.id.service())
            .and_then(|service| service.judged_routes().find(|known| known.id == route.id));
        // a pseudo-route that is only tolerated is none once it is enforced
        let tolerated = |route: &&std::sync::Arc<Route>| {
            revision
                .model()
                .service(route.id.service())
                .is_some_and(|service| service.all_routes().all(|known| known.id != route.id))
        };
        if let Some(route) = found.filter(|route| !tolerated(route)) {
            return Ok((route, Some(request.method())));
        }
    }
    if revision.find_host(request.host()).is_none() {
        let hosts: Vec<String> = revision
            .domains()
            .keys()
            .flat_map(|domain| revision.hosts_of(domain))
            .map(|host| host.to_string())
            .collect();
        let near = policy::did_you_mean(host, hosts.iter().map(String::as_str));
        let hint =
            near.map_or_else(|| format!("served are {}", listed(&hosts)), |near| format!("did you mean `{near}`?"));
        return Err(no_route(text, hint));
    }
    let hint = match revision.nearest_route(&request) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "the service lists no such method and path".to_owned(),
    };
    Err(no_route(text, hint))
}

fn no_route(text: &str, hint: impl Into<String>) -> Failure {
    let shown: String = text.chars().take(200).collect();
    Failure::new(FailureCode::NotFound, format!("there is no route `{shown}`"), hint)
}

/// A workload by `finance/payments` or by its SPIFFE ID.
fn find_workload(revision: &Revision, text: &str) -> Result<WorkloadId, Failure> {
    let short = names::federated(text, revision).unwrap_or_else(|| names::caller(text, &revision.model().organisation));
    if let Some(id) = short.parse::<WorkloadId>().ok().filter(|id| revision.model().has_workload(id)) {
        return Ok(id);
    }
    let known: Vec<String> = workloads(revision.model()).iter().map(ToString::to_string).collect();
    let mut only = known.iter().filter(|id| id.split_once('/').is_some_and(|(_, name)| name == short));
    let completed = only.next().filter(|_| only.next().is_none()).map(String::as_str);
    let completed = completed.map(str::to_owned);
    let hint = match completed.or_else(|| policy::did_you_mean(&short, known.iter().map(String::as_str))) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the workloads are {}", listed(&known)),
    };
    let shown: String = text.chars().take(200).collect();
    Err(Failure::new(FailureCode::NotFound, format!("there is no workload `{shown}`"), hint))
}

/// The first few names, and how many more there are.
fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(LISTED).map(String::as_str).collect();
    let rest = names.len().saturating_sub(LISTED);
    if rest == 0 { shown.join(", ") } else { format!("{} and {rest} more", shown.join(", ")) }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
