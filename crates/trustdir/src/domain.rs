//! `domains/NAME/domain.yaml`: one segment of the business.

use types::{Label, ServiceId};

use crate::{
    decode::{Fields, Named, Shape, Spanned, items, mapping, parsed},
    modes::{self, RawModes},
    operator::{self, Owner},
    organisation::requires,
    problem::{File, quote},
    service::{self, RawService},
    stale::{self, RawStaleness},
    svid::{self, RawSvid},
    workload::{self, RawWorkload},
    yaml::{Entry, Node},
};

/// A domain as written. Entries whose name does not fit are reported and left out.
#[derive(Default)]
pub(crate) struct RawDomain {
    pub(crate) accepts_from: Named<Vec<Spanned<Label>>>,
    pub(crate) calls: Named<Vec<Spanned<ServiceId>>>,
    pub(crate) svid: RawSvid,
    pub(crate) modes: RawModes,
    pub(crate) stale: RawStaleness,
    /// The domain's own; empty where the organisation's are its owners.
    pub(crate) owners: Vec<Spanned<Owner>>,
    pub(crate) services: Named<RawService>,
    pub(crate) workloads: Named<RawWorkload>,
    /// Whether the name of every service and workload could be read. Where not, a name that seems unknown may be one of
    /// those.
    pub(crate) names_are_whole: bool,
    /// Whether the name of every service could be read.
    pub(crate) services_are_whole: bool,
    /// Whether everything in `accepts_from` and `calls` could be read.
    pub(crate) consent_is_whole: bool,
    /// The name that the file gives the domain, where that is not the folder's.
    pub(crate) other_name: Option<Label>,
}

impl RawDomain {
    /// The names of the services.
    pub(crate) fn service_names(&self) -> impl Iterator<Item = &Label> + Clone {
        self.services.iter().map(|(name, _)| &name.value)
    }

    /// The names of the workloads, those implied by services included; a name may come twice.
    pub(crate) fn workload_names(&self) -> impl Iterator<Item = &Label> + Clone {
        self.workloads.iter().map(|(name, _)| &name.value).chain(self.service_names())
    }
}

/// Reads a file. `folder` is the folder's name, which the domain must have.
pub(crate) fn read(root: &Node, file: &File<'_>, folder: &Label) -> RawDomain {
    let mut domain = RawDomain::default();
    let Some(mut fields) = Fields::open(root, file, "a domain") else { return domain };
    if let Some(node) = fields.required("domain", "domain: finance") {
        domain.other_name = check_name(node, file, folder);
    }
    let service = |entry: &Entry| items(&entry.node, file, "a list of services of this domain", label);
    let (accepts, accepts_whole) =
        file.watch(|| named(fields.optional("accepts_from"), file, "`accepts_from`", service).0);
    let called = |entry: &Entry| items(&entry.node, file, "a list of services such as `hr/people`", service_id);
    let (calls, calls_whole) = file.watch(|| named(fields.optional("calls"), file, "`calls`", called).0);
    fields.take("requires", requires);
    domain.svid = fields.take("svid", svid::read).unwrap_or_default();
    domain.modes = modes::read(&mut fields);
    domain.stale = stale::read(&mut fields);
    domain.owners = fields.take("owners", operator::owners).unwrap_or_default();
    let service = |entry: &Entry| service::read(&entry.node, file);
    let (services, services_whole) = named(fields.optional("services"), file, "`services`", service);
    let workload = |entry: &Entry| workload::read(&entry.node, file);
    let (workloads, workloads_whole) = named(fields.optional("workloads"), file, "`workloads`", workload);
    let unread = fields.finish();
    let is_there = |key| !unread.may_be(key, Shape::Map);
    domain.services_are_whole = services_whole && is_there("services");
    domain.names_are_whole = domain.services_are_whole && workloads_whole && is_there("workloads");
    domain.consent_is_whole = accepts_whole && calls_whole && is_there("accepts_from") && is_there("calls");
    RawDomain { accepts_from: accepts, calls, services, workloads, ..domain }
}

/// Gives back a name that is not the folder's.
fn check_name(node: &Node, file: &File<'_>, folder: &Label) -> Option<Label> {
    let name = label(node, file).filter(|name| name != folder)?;
    let message = format!("the domain {} lies in the folder {}", quote(name.as_str()), quote(folder.as_str()));
    let hint = format!("write `domain: {folder}`, or rename the folder");
    file.error("domain.folder", node.point(), message, Some(hint));
    Some(name)
}

/// The entries of a mapping whose keys are names, and whether every name could be read.
pub(crate) fn named<T>(
    node: Option<&Node>,
    file: &File<'_>,
    want: &str,
    read: impl Fn(&Entry) -> T,
) -> (Named<T>, bool) {
    let Some(node) = node else { return (Named::default(), true) };
    let Some(entries) = mapping(node, file, want) else { return (Named::default(), false) };
    // The value is read even where the name does not fit, so that its problems are reported too.
    let read: Vec<_> = entries.iter().map(|entry| (key(entry, file), read(entry))).collect();
    let whole = node.dropped.is_empty() && read.iter().all(|(name, _)| name.is_some());
    (read.into_iter().filter_map(|(name, value)| Some((name?, value))).collect(), whole)
}

fn key(entry: &Entry, file: &File<'_>) -> Option<Spanned<Label>> {
    match Label::parse(&entry.key) {
        Ok(value) => Some(Spanned { value, span: entry.key_span.clone() }),
        Err(_) => {
            let hint = Some("use 1 to 63 of a-z, 0-9 and dash, starting with a letter".to_owned());
            file.error("value.name", &entry.key_span, format!("{} is not a name", quote(&entry.key)), hint);
            None
        }
    }
}

/// A name.
pub(crate) fn label(node: &Node, file: &File<'_>) -> Option<Label> {
    parsed(node, file, "a name", Label::parse)
}

fn service_id(node: &Node, file: &File<'_>) -> Option<ServiceId> {
    parsed(node, file, "a service such as `hr/people`", str::parse)
}
