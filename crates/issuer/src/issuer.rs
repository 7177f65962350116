//! Who gets what: registrations and selectors in, recorded certificates out.

use core::fmt;
use core::future::ready;
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use api::issuance::{Answer, Bundles, Issuance, IssueError, Svid};
use tokio::sync::watch;
use types::{Clock, Label, Selectors, SpiffeId, Timestamp, TrustDomain, WorkloadId};

use crate::authority::{Authority, Order};
use crate::error::OpenError;
use crate::record::{Asked, Book, Recorder};
use crate::registrations::{Registrations, WorkloadRegistration, trust_domain, workload_id};
use crate::request;
use crate::store::{self, Slot};

/// The life of an impersonation certificate (DESIGN section 10).
pub const IMPERSONATION_SECONDS: u64 = 300;

/// The issuer of one organisation.
pub struct Issuer {
    directory: PathBuf,
    organisation: TrustDomain,
    clock: Arc<dyn Clock>,
    book: Book,
    state: RwLock<Arc<State>>,
    /// INVARIANT: changed only while `state` is locked for writing, so that a reader of both sees them agree.
    changes: watch::Sender<u64>,
}

/// Replaced whole.
#[derive(Clone, Default)]
struct State {
    authorities: BTreeMap<Label, Arc<Authority>>,
    registrations: Registrations,
    /// Registered workloads by SPIFFE ID.
    workloads: BTreeMap<SpiffeId, WorkloadId>,
    /// What is held against whom.
    signals: Arc<signal::State>,
}

impl Issuer {
    /// Opens the keys of the given domains below `directory`, and makes those of domains that have no folder yet.
    ///
    /// # Errors
    /// [`OpenError`] when a key or root is missing, damaged, mismatched, expired, open to others or of another owner.
    /// Nothing is remade.
    pub fn open(
        directory: &Path,
        organisation: &TrustDomain,
        domains: &[Label],
        clock: Arc<dyn Clock>,
        recorder: Recorder,
    ) -> Result<Self, OpenError> {
        store::prepare(directory)?;
        let issuer = Self {
            directory: directory.to_owned(),
            organisation: organisation.clone(),
            book: Book::new(recorder, Arc::clone(&clock)),
            clock,
            state: RwLock::default(),
            changes: watch::Sender::new(0),
        };
        issuer.hold(domains)?;
        Ok(issuer)
    }

    /// Takes further domains under its wing, as [`Issuer::open`] does; those that it holds already stay as they are.
    ///
    /// # Errors
    /// As [`Issuer::open`]; then none of them is added.
    pub fn hold(&self, domains: &[Label]) -> Result<(), OpenError> {
        let mut added = BTreeMap::new();
        let held = self.snapshot();
        for domain in domains.iter().filter(|domain| !held.authorities.contains_key(*domain)) {
            added.insert(domain.clone(), Arc::new(self.open_domain(domain)?));
        }
        self.change(|state| {
            let before = state.authorities.len();
            state.authorities.append(&mut added);
            state.authorities.len() != before
        });
        Ok(())
    }

    /// Replaces everything that is registered, as one piece. Nothing is issued for domains that are not held.
    pub fn set_registrations(&self, registrations: Registrations) {
        self.change(|state| {
            if state.registrations == registrations {
                return false;
            }
            let ids = registrations.workloads.keys();
            state.workloads = ids.filter_map(|id| Some((workload_id(id, &self.organisation)?, id.clone()))).collect();
            state.registrations = registrations;
            true
        });
    }

    /// Nothing is issued from here on to whose SPIFFE ID is revoked there; whoever renews learns it at once. Certificates
    /// that were issued before are the enforcers' to refuse.
    pub fn set_signals(&self, signals: Arc<signal::State>) {
        self.change(|state| {
            let changed = state.signals != signals;
            state.signals = signals;
            changed
        });
    }

    /// The end of each domain's root.
    pub fn roots_end(&self) -> Vec<(Label, Timestamp)> {
        let held = self.snapshot();
        held.authorities.iter().map(|(domain, authority)| (domain.clone(), authority.not_after())).collect()
    }

    /// An SVID with which an operator speaks as a workload for five minutes. Whether the operator may is the caller's
    /// to decide; the certificate and the record name the operator.
    ///
    /// # Errors
    /// [`IssueError::NotEntitled`] for a workload that is not registered, [`IssueError::BadRequest`] for a request or
    /// an operator's name that cannot be used, [`IssueError::Unavailable`] when the issuance cannot be recorded.
    pub fn mint_impersonation(
        &self,
        workload: &WorkloadId,
        operator: &str,
        csr_der: &[u8],
    ) -> Result<Svid, IssueError> {
        let state = self.snapshot();
        let id = workload_id(workload, &self.organisation).filter(|id| state.workloads.contains_key(id));
        let spiffe_id = id.as_ref().map_or("", SpiffeId::as_str);
        let asked = Asked { spiffe_id, selectors: "", via: operator };
        let Some(id) = &id else {
            let why = format!("workload `{workload}` is not registered");
            return Err(self.book.refuse(&asked, IssueError::NotEntitled(why)));
        };
        let ttl = Duration::from_secs(IMPERSONATION_SECONDS);
        let order = Order { id, dns: &[], ttl, via: Some(operator) };
        self.mint(&state, workload.domain(), &asked, &order, csr_der)
    }

    fn mint_attested(&self, selectors: &Selectors, id: &SpiffeId, csr_der: &[u8]) -> Result<Svid, IssueError> {
        let state = self.snapshot();
        let attested = selectors.to_string();
        let asked = Asked { spiffe_id: id.as_str(), selectors: &attested, via: "" };
        let registered = state.workloads.get(id).and_then(|workload| Some((workload, state.registration(workload)?)));
        let Some((workload, registration)) = registered.filter(|(_, entry)| recognises(entry, selectors)) else {
            let why = format!("no rule of `{id}` matches this process");
            return Err(self.book.refuse(&asked, IssueError::NotEntitled(why)));
        };
        let order = Order { id, dns: &[], ttl: registration.ttl, via: None };
        self.mint(&state, workload.domain(), &asked, &order, csr_der)
    }

    fn mint_for_gateway(&self, domain: &Label, name: &Label, csr_der: &[u8]) -> Result<Svid, IssueError> {
        let state = self.snapshot();
        let id = trust_domain(domain, &self.organisation)
            .and_then(|domain| SpiffeId::from_segments(&domain, &["_gateway", name.as_str()]).ok());
        let spiffe_id = id.as_ref().map_or("", SpiffeId::as_str);
        let asked = Asked { spiffe_id, selectors: "", via: "" };
        let (Some(id), Some(registration)) = (&id, state.registrations.domains.get(domain)) else {
            let why = format!("domain `{domain}` is not registered");
            return Err(self.book.refuse(&asked, IssueError::NotEntitled(why)));
        };
        let order = Order { id, dns: &registration.hosts, ttl: registration.ttl, via: None };
        self.mint(&state, domain, &asked, &order, csr_der)
    }

    /// Signs, records, and only then hands out.
    fn mint(
        &self,
        state: &State,
        domain: &Label,
        asked: &Asked<'_>,
        order: &Order<'_>,
        csr_der: &[u8],
    ) -> Result<Svid, IssueError> {
        let signed = state.not_revoked(order.id, self.clock.now()).and_then(|()| {
            let key = request::public_key(csr_der)?;
            let authority = state.authorities.get(domain);
            let authority =
                authority.ok_or_else(|| unavailable(format!("the key of domain `{domain}` is not held")))?;
            authority.sign(order, &key, self.clock.now()).map_err(unavailable)
        });
        match signed {
            Ok(svid) => self.book.issue(asked, svid),
            Err(error) => Err(self.book.refuse(asked, error)),
        }
    }

    fn entitlements(&self, selectors: &Selectors) -> Vec<SpiffeId> {
        let state = self.snapshot();
        let held = state.workloads.iter().filter(|(_, workload)| state.authorities.contains_key(workload.domain()));
        let recognised = held.filter(|(_, workload)| {
            state.registration(workload).is_some_and(|registration| recognises(registration, selectors))
        });
        let now = self.clock.now();
        let (ids, revoked): (Vec<SpiffeId>, Vec<SpiffeId>) =
            recognised.map(|(id, _)| id.clone()).partition(|id| state.not_revoked(id, now).is_ok());
        if ids.is_empty() {
            let attested = selectors.to_string();
            let asked = |spiffe_id| Asked { spiffe_id, selectors: &attested, via: "" };
            let why = |why: &str| IssueError::NotEntitled(why.to_owned());
            match revoked.first() {
                None => self.book.refuse(&asked(""), why("no workload is recognised")),
                Some(id) => self.book.refuse(&asked(id.as_str()), why("it is revoked")),
            };
        }
        ids
    }

    fn open_domain(&self, domain: &Label) -> Result<Authority, OpenError> {
        let cannot = |detail| OpenError::CannotMake { domain: domain.clone(), detail };
        let trust_domain = trust_domain(domain, &self.organisation)
            .ok_or_else(|| cannot("the name of its trust domain is too long".to_owned()))?;
        let slot = Slot::new(&self.directory, domain);
        let now = self.clock.now();
        if let Some(files) = slot.read()? {
            return Authority::load(&slot, &files, trust_domain, now);
        }
        let files = Authority::generate(&trust_domain, now).map_err(cannot)?;
        slot.write(&files)?;
        tracing::info!(%domain, file = %slot.certificate.display(), "made a new root");
        Authority::load(&slot, &files, trust_domain, now)
    }

    fn snapshot(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Swaps in a changed copy of the state; `edit` says whether it changed anything.
    fn change(&self, edit: impl FnOnce(&mut State) -> bool) {
        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = State::clone(&current);
        if edit(&mut next) {
            *current = Arc::new(next);
            self.changes.send_modify(|generation| *generation = generation.saturating_add(1));
        }
    }
}

impl State {
    fn registration(&self, workload: &WorkloadId) -> Option<&WorkloadRegistration> {
        self.registrations.workloads.get(workload)
    }

    fn not_revoked(&self, id: &SpiffeId, now: Timestamp) -> Result<(), IssueError> {
        match self.signals.revoked_id(id, now) {
            None => Ok(()),
            Some(_) => Err(IssueError::NotEntitled(format!("`{id}` is revoked"))),
        }
    }
}

fn recognises(registration: &WorkloadRegistration, selectors: &Selectors) -> bool {
    registration.rules.iter().any(|rule| rule.matches(selectors))
}

const fn unavailable(why: String) -> IssueError {
    IssueError::Unavailable(why)
}

impl Issuance for Issuer {
    fn entitled<'a>(&'a self, selectors: &'a Selectors) -> Answer<'a, Vec<SpiffeId>> {
        Box::pin(ready(Ok(self.entitlements(selectors))))
    }

    fn mint_workload<'a>(&'a self, selectors: &'a Selectors, id: &'a SpiffeId, csr_der: &'a [u8]) -> Answer<'a, Svid> {
        Box::pin(ready(self.mint_attested(selectors, id, csr_der)))
    }

    fn mint_gateway<'a>(&'a self, domain: &'a Label, name: &'a Label, csr_der: &'a [u8]) -> Answer<'a, Svid> {
        Box::pin(ready(self.mint_for_gateway(domain, name, csr_der)))
    }

    fn bundles(&self) -> Bundles {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let roots = state.authorities.values();
        let roots = roots.map(|authority| (authority.trust_domain().clone(), vec![authority.root_der().to_vec()]));
        Bundles { generation: *self.changes.borrow(), roots: roots.collect() }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("organisation", &self.organisation).finish_non_exhaustive()
    }
}
