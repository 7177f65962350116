//! Who can call a route, and what a workload can call: answers of the running policies without a call.

use std::collections::BTreeSet;

use api::admin::{Access, AccessResult, Failure, MapDomain, Revocation};
use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use crate::Console;
use crate::answer::Ask;
use crate::rows::Mark;
use crate::session::{Frame, Visitor};
use crate::show::{count, link, number};

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Asked {
    route: String,
    caller: String,
}

#[derive(Template)]
#[template(path = "access.html")]
struct AccessPage {
    frame: Frame,
    sentence: String,
    asked: Asked,
    /// Why there is no answer: message and hint.
    failure: Option<Failure>,
    lines: Vec<Line>,
    /// Callers among them whose trust is taken away: what policies say of them is not what they get.
    revoked: BTreeSet<String>,
    /// Whether nothing was asked yet.
    is_blank: bool,
    /// Every route and every caller, to choose from.
    routes: BTreeSet<String>,
    callers: BTreeSet<String>,
}

struct Line {
    mark: Mark,
    caller: String,
    caller_link: String,
    route: String,
    route_link: String,
    policies: Vec<String>,
    conditions: Vec<String>,
    reason: String,
}

pub(crate) async fn show(visitor: Visitor, State(console): State<Console>, Query(asked): Query<Asked>) -> Response {
    console.show(visitor.at("access"), move |ask, frame| page(ask, frame, asked)).await
}

fn page(ask: &Ask<'_>, frame: Frame, asked: Asked) -> Result<AccessPage, Failure> {
    let (route, caller) = (asked.route.trim(), asked.caller.trim());
    let answer = match (route, caller) {
        ("", "") => None,
        ("", caller) => Some(ask.admin.what_can(caller)),
        (route, "") => Some(ask.admin.who_can(route)),
        (route, caller) => Some(ask.admin.who_can(route).map(|mut found| {
            found.retain(|access| access.caller == caller);
            found
        })),
    };
    let (found, failure) = match answer {
        None => (None, None),
        Some(Ok(found)) => (Some(found), None),
        Some(Err(failure)) => (None, Some(failure)),
    };
    let sentence = found.as_ref().map_or_else(
        || "Ask who can call a route, or what a workload can call.".to_owned(),
        |found| sentence(found, route, caller),
    );
    let mut found = found.unwrap_or_default();
    found.sort_by(|a, b| (a.result, &a.caller, &a.route).cmp(&(b.result, &b.caller, &b.route)));
    let (routes, callers) = choices(&ask.admin.map());
    let lines = found.iter().map(line).collect();
    let revoked = revoked(&found, &ask.admin.revocations()?, &frame.organisation);
    let is_blank = route.is_empty() && caller.is_empty();
    Ok(AccessPage { frame, sentence, asked, failure, lines, revoked, is_blank, routes, callers })
}

fn revoked(found: &[Access], revocations: &[Revocation], organisation: &str) -> BTreeSet<String> {
    let is_revoked = |caller: &str| {
        let full = caller.split_once('/').map(|(domain, name)| format!("spiffe://{domain}.{organisation}/{name}"));
        full.is_some_and(|full| revocations.iter().any(|one| one.subject == full))
    };
    found.iter().filter(|access| is_revoked(&access.caller)).map(|access| access.caller.clone()).collect()
}

/// The answer in one sentence.
fn sentence(found: &[Access], route: &str, caller: &str) -> String {
    let of = |result| number(found.iter().filter(|access| access.result == result).count());
    let (always, sometimes) = (of(AccessResult::Allowed), of(AccessResult::Conditional));
    let can = always + sometimes;
    let conditions = match sometimes {
        0 => String::new(),
        some if some == can => ", under conditions".to_owned(),
        some => format!(", {some} of them under conditions"),
    };
    match (route, caller) {
        ("", caller) if can == 0 => format!("{caller} can call nothing."),
        ("", caller) => format!("{caller} can call {}{conditions}.", count(can, "route", "routes")),
        (route, "") if can == 0 => format!("Nobody can call {route}."),
        (route, "") => format!("{} can call {route}{conditions}.", count(can, "caller", "callers")),
        (route, caller) if can == 0 => format!("{caller} cannot call {route}."),
        (route, caller) => format!("{caller} can call {route}{conditions}."),
    }
}

fn line(access: &Access) -> Line {
    let mark = match access.result {
        AccessResult::Allowed => Mark { shape: "●", word: "always", class: "allow" },
        AccessResult::Conditional => Mark { shape: "◐", word: "conditions", class: "would" },
        AccessResult::Refused => Mark { shape: "■", word: "refused", class: "deny" },
    };
    Line {
        mark,
        caller: access.caller.clone(),
        caller_link: link("/access", &[("caller", &access.caller)]),
        route: access.route.clone(),
        route_link: link("/access", &[("route", &access.route)]),
        policies: access.policies.clone(),
        conditions: access.conditions.clone(),
        reason: access.reason.clone(),
    }
}

fn choices(map: &[MapDomain]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut routes, mut callers) = (BTreeSet::new(), BTreeSet::new());
    for domain in map {
        for service in &domain.services {
            let id = format!("{}/{}", domain.name, service.name);
            routes.extend(service.routes.iter().map(|route| format!("{id} {route}")));
            callers.insert(id);
        }
        callers.extend(domain.workloads.iter().map(|workload| format!("{}/{workload}", domain.name)));
    }
    (routes, callers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(result: AccessResult) -> Access {
        Access {
            caller: "a/b".into(),
            route: "c/d GET /".into(),
            result,
            policies: Vec::new(),
            conditions: Vec::new(),
            reason: String::new(),
        }
    }

    #[test]
    fn the_sentence_answers_who_and_what() {
        use AccessResult::{Allowed, Conditional, Refused};
        let found = [access(Allowed), access(Conditional), access(Refused)];
        assert_eq!(sentence(&found, "r", ""), "2 callers can call r, 1 of them under conditions.");
        assert_eq!(sentence(&found[1..2], "", "c"), "c can call 1 route, under conditions.");
        assert_eq!(sentence(&found[2..], "r", ""), "Nobody can call r.");
        assert_eq!(sentence(&[], "", "c"), "c can call nothing.");
        assert_eq!(sentence(&found[..1], "r", "c"), "c can call r.");
    }
}
