//! Words for the operator about a denial: what to look at, never what the caller sees.

use cedar_policy::{EntityUid, Request};
use types::PolicyId;

use crate::consent::{self, list};
use crate::judge::{Principal, Question};
use crate::policies::{Policies, Set, Tier};
use crate::scope::{Scope, Slot};

/// How many policies a note names of each kind.
const NAMED: usize = 3;

/// What the forbids that matched stand for.
pub(crate) fn forbidden(policies: &Policies, question: &Question<'_>, forbids: &[(Tier, PolicyId)]) -> String {
    let (mut notes, mut written) = (Vec::new(), Vec::new());
    let service = question.route.id.service();
    for (tier, id) in forbids {
        match (tier, question.principal) {
            (Tier::Provider, Principal::Workload(caller)) => {
                notes.push(consent::provider_note(&policies.model, caller.domain(), service));
            }
            (Tier::Consumer, Principal::Workload(caller)) => {
                notes.push(consent::consumer_note(&policies.model, caller, service));
            }
            (Tier::Provider | Tier::Consumer, Principal::Unidentified) | (Tier::Requires, _) => {
                notes.push("the call has no verified identity".to_owned());
            }
            (Tier::Written | Tier::Permit, _) => written.push(with_reason(policies, id)),
        }
    }
    let rest = written.len().saturating_sub(NAMED);
    written.truncate(NAMED);
    notes.append(&mut written);
    if rest > 0 {
        notes.push(format!("{rest} more policies forbid it"));
    }
    notes.join("; ")
}

fn with_reason(policies: &Policies, id: &PolicyId) -> String {
    match policies.describe(id) {
        Some(info) => format!("{id}: {}", info.reason.trim_end_matches('.')),
        None => id.to_string(),
    }
}

/// Which permits come nearest, judged by their scopes alone: those that name this call but whose conditions do not hold,
/// or else those for this route and those for this caller.
pub(crate) fn no_permit(policies: &Policies, question: &Question<'_>, set: &Set, request: &Request) -> String {
    let (Some(principal), Some(resource)) = (request.principal(), request.resource()) else {
        return "no permit names this call".to_owned();
    };
    let caller = match question.principal {
        Principal::Workload(id) => id.to_string(),
        Principal::Unidentified => "nobody".to_owned(),
    };
    let fits_route =
        |scope: &Scope| scope.methods.contains(&question.method) && scope.resource.holds(resource, &policies.entities);
    let fits_caller = |scope: &Scope| scope.principal.holds(principal, &policies.entities);
    let whole = pick(set, |scope| fits_route(scope) && fits_caller(scope), |id, _| id.to_string());
    if !whole.is_empty() {
        return format!("the conditions of {} do not hold", list(whole));
    }
    let route = pick(set, fits_route, |id, scope| format!("{} by {id}", whom(&scope.principal)));
    let own = pick(set, |scope| scope.principal != Slot::Any && fits_caller(scope), |id, _| id.to_string());
    let mut notes = Vec::new();
    if !route.is_empty() {
        notes.push(format!("this route is permitted to {}", list(route)));
    }
    if !own.is_empty() {
        notes.push(format!("{caller} is permitted other routes by {}", list(own)));
    }
    if notes.is_empty() { format!("no permit is for {caller} or for this route") } else { notes.join("; ") }
}

/// The first few permits of a set that fit, described, and how many more there are.
fn pick(set: &Set, fits: impl Fn(&Scope) -> bool, describe: impl Fn(&PolicyId, &Scope) -> String) -> Vec<String> {
    let mut fitting = set.permits.iter().filter(|(_, scope)| fits(scope));
    let mut texts: Vec<_> = fitting.by_ref().take(NAMED).map(|(id, scope)| describe(id, scope)).collect();
    match fitting.count() {
        0 => {}
        more => texts.push(format!("{more} more")),
    }
    texts
}

fn whom(principal: &Slot) -> String {
    match principal {
        Slot::Any => "callers under conditions".to_owned(),
        Slot::Is(entity_type) => format!("every {entity_type} under conditions"),
        Slot::Exactly(entity) => id(entity),
        Slot::Within(_, entity) => format!("callers in {}", id(entity)),
    }
}

fn id(entity: &EntityUid) -> String {
    entity.id().unescaped().to_owned()
}
