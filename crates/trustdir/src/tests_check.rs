//! Holds tests against the directory that they stand in: what they name must exist, and a denial must not rest on a slip.

use policy::{Model, PolicyNames};
use types::{PolicyId, Reason};

use crate::{
    assemble::Parts,
    lost::Lost,
    problem::quote,
    suggest,
    tests_file::{Answer, RawCase, TestBy, TestCaller},
};

/// Reports tests that name what is not there and is not lost.
pub(crate) fn check(cases: &[RawCase<'_>], parts: &Parts, policies: &PolicyNames, lost: &Lost) {
    for case in cases.iter().take_while(|case| !case.file.sink.is_full()) {
        check_caller(case, &parts.model, lost);
        check_request(case, parts, lost);
        check_by(case, policies);
    }
}

fn check_caller(case: &RawCase<'_>, model: &Model, lost: &Lost) {
    let TestCaller::Workload(id) = &case.case.caller else { return };
    if model.has_workload(id) || lost.names.may_hold_name(model, id.domain()) {
        return;
    }
    let of_domain = |domain: &policy::model::Domain| {
        domain.workloads.iter().map(|name| format!("{}/{name}", domain.name)).collect::<Vec<_>>()
    };
    let known: Vec<String> = model.domains.values().flat_map(of_domain).collect();
    let hint = suggest::hint(&id.to_string(), known.iter().map(String::as_str), "workloads");
    case.file.error("name.unknown-workload", &case.caller, format!("there is no workload `{id}`"), hint);
}

fn check_request(case: &RawCase<'_>, parts: &Parts, lost: &Lost) {
    let request = &case.case.request;
    match parts.table.service(request) {
        Ok(service) => {
            let listed = service.routes.find(request.method(), request.path().segments()).is_some();
            let judged = !matches!(service.model.unlisted, policy::model::Unlisted::Deny);
            let id = &service.model.id;
            if !listed && !judged && !lost.may_hold_route(request, id.domain(), Some(id)) {
                warn_unlisted(case, &format!("`{id}` lists no such route"));
            }
        }
        Err(Reason::RouteUnknownHost) if lost.may_hold_host() => {}
        Err(Reason::RouteUnknownHost) => {
            let known: Vec<&str> = parts.table.hosts().collect();
            let hint = suggest::hint(request.host().as_str(), known.iter().copied(), "hosts");
            let message = format!("no service claims the host {}", quote(request.host().as_str()));
            case.file.error("name.unknown-host", &case.request, message, hint);
        }
        Err(_) => {
            let domain = parts.table.domain(request.host());
            if !domain.is_some_and(|domain| lost.may_hold_route(request, domain, None)) {
                warn_unlisted(case, &format!("no service claims this path of `{}`", request.host()));
            }
        }
    }
}

/// A test that expects a denial passes when its path is mistyped; so it must say that this is what it shows.
fn warn_unlisted(case: &RawCase<'_>, why: &str) {
    let said = case.case.by == Some(TestBy::Reason(Reason::RouteUnlisted));
    if !said && case.case.expect == Answer::Deny {
        let hint = "correct the request, or say that this is meant: `by: route.unlisted`".to_owned();
        case.file.warn("test.unlisted", &case.request, why.to_owned(), Some(hint));
    }
}

fn check_by(case: &RawCase<'_>, policies: &PolicyNames) {
    let (Some(TestBy::Policy(id)), Some(span)) = (&case.case.by, &case.by) else { return };
    if policies.may_hold(id) {
        return;
    }
    let known: Vec<&str> = policies.known().map(PolicyId::as_str).collect();
    let hint = suggest::nearest(id.as_str(), known).map(|name| format!("did you mean `{name}`?"));
    case.file.error("name.unknown-policy", span, format!("there is no policy `{id}`"), hint);
}
