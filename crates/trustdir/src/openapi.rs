//! OpenAPI 3.0 and 3.1 descriptions: which methods and paths a service has.
//!
//! Read are `paths`, their methods, and the extension `x-sensitivity` of an operation. Everything else is left to other
//! tools. The paths are taken as they stand: the path of a `servers` URL is **not** put before them, because requests
//! reach the upstream with the path that the caller wrote. A description whose real paths begin with `/v1` must say so
//! in `paths`.

use core::ops::Range;

use policy::model::Sensitivity;
use types::{Method, Template, limits};

use crate::{
    decode::{mapping, wrong_type},
    problem::{File, quote},
    service::{sensitivity, template},
    suggest,
    yaml::{Entry, Node, Value},
};

/// An operation of an API description.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) template: Template,
    pub(crate) sensitivity: Option<Sensitivity>,
    /// The method's key.
    pub(crate) span: Range<usize>,
}

/// An API description as far as it could be read.
#[derive(Default)]
pub(crate) struct Description {
    pub(crate) operations: Vec<Operation>,
    /// Whether every operation could be read.
    pub(crate) is_whole: bool,
}

/// What a path item may hold beside methods (OpenAPI 3.1.0 4.8.9).
const OTHER_KEYS: [&str; 4] = ["summary", "description", "servers", "parameters"];

/// Reads a description. What does not fit is reported and left out.
pub(crate) fn read(root: &Node, file: &File<'_>) -> Description {
    if check_version(root, file).is_none() {
        return Description::default();
    }
    let Some(paths) = root.get("paths") else {
        let message = "the description has no `paths`".to_owned();
        file.error("openapi.no-paths", &root.at, message, None);
        return Description::default();
    };
    let Some(items) = mapping(&paths.node, file, "`paths`") else { return Description::default() };
    let mut description = Description { operations: Vec::new(), is_whole: paths.node.dropped.is_empty() };
    items.iter().filter(|item| !is_extension(item)).for_each(|item| read_item(item, file, &mut description));
    let operations = &description.operations;
    if let Some(first_beyond) = operations.get(limits::SERVICE_ROUTES.default_usize()) {
        let message = format!("the description has more than {} operations", limits::SERVICE_ROUTES.default);
        file.error("openapi.too-many", &first_beyond.span, message, None);
        return Description::default();
    }
    description
}

fn check_version(root: &Node, file: &File<'_>) -> Option<()> {
    mapping(root, file, "an OpenAPI description")?;
    let refuse = |span: &Range<usize>, message: String| {
        let hint = Some("an OpenAPI description starts with `openapi: 3.0.x` or `openapi: 3.1.x`".to_owned());
        file.error("openapi.version", span, message, hint);
        None
    };
    if let Some(old) = root.get("swagger") {
        return refuse(&old.key_span, "OpenAPI 2.0 is not read".to_owned());
    }
    let Some(version) = root.get("openapi") else {
        return refuse(&root.at, "this is not an OpenAPI description: it has no `openapi`".to_owned());
    };
    let text = match &version.node.value {
        Value::Text(text) | Value::Number(text) => text.as_str(),
        _ => "",
    };
    let known =
        ["3.0", "3.1"].iter().any(|known| text.strip_prefix(known).is_some_and(|r| r.is_empty() || r.starts_with('.')));
    if known {
        Some(())
    } else {
        refuse(version.node.point(), format!("{} is not a version that is read", quote(text)))
    }
}

fn is_extension(entry: &Entry) -> bool {
    entry.key.starts_with("x-")
}

fn read_item(item: &Entry, file: &File<'_>, description: &mut Description) {
    let template = template(&item.key, &item.key_span, file);
    let entries = template.as_ref().and_then(|_| mapping(&item.node, file, "a path"));
    description.is_whole &= entries.is_some() && item.node.dropped.is_empty();
    let (Some(template), Some(entries)) = (template, entries) else { return };
    let is_other = |entry: &&Entry| is_extension(entry) || OTHER_KEYS.contains(&entry.key.as_str());
    for entry in entries.iter().filter(|entry| !is_other(entry)) {
        let name = |method: Method| method.as_str().to_ascii_lowercase();
        match Method::ALL.into_iter().find(|method| name(*method) == entry.key) {
            Some(method) => description.operations.push(read_operation(method, entry, &template, file)),
            // A request with TRACE never gets as far as a route.
            None => description.is_whole &= file.watch(|| refuse_key(entry, file)).1,
        }
    }
}

fn refuse_key(entry: &Entry, file: &File<'_>) {
    let (key, span) = (entry.key.as_str(), &entry.key_span);
    match key {
        "trace" => {
            let hint = Some("TRACE is refused before routing".to_owned());
            file.warn("openapi.trace", span, "this operation can never be called".to_owned(), hint);
        }
        "$ref" => {
            let hint = Some("write the path's operations here".to_owned());
            file.error("openapi.ref", span, "a path that stands elsewhere is not read".to_owned(), hint);
        }
        _ => {
            let lower = Method::ALL.map(|method| method.as_str().to_ascii_lowercase());
            let known = lower.iter().map(String::as_str).chain(OTHER_KEYS);
            let hint = suggest::nearest(key, known).map(|name| format!("did you mean `{name}`?"));
            file.error("yaml.unknown-key", span, format!("unknown key {}", quote(key)), hint);
        }
    }
}

/// What does not fit is reported and left out, so that the route stays known.
fn read_operation(method: Method, entry: &Entry, template: &Template, file: &File<'_>) -> Operation {
    if !matches!(&entry.node.value, Value::Map(_)) {
        wrong_type(&entry.node, file, "the keys of an operation", None);
    }
    let level = entry.node.get("x-sensitivity").and_then(|level| sensitivity(&level.node, file));
    Operation { method, template: template.clone(), sensitivity: level, span: entry.key_span.clone() }
}
