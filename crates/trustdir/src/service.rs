//! A service of `domain.yaml`.

use core::{ops::Range, time::Duration};

use policy::model::{Effect, Sensitivity};
use types::{Method, Template, limits};

use crate::{
    decode::{Fields, Spanned, duration, duration_or_none, items, mapping, one_of, size, text},
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
    pub(crate) upstream: Upstream,
    pub(crate) apis: Vec<Spanned<String>>,
    pub(crate) sensitivity: Sensitivity,
    pub(crate) judges_unlisted: bool,
    pub(crate) routes: Vec<RawRoute>,
    /// Whether routes or descriptions are written at all, readable or not.
    pub(crate) says_routes: bool,
    pub(crate) limits: ServiceLimits,
}

/// An entry of `routes`: an addition, or an exception to what the API description says.
pub(crate) struct RawRoute {
    pub(crate) span: Range<usize>,
    pub(crate) method: Method,
    pub(crate) template: Template,
    pub(crate) effect: Option<Effect>,
    pub(crate) sensitivity: Option<Sensitivity>,
}

/// Data of a service that says nothing: what stays inside the organisation.
const DEFAULT_SENSITIVITY: Sensitivity = Sensitivity::Internal;

/// Reads a service. What does not fit is reported and left out, so that its name stays known.
pub(crate) fn read(node: &Node, file: &File<'_>) -> RawService {
    let mut service = RawService {
        hosts: Vec::new(),
        upstream: Upstream::default(),
        apis: Vec::new(),
        sensitivity: DEFAULT_SENSITIVITY,
        judges_unlisted: false,
        routes: Vec::new(),
        says_routes: false,
        limits: ServiceLimits::default(),
    };
    let Some(mut fields) = Fields::open(node, file, "a service") else { return service };
    if let Some(node) = fields.required("hosts", "hosts: [ledger.acme.internal]") {
        service.hosts = items(node, file, "a list of hosts", host::read);
    }
    if let Some(node) = fields.required("upstream", "upstream: { urls: [http://127.0.0.1:7101] }") {
        service.upstream = upstream::read(node, file).unwrap_or_default();
    }
    let apis = fields.take("api", |node, file| Some(items(node, file, "a list of API descriptions", api_path)));
    service.apis = apis.unwrap_or_default();
    service.sensitivity = fields.take("sensitivity", sensitivity).unwrap_or(DEFAULT_SENSITIVITY);
    service.judges_unlisted = fields.take("unlisted_routes", unlisted_routes).unwrap_or(false);
    fields.take("requires", requires);
    let written = fields.optional("routes");
    service.says_routes = node.get("api").is_some() || written.is_some_and(|node| node.value != Value::Map(Vec::new()));
    service.routes = written.map(|node| routes(node, file)).unwrap_or_default();
    service.limits = fields.take("limits", read_limits).unwrap_or_default();
    service.says_routes |= !fields.finish();
    service
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

fn routes(node: &Node, file: &File<'_>) -> Vec<RawRoute> {
    let entries = mapping(node, file, "`routes`").unwrap_or_default();
    entries.iter().filter_map(|entry| read_route(entry, file)).collect()
}

fn read_route(entry: &Entry, file: &File<'_>) -> Option<RawRoute> {
    let name = route_name(&entry.key, &entry.key_span, file);
    let mut fields = Fields::open(&entry.node, file, "a route")?;
    let effect = fields.take("effect", |node, file| {
        one_of(node, file, "`read` or `write`", &[("read", Effect::Read), ("write", Effect::Write)])
    });
    let sensitivity = fields.take("sensitivity", sensitivity);
    fields.take("requires", requires);
    fields.finish();
    let (method, template) = name?;
    Some(RawRoute { span: entry.key_span.clone(), method, template, effect, sensitivity })
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
