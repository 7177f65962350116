//! The roles beside control in this process, as control needs them: the issuer and the gateway.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::issuance::{IssueError, Svid};
use arc_swap::ArcSwap;
use control::metrics::Family;
use control::{Certificate, NotReady, Roles};
use issuer::{DomainRegistration, Issuer, Registrations, WorkloadRegistration};
use trustdir::Revision;
use types::{Label, WorkloadId};

use super::figures;
use super::start::words;

/// Issuer and gateway.
pub struct Beside {
    /// The issuer.
    pub issuer: Arc<Issuer>,
    /// What is held against whom, as enforcers see it.
    pub signals: Arc<ArcSwap<signal::State>>,
    /// What the gateway counts.
    pub stats: Arc<proxy::Stats>,
}

impl Roles for Beside {
    /// The keys of new domains are made here: a publication that fails later leaves a key that nobody uses.
    fn prepare(&self, revision: &Revision) -> Result<(), NotReady> {
        let domains: Vec<Label> = revision.domains().keys().cloned().collect();
        self.issuer.hold(&domains).map_err(|error| NotReady { message: words(&error), hint: error.hint() })
    }

    fn apply(&self, revision: &Revision) {
        self.issuer.set_registrations(registrations(revision));
    }

    fn signals_changed(&self) {
        self.issuer.set_signals(self.signals.load_full());
    }

    fn impersonate(&self, workload: &WorkloadId, operator: &str, csr_der: &[u8]) -> Result<Svid, IssueError> {
        self.issuer.mint_impersonation(workload, operator, csr_der)
    }

    fn certificates(&self) -> Vec<Certificate> {
        let gateways = self.stats.certificates().into_iter().map(|(domain, not_after)| Certificate {
            name: format!("the gateway's certificate for {domain}"),
            domain: domain.to_string(),
            is_root: false,
            not_after,
        });
        let roots = self.issuer.roots_end().into_iter().map(|(domain, not_after)| Certificate {
            name: format!("the root of {domain}"),
            domain: domain.to_string(),
            is_root: true,
            not_after,
        });
        gateways.chain(roots).collect()
    }

    fn figures(&self) -> Vec<Family> {
        figures::of(&self.stats.snapshot())
    }
}

/// What the issuer needs to know of a revision.
pub fn registrations(revision: &Revision) -> Registrations {
    let workloads = revision.workloads().values().map(|workload| {
        let registration = WorkloadRegistration { rules: workload.rules.clone(), ttl: workload.svid_ttl };
        (workload.id.clone(), registration)
    });
    let domains = revision.domains().values().map(|domain| {
        let registration = DomainRegistration { hosts: revision.hosts_of(&domain.name), ttl: domain.svid_ttl };
        (domain.name.clone(), registration)
    });
    Registrations { workloads: workloads.collect(), domains: domains.collect::<BTreeMap<_, _>>() }
}
