//! `domains/NAME/domain.yaml`: one segment of the business.

use core::time::Duration;

use types::{Label, ServiceId};

use crate::{
    decode::{Fields, Named, Spanned, items, mapping, parsed},
    organisation::{requires, svid},
    problem::{File, quote},
    service::{self, RawService},
    workload::{self, RawWorkload},
    yaml::{Entry, Node},
};

/// A domain as written. Entries whose name does not fit are reported and left out.
#[derive(Default)]
pub(crate) struct RawDomain {
    pub(crate) accepts_from: Named<Vec<Spanned<Label>>>,
    pub(crate) calls: Named<Vec<Spanned<ServiceId>>>,
    pub(crate) svid_ttl: Option<Spanned<Duration>>,
    pub(crate) services: Named<RawService>,
    pub(crate) workloads: Named<RawWorkload>,
    /// Whether every key and name could be read. Where not, a name that seems unknown may be one of those.
    pub(crate) names_are_whole: bool,
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
        check_name(node, file, folder);
    }
    let mut whole = true;
    let service = |entry: &Entry| items(&entry.node, file, "a list of services of this domain", label);
    domain.accepts_from = named(fields.optional("accepts_from"), file, "`accepts_from`", &mut whole, service);
    let called = |entry: &Entry| items(&entry.node, file, "a list of services such as `hr/people`", service_id);
    domain.calls = named(fields.optional("calls"), file, "`calls`", &mut whole, called);
    fields.take("requires", requires);
    domain.svid_ttl = fields.take("svid", svid);
    let service = |entry: &Entry| service::read(&entry.node, file);
    domain.services = named(fields.optional("services"), file, "`services`", &mut whole, service);
    let workload = |entry: &Entry| workload::read(&entry.node, file);
    domain.workloads = named(fields.optional("workloads"), file, "`workloads`", &mut whole, workload);
    domain.names_are_whole = fields.finish() && whole;
    domain
}

fn check_name(node: &Node, file: &File<'_>, folder: &Label) {
    let Some(name) = label(node, file) else { return };
    if name != *folder {
        let message = format!("the domain {} lies in the folder {}", quote(name.as_str()), quote(folder.as_str()));
        file.error(
            "domain.folder",
            node.point(),
            message,
            Some(format!("write `domain: {folder}`, or rename the folder")),
        );
    }
}

/// The entries of a mapping whose keys are names. `whole` becomes false where one could not be read.
fn named<T>(
    node: Option<&Node>,
    file: &File<'_>,
    want: &str,
    whole: &mut bool,
    read: impl Fn(&Entry) -> T,
) -> Named<T> {
    let Some(node) = node else { return Named::default() };
    let Some(entries) = mapping(node, file, want) else {
        *whole = false;
        return Named::default();
    };
    // The value is read even where the name does not fit, so that its problems are reported too.
    let read: Vec<_> = entries.iter().map(|entry| (key(entry, file), read(entry))).collect();
    *whole &= read.iter().all(|(name, _)| name.is_some());
    read.into_iter().filter_map(|(name, value)| Some((name?, value))).collect()
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
