//! What of an organisation could not be read, so that a name which seems unknown is not held against a policy: it may be
//! one of those.

use std::collections::BTreeSet;

use types::{Label, ServiceId};

use crate::model::Model;

/// What a [`Model`] may lack, because the files it comes from have problems of their own. Nothing is lost by default.
///
/// Whatever a policy says about the rest is checked in full. About the lost nothing is said: a problem that would vanish
/// with another one helps nobody.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Lost {
    /// Whether there may be domains that the model does not hold.
    pub domains: bool,
    /// Domains that may have more services or workloads than the model holds.
    pub names: BTreeSet<Label>,
    /// Services that may have more routes than the model holds.
    pub routes: BTreeSet<ServiceId>,
    /// Domains that may accept or call more than the model says, each with the other domain, or `None` for every other.
    pub consent: BTreeSet<(Label, Option<Label>)>,
    /// Domains whose name is in doubt: what lies in their folders may belong to another.
    pub owners: BTreeSet<Label>,
    /// Whether there may be operators that the model does not hold.
    pub operators: bool,
    /// Whether there may be policies beside those that are given.
    pub policies: bool,
}

impl Lost {
    /// Whether a literal that names nothing may name something that is lost.
    pub(crate) fn may_hold(&self, model: &Model, entity_type: &str, id: &str) -> bool {
        let in_service = |id: &str| id.parse().is_ok_and(|id: ServiceId| self.may_hold_name(model, id.domain()));
        match entity_type {
            "Domain" => self.domains && Label::parse(id).is_ok(),
            "Operator" => self.operators,
            // A workload is written like a service.
            "Service" | "Workload" => in_service(id),
            "Route" => {
                let service = id.split_once(' ').map_or(id, |(service, _)| service);
                let known = service.parse().ok().filter(|id| model.service(id).is_some());
                known.map_or_else(|| in_service(service), |id| self.routes.contains(&id))
            }
            _ => false,
        }
    }

    /// Whether a domain may have services or workloads that the model does not hold.
    pub fn may_hold_name(&self, model: &Model, domain: &Label) -> bool {
        if model.domains.contains_key(domain) { self.names.contains(domain) } else { self.domains }
    }

    /// Whether a missing consent between two domains may be a lost one.
    pub fn may_consent(&self, provider: &Label, consumer: &Label) -> bool {
        let of = |domain: &Label, other: &Label| {
            let about = |other| self.consent.contains(&(domain.clone(), other));
            about(None) || about(Some(other.clone())) || self.owners.contains(domain)
        };
        of(provider, consumer) || of(consumer, provider)
    }
}
