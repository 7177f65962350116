//! A service of `domain.yaml`.

use core::{ops::Range, time::Duration};

use policy::model::{Effect, Sensitivity};
use types::{Method, Template, limits};

use crate::{
    decode::{
        Fields, Shape, Spanned, bad_value, boolean, duration, duration_or_none, items, mapping, one_of, size, text,
    },
    host::{self, HostPrefix},
    organisation::requires,
    problem::{File, quote},
    suggest,
    upstream::{self, Upstream},
    yaml::{Entry, Node, Value},
};

/// What a service may take, of one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceLimits {
    /// The request's body, in bytes.
    pub body: u64,
    /// From the forwarded head to the upstream's response head.
    pub first_byte: Duration,
    /// Silence in the middle of a body, either way.
    pub idle: Duration,
    /// The whole exchange; absent where it may last.
    pub total: Option<Duration>,
}

/// `body_bytes`, `first_byte_time` and `idle_time` of the limits registry; no total.
impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            body: limits::BODY_BYTES.default,
            first_byte: Duration::from_millis(limits::FIRST_BYTE_TIME.default),
            idle: Duration::from_millis(limits::IDLE_TIME.default),
            total: None,
        }
    }
}

/// A service as written, before it is joined with its API descriptions.
pub(crate) struct RawService {
    pub(crate) hosts: Vec<Spanned<HostPrefix>>,
    /// Whether every host could be read.
    pub(crate) hosts_are_whole: bool,
    pub(crate) upstream: Upstream,
    pub(crate) apis: Vec<Spanned<String>>,
    pub(crate) sensitivity: Sensitivity,
    pub(crate) judges_unlisted: bool,
    pub(crate) routes: Vec<RawRoute>,
    /// Whether routes or descriptions are written at all.
    pub(crate) says_routes: bool,
    /// Whether every route and the name of every description could be read, and what becomes of other requests.
    pub(crate) routes_are_whole: bool,
    pub(crate) limits: ServiceLimits,
}

/// An entry of `routes`: an addition, or an exception to what the API description says.
pub(crate) struct RawRoute {
    pub(crate) span: Range<usize>,
    pub(crate) method: Method,
    pub(crate) template: Template,
    pub(crate) effect: Option<Effect>,
    pub(crate) sensitivity: Option<Sensitivity>,
    pub(crate) insecure_open: bool,
}

/// Data of a service that says nothing: what stays inside the organisation.
const DEFAULT_SENSITIVITY: Sensitivity = Sensitivity::Internal;

/// Reads a service. What does not fit is reported and left out, so that its name stays known.
pub(crate) fn read(node: &Node, file: &File<'_>) -> RawService {
    let mut service = RawService {
        hosts: Vec::new(),
        hosts_are_whole: false,
        upstream: Upstream::default(),
        apis: Vec::new(),
        sensitivity: DEFAULT_SENSITIVITY,
        judges_unlisted: false,
        routes: Vec::new(),
        says_routes: false,
        routes_are_whole: false,
        limits: ServiceLimits::default(),
    };
    let Some(mut fields) = Fields::open(node, file, "a service") else { return service };
    let hosts = fields.required("hosts", "hosts: [ledger.acme.internal]");
    let hosts = hosts.map(|node| file.watch(|| items(node, file, "a list of hosts", host::read)));
    let (hosts, hosts_whole) = hosts.unwrap_or_default();
    if let Some(node) = fields.required("upstream", "upstream: { urls: [http://127.0.0.1:7101] }") {
        service.upstream = upstream::read(node, file).unwrap_or_default();
    }
    let apis = |node, file: &File<'_>| Some(items(node, file, "a list of API descriptions", api_path));
    let (apis, apis_whole) = file.watch(|| fields.take("api", apis).unwrap_or_default());
    service.sensitivity = fields.take("sensitivity", sensitivity).unwrap_or(DEFAULT_SENSITIVITY);
    let (judges_unlisted, judges_whole) = file.watch(|| fields.take("unlisted_routes", unlisted_routes));
    fields.take("requires", requires);
    let written = fields.optional("routes");
    service.says_routes = node.get("api").is_some() || written.is_some_and(|node| node.value != Value::Map(Vec::new()));
    let (routes, routes_whole) = written.map_or_else(|| (Vec::new(), true), |node| routes(node, file));
    service.limits = fields.take("limits", read_limits).unwrap_or_default();
    let unread = fields.finish();
    let may_be_routes = [("api", Shape::List), ("routes", Shape::Map), ("unlisted_routes", Shape::Plain)];
    let misspelt = may_be_routes.iter().any(|(key, shape)| unread.may_be(key, *shape));
    service.routes_are_whole = apis_whole && judges_whole && routes_whole && !misspelt;
    service.hosts_are_whole = hosts_whole && !unread.may_be("hosts", Shape::List);
    RawService { hosts, apis, judges_unlisted: judges_unlisted.unwrap_or(false), routes, ..service }
}

/// One of the four levels.
pub(crate) fn sensitivity(node: &Node, file: &File<'_>) -> Option<Sensitivity> {
    let words = Sensitivity::ALL.map(|level| (level.as_str(), level));
    one_of(node, file, "a sensitivity such as `confidential`", &words)
}

fn unlisted_routes(node: &Node, file: &File<'_>) -> Option<bool> {
    one_of(node, file, "`deny` or `judge`", &[("deny", false), ("judge", true)])
}

fn api_path(node: &Node, file: &File<'_>) -> Option<String> {
    text(node, file, "a path such as `apis/ledger.yaml`").map(str::to_owned)
}

fn read_limits(node: &Node, file: &File<'_>) -> Option<ServiceLimits> {
    let mut fields = Fields::open(node, file, "`limits`")?;
    let standard = ServiceLimits::default();
    let limits = ServiceLimits {
        body: fields.take("body", size).unwrap_or(standard.body),
        first_byte: fields.take("first_byte", duration).unwrap_or(standard.first_byte),
        idle: fields.take("idle", duration).unwrap_or(standard.idle),
        total: fields.take("total", duration_or_none).unwrap_or(standard.total),
    };
    fields.finish();
    Some(limits)
}

/// The routes, and whether all of them could be read.
fn routes(node: &Node, file: &File<'_>) -> (Vec<RawRoute>, bool) {
    let Some(entries) = mapping(node, file, "`routes`") else { return (Vec::new(), false) };
    let routes: Vec<_> = entries.iter().filter_map(|entry| read_route(entry, file)).collect();
    let whole = node.dropped.is_empty() && routes.len() == entries.len();
    (routes, whole)
}

/// What does not fit is reported and left out, so that the route stays known.
fn read_route(entry: &Entry, file: &File<'_>) -> Option<RawRoute> {
    let name = route_name(&entry.key, &entry.key_span, file);
    let (effect, sensitivity, insecure_open) = read_attributes(&entry.node, file).unwrap_or_default();
    let (method, template) = name?;
    Some(RawRoute { span: entry.key_span.clone(), method, template, effect, sensitivity, insecure_open })
}

fn read_attributes(node: &Node, file: &File<'_>) -> Option<(Option<Effect>, Option<Sensitivity>, bool)> {
    let mut fields = Fields::open(node, file, "a route")?;
    let effect = fields.take("effect", |node, file| {
        one_of(node, file, "`read` or `write`", &[("read", Effect::Read), ("write", Effect::Write)])
    });
    let sensitivity = fields.take("sensitivity", sensitivity);
    let required = fields.optional("requires");
    if let Some(node) = required {
        requires(node, file);
    }
    let open = fields.optional("insecure_open");
    let insecure_open = open.and_then(|node| boolean(node, file)).unwrap_or(false);
    fields.finish();
    if let Some(node) = open.filter(|_| insecure_open && required.is_some()) {
        let message = "the route requires something of callers and is open to everyone".to_owned();
        bad_value(node, file, message, "leave out `requires`, or `insecure_open`");
    }
    Some((effect, sensitivity, insecure_open))
}

/// `METHOD /template`.
fn route_name(key: &str, span: &Range<usize>, file: &File<'_>) -> Option<(Method, Template)> {
    let Some((method, template)) = key.split_once(' ') else {
        let hint = Some("write a method and a path template: `\"GET /entries/{id}\"`".to_owned());
        file.error("route.name", span, format!("{} is not a route", quote(key)), hint);
        return None;
    };
    let method = self::method(method, span, file);
    let template = self::template(template.trim(), span, file);
    Some((method?, template?))
}

fn method(written: &str, span: &Range<usize>, file: &File<'_>) -> Option<Method> {
    let method = written.parse().ok();
    if method.is_none() {
        let known = Method::ALL.map(Method::as_str);
        let hint = suggest::hint(written, known, "methods");
        file.error("route.method", span, format!("{} is not a method", quote(written)), hint);
    }
    method
}

/// Reads a path template of a route.
pub(crate) fn template(written: &str, span: &Range<usize>, file: &File<'_>) -> Option<Template> {
    match Template::parse(written) {
        Ok(template) => Some(template),
        Err(error) => {
            let message = format!("{} is not a path template", quote(written));
            file.error("route.template", span, message, Some(error.to_string()));
            None
        }
    }
}
