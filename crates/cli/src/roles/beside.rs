//! The roles beside control in this process, as control needs them: the issuer, and the gateway where there is one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::admin::{Keys, Role};
use api::issuance::{IssueError, JwtSvid, Svid, WorkloadOrder};
use api::keys::{ForeignBundle, KeyState, KeyStep, Place, Succession};
use arc_swap::ArcSwap;
use control::metrics::Family;
use control::{Certificate, NotReady, Roles, Signature};
use issuer::{DomainRegistration, Issuer, Registrations, RotateError, WorkloadRegistration};
use trustdir::Revision;
use types::{KeyKind, Label, Selectors, SpiffeId, TrustDomain, WorkloadId};

use super::{enforcer, figures};
use crate::term::causes;

/// For how long the identity of a peer is good.
const PEER_LIFE: Duration = Duration::from_secs(24 * 3_600);

/// Issuer and gateway.
pub struct Beside {
    /// The issuer.
    pub issuer: Arc<Issuer>,
    /// What is held against whom, as enforcers see it.
    pub signals: Arc<ArcSwap<signal::State>>,
    /// What the gateway of this process counts; `None` where there is none.
    pub stats: Option<Arc<proxy::Stats>>,
}

impl Roles for Beside {
    /// The keys of new domains are made here: a publication that fails later leaves a key that nobody uses.
    fn prepare(&self, revision: &Revision) -> Result<(), NotReady> {
        self.issuer.hold(&domains(revision)).map_err(|error| NotReady { message: causes(&error), hint: error.hint() })
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

    fn sign(&self, message: &[u8]) -> Result<Signature, IssueError> {
        let (signature, chain) = self.issuer.sign(message)?;
        Ok(Signature { signature, chain })
    }

    fn system_root(&self) -> Vec<u8> {
        self.issuer.system_root()
    }

    fn mint_peer(&self, role: Role, name: &Label, csr_der: &[u8]) -> Result<Svid, IssueError> {
        self.issuer.mint_system(&[role.as_str(), name.as_str()], &[], csr_der, PEER_LIFE)
    }

    fn mint_operator(&self, name: &Label, csr_der: &[u8], life: Duration) -> Result<Svid, IssueError> {
        self.issuer.mint_system(&["operator", name.as_str()], &[], csr_der, life)
    }

    fn mint_workload_at(
        &self,
        place: &Place,
        selectors: &Selectors,
        order: &WorkloadOrder,
    ) -> Result<Svid, IssueError> {
        self.issuer.mint_workload_at(place, selectors, order)
    }

    fn mint_jwt_at(
        &self,
        place: &Place,
        selectors: &Selectors,
        id: &SpiffeId,
        audience: &[String],
    ) -> Result<JwtSvid, IssueError> {
        self.issuer.mint_jwt_at(place, selectors, id, audience)
    }

    fn key_states(&self) -> Vec<KeyState> {
        self.issuer.key_states()
    }

    fn rotate_keys(&self, domain: &Label, keys: Keys, step: KeyStep) -> Result<KeyState, IssueError> {
        self.issuer.rotate(domain, keys, step).map_err(|error| not_rotated(&error))
    }

    fn successions(&self) -> Vec<Succession> {
        self.issuer.successions()
    }

    fn set_federated(&self, federated: BTreeMap<TrustDomain, ForeignBundle>) {
        self.issuer.set_federated(federated);
    }

    fn mint_gateway(&self, proxy: &Label, domain: &Label, csr_der: &[u8]) -> Result<Svid, IssueError> {
        self.issuer.mint_for_gateway(domain, proxy, csr_der)
    }

    fn certificates(&self) -> Vec<Certificate> {
        let gateways = self.stats.iter().flat_map(|stats| enforcer::certificates(stats));
        let roots = self.issuer.roots_end().into_iter().map(|(domain, not_after)| Certificate {
            name: format!("the root of {domain}"),
            domain: domain.to_string(),
            is_root: true,
            not_after,
        });
        gateways.chain(roots).collect()
    }

    fn figures(&self) -> Vec<Family> {
        self.stats.as_ref().map(|stats| figures::of(&stats.snapshot())).unwrap_or_default()
    }
}

/// What cannot be done from here is the operator's question; what the disk did not take is ours.
fn not_rotated(error: &RotateError) -> IssueError {
    match error {
        RotateError::Refused(_) | RotateError::NotYet { .. } => IssueError::BadRequest(error.to_string()),
        RotateError::Files { .. } | RotateError::CannotMake { .. } => IssueError::Unavailable(causes(error)),
    }
}

/// The domains of a revision, and the kind of key that those begin with that are new.
pub fn domains(revision: &Revision) -> BTreeMap<Label, KeyKind> {
    revision.domains().values().map(|domain| (domain.name.clone(), domain.key)).collect()
}

/// What the issuer needs to know of a revision.
pub fn registrations(revision: &Revision) -> Registrations {
    // an identity of somebody else's trust domain is not ours to issue
    let own = revision.workloads().values().filter(|workload| !workload.federated);
    let workloads = own.map(|workload| {
        let registration = WorkloadRegistration {
            rules: workload.rules.clone(),
            ttl: workload.svid_ttl,
            jwt_ttl: workload.jwt_ttl,
            key: workload.key,
            runs_on: workload.runs_on.clone(),
        };
        (workload.id.clone(), registration)
    });
    let domains = revision.domains().values().map(|domain| {
        let hosts = revision.hosts_of(&domain.name);
        let registration = DomainRegistration { hosts, ttl: domain.svid_ttl, key: domain.key };
        (domain.name.clone(), registration)
    });
    Registrations { workloads: workloads.collect(), domains: domains.collect::<BTreeMap<_, _>>() }
}
