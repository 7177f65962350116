//! Joins a service's API descriptions and its own `routes` into one list, and refuses lists that read two ways.

use std::{
    collections::{BTreeMap, btree_map},
    sync::Arc,
};

use core::ops::Range;

use policy::model::{Effect, Route, Sensitivity};
use types::{Method, RouteId, ServiceId, Template, limits};

use crate::{
    openapi::{Description, Operation},
    problem::File,
    service::RawService,
};

/// A route and where it was said.
pub(crate) struct Listed<'a> {
    pub(crate) method: Method,
    pub(crate) template: Template,
    pub(crate) effect: Effect,
    pub(crate) sensitivity: Sensitivity,
    pub(crate) insecure_open: bool,
    pub(crate) file: File<'a>,
    pub(crate) span: Range<usize>,
}

impl Listed<'_> {
    /// The route as policies see it.
    pub(crate) fn route(&self, service: &ServiceId) -> Arc<Route> {
        let id = RouteId::listed(service.clone(), self.method, self.template.clone());
        Arc::new(Route { id, effect: self.effect, sensitivity: self.sensitivity, insecure_open: self.insecure_open })
    }

    fn place(&self) -> String {
        format!("{}:{}", self.file.path, self.file.line(self.span.start))
    }
}

/// An API description of a service and the file it came from.
pub(crate) type Api<'a, 'o> = (File<'a>, &'o Description);

/// All routes of a service, in the order in which they are said, and whether they are no more than may be. The nearest setting wins: an entry of `routes` over the
/// operation of a description, that over the service.
pub(crate) fn join<'a>(raw: &RawService, own: File<'a>, apis: &[Api<'a, '_>]) -> (Vec<Listed<'a>>, bool) {
    let mut listed: Vec<Listed<'a>> = Vec::new();
    let mut index: BTreeMap<(Method, Template), usize> = BTreeMap::new();
    for (file, description) in apis {
        for operation in &description.operations {
            match index.entry((operation.method, operation.template.clone())) {
                btree_map::Entry::Occupied(earlier) => report_twice(operation, file, listed.get(*earlier.get())),
                btree_map::Entry::Vacant(free) => {
                    free.insert(listed.len());
                    listed.push(described(operation, raw, *file));
                }
            }
        }
    }
    for route in &raw.routes {
        let known = index.get(&(route.method, route.template.clone())).and_then(|at| listed.get_mut(*at));
        if let Some(known) = known {
            known.effect = route.effect.unwrap_or(known.effect);
            known.sensitivity = route.sensitivity.unwrap_or(known.sensitivity);
            known.insecure_open = route.insecure_open;
            continue;
        }
        let (method, template) = (route.method, route.template.clone());
        let effect = route.effect.unwrap_or_else(|| usual_effect(method));
        let sensitivity = route.sensitivity.unwrap_or(raw.sensitivity);
        let (insecure_open, span) = (route.insecure_open, route.span.clone());
        listed.push(Listed { method, template, effect, sensitivity, insecure_open, file: own, span });
    }
    let first_beyond = listed.get(limits::SERVICE_ROUTES.default_usize());
    let whole = first_beyond.is_none();
    if let Some(first_beyond) = first_beyond {
        let message = format!("the service has more than {} routes", limits::SERVICE_ROUTES.default);
        first_beyond.file.error("route.too-many", &first_beyond.span, message, None);
        listed.truncate(limits::SERVICE_ROUTES.default_usize());
    }
    report_ambiguous(&listed);
    (listed, whole)
}

fn described<'a>(operation: &Operation, raw: &RawService, file: File<'a>) -> Listed<'a> {
    Listed {
        method: operation.method,
        template: operation.template.clone(),
        effect: usual_effect(operation.method),
        sensitivity: operation.sensitivity.unwrap_or(raw.sensitivity),
        insecure_open: false,
        file,
        span: operation.span.clone(),
    }
}

/// RFC 9110 9.2.1.
const fn usual_effect(method: Method) -> Effect {
    if method.is_safe() { Effect::Read } else { Effect::Write }
}

fn report_twice(operation: &Operation, file: &File<'_>, earlier: Option<&Listed<'_>>) {
    let message = format!("`{} {}` is described twice for the same service", operation.method, operation.template);
    let hint = earlier.map(|earlier| format!("it stands first in {}", earlier.place()));
    file.error("route.listed-twice", &operation.span, message, hint);
}

/// Each route is compared with the earlier ones of its method and length; the first conflict is reported.
fn report_ambiguous(listed: &[Listed<'_>]) {
    let mut alike: BTreeMap<(Method, usize), Vec<&Listed<'_>>> = BTreeMap::new();
    for route in listed {
        let earlier = alike.entry((route.method, route.template.segments().len())).or_default();
        if let Some(other) = earlier.iter().find(|other| other.template.is_ambiguous_with(&route.template)) {
            report_pair(route, other);
        }
        earlier.push(route);
    }
}

fn report_pair(route: &Listed<'_>, other: &Listed<'_>) {
    let (method, mine, theirs) = (route.method, &route.template, &other.template);
    let same_kinds = mine.beats(theirs).is_none();
    let message = format!("`{method} {mine}` and `{method} {theirs}` match the same paths");
    let hint = if same_kinds {
        format!("they differ only in the names of parameters; the other stands in {}: name it alike", other.place())
    } else {
        format!("neither is nearer where both match; the other stands in {}", other.place())
    };
    route.file.error("route.ambiguous", &route.span, message, Some(hint));
}
