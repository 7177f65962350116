//! Both sides' consent: names must exist, and what only one side says is a call that is refused.

use core::ops::Range;
use std::collections::{BTreeMap, HashSet};

use types::{Label, ServiceId};

use crate::{
    decode::Spanned,
    domain::RawDomain,
    problem::{File, quote},
    suggest,
};

/// The domains of the directory; those whose file could not be read have no content and are not held against anybody.
pub(crate) type Domains<'a> = BTreeMap<Label, Option<(File<'a>, &'a RawDomain)>>;

/// Reports unknown names, and consent of one side only.
pub(crate) fn check(domains: &Domains<'_>) {
    let readable = || domains.iter().filter_map(|(name, content)| Some((name, (*content)?)));
    for (name, (file, domain)) in readable() {
        if file.sink.is_full() {
            return;
        }
        let side = Side { name, file, domain };
        for (caller, services) in domain.accepts_from.iter() {
            side.check_accepted(caller, services, domains);
        }
        for (workload, services) in domain.calls.iter() {
            side.check_workload(workload);
            services.iter().for_each(|service| side.check_called(service, domains));
        }
    }
    // A slip in one of the two files may be why the other side seems to be missing: that is mended first.
    let sound: BTreeMap<&Label, (File<'_>, &RawDomain)> =
        readable().filter(|(_, (file, _))| !file.has_errors()).collect();
    warn_provider_alone(&sound);
    warn_consumer_alone(&sound);
}

/// One domain of the two that must consent.
struct Side<'a> {
    name: &'a Label,
    file: File<'a>,
    domain: &'a RawDomain,
}

impl Side<'_> {
    fn check_accepted(&self, caller: &Spanned<Label>, services: &[Spanned<Label>], domains: &Domains<'_>) {
        if caller.value == *self.name {
            return warn_own(&caller.span, &self.file);
        }
        for service in services.iter().filter(|service| self.domain.services.get(&service.value).is_none()) {
            if self.domain.names_are_whole {
                let hint = suggest::hint(service.value.as_str(), names(self.domain.service_names()), "services");
                let message = format!("this domain has no service {}", quote(service.value.as_str()));
                self.file.error("name.unknown-service", &service.span, message, hint);
            }
        }
        self.check_domain(&caller.value, &caller.span, domains);
    }

    fn check_workload(&self, workload: &Spanned<Label>) {
        let name = workload.value.as_str();
        let domain = self.domain;
        if domain.workloads.get(&workload.value).is_some() || !domain.names_are_whole {
            return;
        }
        if domain.services.get(&workload.value).is_some() {
            let message = format!("nothing attests {}: it will never hold a credential to call with", quote(name));
            let hint = format!("add `{name}: {{ attest: … }}` to `workloads`");
            return self.file.warn("workload.no-attest", &workload.span, message, Some(hint));
        }
        let hint = suggest::hint(name, names(domain.workload_names()), "workloads");
        let message = format!("this domain has no workload {}", quote(name));
        self.file.error("name.unknown-workload", &workload.span, message, hint);
    }

    fn check_called(&self, service: &Spanned<ServiceId>, domains: &Domains<'_>) {
        let id = &service.value;
        if id.domain() == self.name {
            return warn_own(&service.span, &self.file);
        }
        let Some(other) = self.check_domain(id.domain(), &service.span, domains) else { return };
        if other.services.get(id.name()).is_none() && other.names_are_whole {
            let ids: Vec<String> = other.service_names().map(|name| format!("{}/{name}", id.domain())).collect();
            let hint = suggest::hint(&id.to_string(), ids.iter().map(String::as_str), "services");
            self.file.error("name.unknown-service", &service.span, format!("there is no service `{id}`"), hint);
        }
    }

    /// The content of a domain that is named; reports a name that is none.
    fn check_domain<'d>(&self, name: &Label, span: &Range<usize>, domains: &Domains<'d>) -> Option<&'d RawDomain> {
        if let Some(content) = domains.get(name) {
            return content.map(|(_, domain)| domain);
        }
        let hint = suggest::hint(name.as_str(), names(domains.keys()), "domains");
        self.file.error("name.unknown-domain", span, format!("there is no domain {}", quote(name.as_str())), hint);
        None
    }
}

type Sound<'a> = BTreeMap<&'a Label, (File<'a>, &'a RawDomain)>;

/// What the provider accepts and nobody of the consumer calls.
fn warn_provider_alone(domains: &Sound<'_>) {
    let called_by = |(name, (_, domain)): (&&Label, &(File<'_>, &RawDomain))| {
        let ids = domain.calls.iter().flat_map(|(_, ids)| ids);
        ids.map(|id| ((*name).clone(), id.value.clone())).collect::<Vec<_>>()
    };
    let called: HashSet<(Label, ServiceId)> = domains.iter().flat_map(called_by).collect();
    for (provider, (file, domain)) in domains {
        for (consumer, services) in domain.accepts_from.iter().filter(|(name, _)| name.value != **provider) {
            let Some((other, _)) = domains.get(&consumer.value) else { continue };
            for service in services {
                let id = ServiceId::new((*provider).clone(), service.value.clone());
                if !called.contains(&(consumer.value.clone(), id.clone())) {
                    let message = format!("no workload of {} calls `{id}`", quote(consumer.value.as_str()));
                    let hint = format!("add it to `calls` in {}, or leave it out here", other.path);
                    file.warn("consent.one-sided", &service.span, message, Some(hint));
                }
            }
        }
    }
}

/// What the consumer calls and the provider does not accept.
fn warn_consumer_alone(domains: &Sound<'_>) {
    let accepted_by = |(name, (_, domain)): (&&Label, &(File<'_>, &RawDomain))| {
        let pairs = domain.accepts_from.iter().flat_map(|(from, services)| services.iter().map(move |to| (from, to)));
        let id = |to: &Spanned<Label>| ServiceId::new((*name).clone(), to.value.clone());
        pairs.map(|(from, to)| (from.value.clone(), id(to))).collect::<Vec<_>>()
    };
    let accepted: HashSet<(Label, ServiceId)> = domains.iter().flat_map(accepted_by).collect();
    for (consumer, (file, domain)) in domains {
        for (workload, service) in domain.calls.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to))) {
            let id = &service.value;
            let Some((other, _)) = domains.get(id.domain()).filter(|_| id.domain() != *consumer) else { continue };
            if !accepted.contains(&((*consumer).clone(), id.clone())) {
                let (us, them) = (consumer, id.domain());
                let caller = &workload.value;
                let message = format!("`{them}` does not accept calls of `{us}/{caller}` to `{id}`: they are refused");
                let hint = format!("`accepts_from: {{ {us}: [{}] }}` in {} would accept them", id.name(), other.path);
                file.warn("consent.one-sided", &service.span, message, Some(hint));
            }
        }
    }
}

fn warn_own(span: &Range<usize>, file: &File<'_>) {
    let hint = Some("leave it out: inside a domain policies alone decide".to_owned());
    file.warn("consent.own-domain", span, "consent inside the own domain is implied".to_owned(), hint);
}

fn names<'l>(labels: impl Iterator<Item = &'l Label>) -> Vec<&'l str> {
    labels.map(Label::as_str).collect()
}
