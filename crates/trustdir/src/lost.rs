//! What could not be read, so that nothing which seems to be missing is reported because of it: it may be there once the
//! first problem is mended.

use std::collections::BTreeSet;

use types::{CanonicalRequest, Host, Label, ServiceId};

use crate::{
    domain::RawDomain,
    files::{Collected, Place, place},
};

/// What a trust directory may hold beside what was read.
#[derive(Default)]
pub(crate) struct Lost {
    /// What policies could speak about.
    pub(crate) names: policy::Lost,
    /// Domains that may claim more hosts.
    pub(crate) hosts: BTreeSet<Label>,
    /// Hosts that are claimed twice.
    pub(crate) disputed: BTreeSet<Host>,
}

impl Lost {
    /// Whether a host that nobody claims may be claimed.
    pub(crate) fn may_hold_host(&self) -> bool {
        self.names.domains || !self.hosts.is_empty()
    }

    /// Whether a request to a host of `domain` that leads nowhere may lead somewhere: to `service` where its path is the
    /// service's.
    pub(crate) fn may_hold_route(
        &self,
        request: &CanonicalRequest,
        domain: &Label,
        service: Option<&ServiceId>,
    ) -> bool {
        self.disputed.contains(request.host())
            || self.hosts.contains(domain)
            || service.is_some_and(|service| self.names.routes.contains(service))
    }

    /// Notes what a domain's file hides. `raw` is absent where the file could not be read at all.
    pub(crate) fn note_domain(&mut self, name: &Label, raw: Option<&RawDomain>) {
        if raw.is_none_or(|raw| !raw.names_are_whole) {
            self.names.names.insert(name.clone());
        }
        if raw.is_none_or(|raw| !raw.services_are_whole || raw.services.iter().any(|(_, it)| !it.hosts_are_whole)) {
            self.hosts.insert(name.clone());
        }
        if raw.is_none_or(|raw| !raw.consent_is_whole) {
            self.names.consent.insert((name.clone(), None));
        }
        if let Some(other) = raw.and_then(|raw| raw.other_name.as_ref()) {
            self.note_folder(name);
            self.note_domain(other, None);
        }
    }

    /// Notes that a folder may have the wrong name.
    pub(crate) fn note_folder(&mut self, name: &Label) {
        self.names.owners.insert(name.clone());
    }

    /// Notes what the files that were refused may hold. Gives back the domains of which nothing else is there.
    pub(crate) fn note_refused(&mut self, collected: &Collected) -> BTreeSet<Label> {
        let mut domains = BTreeSet::new();
        for path in &collected.refused {
            let parts: Vec<&str> = path.split('/').collect();
            match parts.as_slice() {
                // A link in place of a folder, or a file beside the folders.
                ["domains", name] => {
                    let stem = name.split_once('.').map_or(*name, |(stem, _)| stem);
                    self.names.policies = true;
                    match Label::parse(stem) {
                        Ok(name) => drop(domains.insert(name)),
                        Err(_) => self.names.domains = true,
                    }
                }
                ["domains", name, ..] if Label::parse(name).is_ok() => {}
                ["domains", ..] | [.., "domain.yaml" | "domain.yml"] => self.names.domains = true,
                _ => {}
            }
            self.names.policies |= match place(path) {
                Some(Place::Policy(_) | Place::Guardrail | Place::Admin) => true,
                Some(Place::Organisation | Place::Domain(_) | Place::Api(_) | Place::Test(_) | Place::Federation) => {
                    false
                }
                None => path.contains("polic") || path.contains(".ced"),
            };
        }
        domains
    }
}
