//! Holds tests against the directory that they stand in: what they name must exist, and a denial must not rest on a slip.

use policy::Policies;
use types::{Reason, facts::Outcome};

use crate::{
    assemble::Parts,
    problem::quote,
    suggest,
    tests_file::{RawCase, TestBy, TestCaller},
};

/// Reports tests that name what is not there. `policies` is absent where they do not compile.
pub(crate) fn check(cases: &[RawCase<'_>], parts: &Parts, policies: Option<&Policies>) {
    for case in cases.iter().take_while(|case| !case.file.sink.is_full()) {
        check_caller(case, parts);
        check_request(case, parts);
        if let Some(policies) = policies {
            check_by(case, policies);
        }
    }
}

fn check_caller(case: &RawCase<'_>, parts: &Parts) {
    let TestCaller::Workload(id) = &case.case.caller else { return };
    if parts.workloads.contains_key(id) {
        return;
    }
    let known: Vec<String> = parts.workloads.keys().map(ToString::to_string).collect();
    let hint = suggest::hint(&id.to_string(), known.iter().map(String::as_str), "workloads");
    case.file.error("name.unknown-workload", &case.caller, format!("there is no workload `{id}`"), hint);
}

fn check_request(case: &RawCase<'_>, parts: &Parts) {
    let request = &case.case.request;
    match parts.table.service(request) {
        Ok(service) => {
            let listed = service.routes.find(request.method(), request.path().segments()).is_some();
            let judged = matches!(service.model.unlisted, policy::model::Unlisted::Judge(_));
            if !listed && !judged {
                warn_unlisted(case, &format!("`{}` lists no such route", service.model.id));
            }
        }
        Err(Reason::RouteUnknownHost) => {
            let known: Vec<&str> = parts.table.hosts().collect();
            let hint = suggest::hint(request.host().as_str(), known.iter().copied(), "hosts");
            let message = format!("no service claims the host {}", quote(request.host().as_str()));
            case.file.error("name.unknown-host", &case.request, message, hint);
        }
        Err(_) => warn_unlisted(case, &format!("no service claims this path of `{}`", request.host())),
    }
}

/// A test that expects a denial passes when its path is mistyped; so it must say that this is what it shows.
fn warn_unlisted(case: &RawCase<'_>, why: &str) {
    let said = case.case.by == Some(TestBy::Reason(Reason::RouteUnlisted));
    if !said && case.case.expect == Outcome::Deny {
        let hint = "correct the request, or say that this is meant: `by: route.unlisted`".to_owned();
        case.file.warn("test.unlisted", &case.request, why.to_owned(), Some(hint));
    }
}

fn check_by(case: &RawCase<'_>, policies: &Policies) {
    let (Some(TestBy::Policy(id)), Some(span)) = (&case.case.by, &case.by) else { return };
    if policies.describe(id).is_some() {
        return;
    }
    let known: Vec<&str> = policies.all().map(|info| info.id.as_str()).collect();
    let hint = suggest::nearest(id.as_str(), known).map(|name| format!("did you mean `{name}`?"));
    case.file.error("name.unknown-policy", span, format!("there is no policy `{id}`"), hint);
}
