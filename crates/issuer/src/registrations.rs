//! Who may have which identity: what the issuer takes from a revision.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use types::{Host, Label, SpiffeId, TrustDomain, AttestRule, WorkloadId};

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
    /// The node groups that it may run on; `None` for only the node that shares the issuer's process.
    pub runs_on: Option<BTreeSet<Label>>,
}

/// Where a workload is that asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// On the node that shares the issuer's process, which belongs to every group.
    Everywhere,
    /// On a node of these groups.
    Groups(BTreeSet<Label>),
}

impl Place {
    /// Whether a workload may run here.
    pub fn takes(&self, registration: &WorkloadRegistration) -> bool {
        match (self, &registration.runs_on) {
            (Self::Everywhere, _) => true,
            (Self::Groups(groups), Some(placed)) => !placed.is_disjoint(groups),
            (Self::Groups(_), None) => false,
        }
    }
}

/// What the gateways of a domain are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DomainRegistration {
    /// They become DNS names of each gateway's certificate.
    pub hosts: Vec<Host>,
    /// Life of a gateway's certificate, in whole seconds.
    pub ttl: Duration,
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
