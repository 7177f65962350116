//! Both sides' consent: names must exist, and what only one side says is a call that is refused.

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use types::{Label, Mode, ServiceId};

use crate::{
    decode::Spanned,
    domain::RawDomain,
    lost::Lost,
    problem::{File, quote},
    suggest,
};

/// The domains of the directory; those whose file could not be read have no content and are not held against anybody.
pub(crate) type Domains<'a> = BTreeMap<Label, Option<(File<'a>, &'a RawDomain)>>;

/// Reports unknown names, and consent of one side only. What names nothing that is known makes its side uncertain, which
/// is added to what is `lost`.
pub(crate) fn check(domains: &Domains<'_>, lost: &mut Lost) {
    let readable = || domains.iter().filter_map(|(name, content)| Some((name, (*content)?)));
    for (name, (file, domain)) in readable() {
        if file.sink.is_full() {
            return;
        }
        let side = Side { name, file, domain };
        let mut doubts = BTreeSet::new();
        for (caller, services) in domain.accepts_from.iter() {
            doubts.extend(side.check_accepted(caller, services, domains, lost));
        }
        for (workload, services) in domain.calls.iter() {
            let is_known = side.check_workload(workload);
            for service in services {
                let doubt = side.check_called(service, domains, lost);
                doubts.extend(doubt.or((!is_known).then(|| Doubt::About(service.value.domain().clone()))));
            }
        }
        lost.names.consent.extend(doubts.into_iter().map(|doubt| (name.clone(), doubt.about())));
    }
    let read: Content<'_> = readable().collect();
    warn_provider_alone(&read, lost);
    warn_consumer_alone(&read, lost);
}

/// Whose consent is uncertain because a name in it is not known.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Doubt {
    /// The one that is given to a domain, or asked of it.
    About(Label),
    /// Any.
    Any,
}

impl Doubt {
    fn about(self) -> Option<Label> {
        match self {
            Self::About(domain) => Some(domain),
            Self::Any => None,
        }
    }
}

/// One domain of the two that must consent.
struct Side<'a> {
    name: &'a Label,
    file: File<'a>,
    domain: &'a RawDomain,
}

impl Side<'_> {
    fn check_accepted(
        &self,
        caller: &Spanned<Label>,
        services: &[Spanned<Label>],
        domains: &Domains<'_>,
        lost: &Lost,
    ) -> Option<Doubt> {
        if caller.value == *self.name {
            warn_own(&caller.span, &self.file);
            return None;
        }
        let is_known = |service: &Spanned<Label>| self.domain.services.get(&service.value).is_some();
        for service in services.iter().filter(|service| !is_known(service)) {
            if self.domain.names_are_whole {
                let hint = suggest::hint(service.value.as_str(), names(self.domain.service_names()), "services");
                let message = format!("this domain has no service {}", quote(service.value.as_str()));
                self.file.error("name.unknown-service", &service.span, message, hint);
            }
        }
        let doubt = || Doubt::About(caller.value.clone());
        match self.check_domain(&caller.value, &caller.span, domains, lost) {
            Known::Nothing => Some(Doubt::Any),
            Known::Name | Known::Content(_) => (!services.iter().all(is_known)).then(doubt),
        }
    }

    /// Whether the workload is known.
    fn check_workload(&self, workload: &Spanned<Label>) -> bool {
        let name = workload.value.as_str();
        let domain = self.domain;
        if domain.workloads.get(&workload.value).is_some() {
            return true;
        }
        if !domain.names_are_whole {
            return false;
        }
        if domain.services.get(&workload.value).is_some() {
            let message = format!("nothing attests {}: it will never hold a credential to call with", quote(name));
            let hint = format!("add `{name}: {{ attest: … }}` to `workloads`");
            self.file.warn("workload.no-attest", &workload.span, message, Some(hint));
            return true;
        }
        let hint = suggest::hint(name, names(domain.workload_names()), "workloads");
        let message = format!("this domain has no workload {}", quote(name));
        self.file.error("name.unknown-workload", &workload.span, message, hint);
        false
    }

    fn check_called(&self, service: &Spanned<ServiceId>, domains: &Domains<'_>, lost: &Lost) -> Option<Doubt> {
        let id = &service.value;
        if id.domain() == self.name {
            warn_own(&service.span, &self.file);
            return None;
        }
        let other = match self.check_domain(id.domain(), &service.span, domains, lost) {
            Known::Nothing => return Some(Doubt::Any),
            Known::Name => return Some(Doubt::About(id.domain().clone())),
            Known::Content(other) => other,
        };
        if other.services.get(id.name()).is_some() {
            return None;
        }
        if other.names_are_whole {
            let ids: Vec<String> = other.service_names().map(|name| format!("{}/{name}", id.domain())).collect();
            let hint = suggest::hint(&id.to_string(), ids.iter().map(String::as_str), "services");
            self.file.error("name.unknown-service", &service.span, format!("there is no service `{id}`"), hint);
        }
        Some(Doubt::About(id.domain().clone()))
    }

    /// What is known of a domain that is named; reports a name that is none.
    fn check_domain<'d>(&self, name: &Label, span: &Range<usize>, domains: &Domains<'d>, lost: &Lost) -> Known<'d> {
        if let Some(content) = domains.get(name) {
            return content.map_or(Known::Name, |(_, domain)| Known::Content(domain));
        }
        if lost.names.domains {
            return Known::Nothing;
        }
        let hint = suggest::hint(name.as_str(), names(domains.keys()), "domains");
        self.file.error("name.unknown-domain", span, format!("there is no domain {}", quote(name.as_str())), hint);
        Known::Nothing
    }
}

/// What is known of a domain.
enum Known<'d> {
    Nothing,
    Name,
    Content(&'d RawDomain),
}

/// The domains whose files could be read.
type Content<'a> = BTreeMap<&'a Label, (File<'a>, &'a RawDomain)>;

/// What the provider accepts and nobody of the consumer calls.
fn warn_provider_alone(domains: &Content<'_>, lost: &Lost) {
    let called_by = |(name, (_, domain)): (&&Label, &(File<'_>, &RawDomain))| {
        let ids = domain.calls.iter().flat_map(|(_, ids)| ids);
        ids.map(|id| ((*name).clone(), id.value.clone())).collect::<Vec<_>>()
    };
    let called: HashSet<(Label, ServiceId)> = domains.iter().flat_map(called_by).collect();
    for (provider, (file, domain)) in domains {
        for (consumer, services) in domain.accepts_from.iter().filter(|(name, _)| name.value != **provider) {
            let Some((other, _)) = domains.get(&consumer.value) else { continue };
            // A slip on either side may be why the other seems to be missing: that is mended first.
            if lost.names.may_consent(provider, &consumer.value) {
                continue;
            }
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
fn warn_consumer_alone(domains: &Content<'_>, lost: &Lost) {
    let accepted_by = |(name, (_, domain)): (&&Label, &(File<'_>, &RawDomain))| {
        let pairs = domain.accepts_from.iter().flat_map(|(from, services)| services.iter().map(move |to| (from, to)));
        let id = |to: &Spanned<Label>| ServiceId::new((*name).clone(), to.value.clone());
        pairs.map(|(from, to)| (from.value.clone(), id(to))).collect::<Vec<_>>()
    };
    let accepted: HashSet<(Label, ServiceId)> = domains.iter().flat_map(accepted_by).collect();
    for (consumer, (file, domain)) in domains {
        for (workload, service) in domain.calls.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to))) {
            let id = &service.value;
            let Some((other, raw)) = domains.get(id.domain()).filter(|_| id.domain() != *consumer) else { continue };
            let uncertain = lost.names.may_consent(id.domain(), consumer);
            if !uncertain && !accepted.contains(&((*consumer).clone(), id.clone())) {
                let (us, them) = (consumer, id.domain());
                let caller = &workload.value;
                let fate = if raw.modes.consent() == Mode::Enforce { "refused" } else { "noted" };
                let message = format!("`{them}` does not accept calls of `{us}/{caller}` to `{id}`: they are {fate}");
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
