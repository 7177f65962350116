//! Who may have which identity: what the issuer takes from a revision.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use api::keys::Place;
use types::{AttestRule, Host, KeyKind, Label, Selectors, SpiffeId, TrustDomain, WorkloadId};

/// Everything that is registered, as one piece.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registrations {
    /// Callers. A workload whose domain the issuer does not hold is not issued.
    pub workloads: BTreeMap<WorkloadId, WorkloadRegistration>,
    /// Domains with the hosts that their gateways serve.
    pub domains: BTreeMap<Label, DomainRegistration>,
}

/// How a workload is recognised, and for how long its certificates are good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkloadRegistration {
    /// Any one of them suffices. Without any, no process is recognised.
    pub rules: Vec<AttestRule>,
    /// Life of a certificate, in whole seconds.
    pub ttl: Duration,
    /// Life of a JWT-SVID, in whole seconds.
    pub jwt_ttl: Duration,
    /// The kind of the workload's own key, which agents are told.
    pub key: KeyKind,
    /// The node groups that it may run on; `None` for only the node that shares the issuer's process.
    pub runs_on: Option<BTreeSet<Label>>,
}

impl WorkloadRegistration {
    /// Whether it may run at a place.
    pub(crate) fn runs_at(&self, place: &Place) -> bool {
        match (place, &self.runs_on) {
            (Place::Everywhere, _) => true,
            (Place::Node { groups, .. }, Some(placed)) => !placed.is_disjoint(groups),
            (Place::Node { .. }, None) => false,
        }
    }

    /// The first rule that recognises a process, counted from 1.
    pub(crate) fn recognised_by(&self, selectors: &Selectors) -> Option<usize> {
        self.rules.iter().position(|rule| rule.matches(selectors)).map(|index| index.saturating_add(1))
    }
}

/// What the gateways of a domain are, and its keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DomainRegistration {
    /// They become DNS names of each gateway's certificate.
    pub hosts: Vec<Host>,
    /// Life of a gateway's certificate, in whole seconds.
    pub ttl: Duration,
    /// The kind of the domain's own keys: of those that are made from here on.
    pub key: KeyKind,
}

/// The trust domain of a business domain: `<domain>.<organisation>`. `None` when the joined name is too long.
pub(crate) fn trust_domain(domain: &Label, organisation: &TrustDomain) -> Option<TrustDomain> {
    TrustDomain::parse(&format!("{domain}.{organisation}")).ok()
}

/// The SPIFFE ID of a workload. `None` when the joined name is too long.
pub(crate) fn workload_id(workload: &WorkloadId, organisation: &TrustDomain) -> Option<SpiffeId> {
    let domain = trust_domain(workload.domain(), organisation)?;
    SpiffeId::from_segments(&domain, &[workload.name().as_str()]).ok()
}
