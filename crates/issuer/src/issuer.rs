//! Who gets what: registrations and selectors in, recorded certificates out.

use core::fmt;
use core::future::ready;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use api::issuance::{Answer, Bundles, Issuance, IssueError, Svid};
use identity::sign::sha256;
use rcgen::{PublicKeyData as _, SubjectPublicKeyInfo};
use tokio::sync::watch;
use types::{Clock, Label, Selectors, SpiffeId, Timestamp, TrustDomain, WorkloadId};

use crate::authority::{Authority, LEAF_BACKDATE_SECONDS, Order};
use crate::error::OpenError;
use crate::record::{Asked, Book, Recorder};
use crate::registrations::{Place, Registrations, WorkloadRegistration, trust_domain, workload_id};
use crate::request;
use crate::store::{self, Slot};
use crate::system::{self, Publisher, SYSTEM};

/// The life of an impersonation certificate (DESIGN section 10).
pub const IMPERSONATION_SECONDS: u64 = 300;

/// The issuer of one organisation.
pub struct Issuer {
    directory: PathBuf,
    organisation: TrustDomain,
    clock: Arc<dyn Clock>,
    pub(crate) book: Book,
    /// The label of the system's own authority.
    pub(crate) system: Label,
    pub(crate) publisher: Publisher,
    state: RwLock<Arc<State>>,
    /// INVARIANT: changed only while `state` is locked for writing, so that a reader of both sees them agree.
    changes: watch::Sender<u64>,
}

/// Replaced whole.
#[derive(Clone, Default)]
pub(crate) struct State {
    pub(crate) authorities: BTreeMap<Label, Arc<Authority>>,
    /// The number of the bundles: grows with every authority.
    bundles: u64,
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
        let unnamed = |error| OpenError::Io {
            action: "name the system's folder in",
            path: directory.to_owned(),
            source: std::io::Error::other(error),
        };
        let system = Label::parse(SYSTEM).map_err(unnamed)?;
        let name = trust_domain_of(&system, organisation)?;
        let (authority, publisher) = system::open(directory, &system, name, clock.now())?;
        let authorities = BTreeMap::from([(system.clone(), Arc::new(authority))]);
        // numbers go on growing over a restart
        let first = clock.now().micros();
        let issuer = Self {
            directory: directory.to_owned(),
            organisation: organisation.clone(),
            book: Book::new(recorder, Arc::clone(&clock)),
            clock,
            system,
            publisher,
            state: RwLock::new(Arc::new(State { authorities, bundles: first, ..State::default() })),
            changes: watch::Sender::new(first),
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
            added.insert(
                domain.clone(),
                Arc::new(open_domain(&self.directory, &self.organisation, domain, self.clock.now())?),
            );
        }
        self.change(|state| {
            let before = state.authorities.len();
            state.authorities.append(&mut added);
            let grew = state.authorities.len() != before;
            state.bundles = state.bundles.saturating_add(u64::from(grew));
            grew
        });
        Ok(())
    }

    /// Replaces everything that is registered, as one piece. Nothing is issued for domains that are not held, and what is
    /// registered under the system's name is left out: its identities are not workloads.
    pub fn set_registrations(&self, mut registrations: Registrations) {
        registrations.workloads.retain(|workload, _| *workload.domain() != self.system);
        registrations.domains.remove(&self.system);
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

    /// Nothing is issued from here on to whose SPIFFE ID is revoked there, and nothing for a key that is. Certificates that
    /// were issued before are the enforcers' to refuse. The bundles keep their number.
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
        let order = Order { id, dns: &[], ttl, via: Some(operator), backdated: LEAF_BACKDATE_SECONDS };
        self.mint(&state, workload.domain(), &asked, &order, csr_der)
    }

    /// An SVID for a workload that was attested at a place. The issuer matches the selectors and the place itself; what is
    /// not placed there is refused, and that is recorded.
    ///
    /// # Errors
    /// [`IssueError::NotEntitled`] where no rule matches or the workload may not run there, otherwise as
    /// [`Self::mint_impersonation`].
    pub fn mint_workload_at(
        &self,
        place: &Place,
        selectors: &Selectors,
        id: &SpiffeId,
        csr_der: &[u8],
    ) -> Result<Svid, IssueError> {
        let state = self.snapshot();
        let attested = selectors.to_string();
        let asked = Asked { spiffe_id: id.as_str(), selectors: &attested, via: "" };
        let registered = state.workloads.get(id).and_then(|workload| Some((workload, state.registration(workload)?)));
        let Some((workload, registration)) = registered.filter(|(_, entry)| recognises(entry, selectors)) else {
            let why = format!("no rule of `{id}` matches this process");
            return Err(self.book.refuse(&asked, IssueError::NotEntitled(why)));
        };
        if !place.takes(registration) {
            return Err(self.book.refuse(&asked, IssueError::NotEntitled(not_placed(id, place, registration))));
        }
        let order = Order { id, dns: &[], ttl: registration.ttl, via: None, backdated: LEAF_BACKDATE_SECONDS };
        self.mint(&state, workload.domain(), &asked, &order, csr_der)
    }

    /// Issues the server identity of a gateway, `_gateway/NAME` of a domain, with all its hosts. Recorded.
    ///
    /// # Errors
    /// [`IssueError`]: an unknown domain, a request that is none, or nothing can be recorded.
    pub fn mint_for_gateway(&self, domain: &Label, name: &Label, csr_der: &[u8]) -> Result<Svid, IssueError> {
        let state = self.snapshot();
        let id = trust_domain(domain, &self.organisation)
            .and_then(|domain| SpiffeId::from_segments(&domain, &["_gateway", name.as_str()]).ok());
        let spiffe_id = id.as_ref().map_or("", SpiffeId::as_str);
        let asked = Asked { spiffe_id, selectors: "", via: "" };
        let (Some(id), Some(registration)) = (&id, state.registrations.domains.get(domain)) else {
            let why = format!("domain `{domain}` is not registered");
            return Err(self.book.refuse(&asked, IssueError::NotEntitled(why)));
        };
        let order =
            Order { id, dns: &registration.hosts, ttl: registration.ttl, via: None, backdated: LEAF_BACKDATE_SECONDS };
        self.mint(&state, domain, &asked, &order, csr_der)
    }

    /// Signs, records, and only then hands out.
    pub(crate) fn mint(
        &self,
        state: &State,
        domain: &Label,
        asked: &Asked<'_>,
        order: &Order<'_>,
        csr_der: &[u8],
    ) -> Result<Svid, IssueError> {
        let signed = state.not_revoked(order.id, self.clock.now()).and_then(|()| {
            let key = request::public_key(csr_der)?;
            state.key_not_revoked(&key, self.clock.now())?;
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

    pub(crate) fn snapshot(&self) -> Arc<State> {
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

    fn key_not_revoked(&self, key: &SubjectPublicKeyInfo, now: Timestamp) -> Result<(), IssueError> {
        match self.signals.revoked_key(&sha256(&key.subject_public_key_info()), now) {
            None => Ok(()),
            Some(_) => Err(IssueError::NotEntitled("the key of the request is revoked; make another one".to_owned())),
        }
    }
}

fn recognises(registration: &WorkloadRegistration, selectors: &Selectors) -> bool {
    registration.rules.iter().any(|rule| rule.matches(selectors))
}

/// Why a workload may not run at a place, in words that name the setting.
fn not_placed(id: &SpiffeId, place: &Place, registration: &WorkloadRegistration) -> String {
    let list = |labels: &BTreeSet<Label>| labels.iter().map(Label::as_str).collect::<Vec<_>>().join(", ");
    let here = match place {
        Place::Everywhere => "every group".to_owned(),
        Place::Groups(groups) if groups.is_empty() => "none".to_owned(),
        Place::Groups(groups) => list(groups),
    };
    match &registration.runs_on {
        Some(placed) => format!("`{id}` runs on {} (`runs_on`), and this node belongs to {here}", list(placed)),
        None => format!("`{id}` names no node group in `runs_on`, and this node belongs to {here}"),
    }
}

/// The authority of a domain, made where there is none yet.
fn open_domain(
    directory: &Path,
    organisation: &TrustDomain,
    domain: &Label,
    now: Timestamp,
) -> Result<Authority, OpenError> {
    let cannot = |detail| OpenError::CannotMake { domain: domain.clone(), detail };
    let trust_domain = trust_domain_of(domain, organisation)?;
    let slot = Slot::new(directory, domain);
    if let Some(files) = slot.read()? {
        return Authority::load(&slot, &files, trust_domain, now);
    }
    let files = Authority::generate(&trust_domain, now).map_err(cannot)?;
    slot.write(&files, &[])?;
    tracing::info!(%domain, file = %slot.certificate.display(), "made a new root");
    Authority::load(&slot, &files, trust_domain, now)
}

fn trust_domain_of(domain: &Label, organisation: &TrustDomain) -> Result<TrustDomain, OpenError> {
    let too_long = || OpenError::CannotMake {
        domain: domain.clone(),
        detail: "the name of its trust domain is too long".to_owned(),
    };
    trust_domain(domain, organisation).ok_or_else(too_long)
}

pub(crate) const fn unavailable(why: String) -> IssueError {
    IssueError::Unavailable(why)
}

impl Issuance for Issuer {
    fn entitled<'a>(&'a self, selectors: &'a Selectors) -> Answer<'a, Vec<SpiffeId>> {
        Box::pin(ready(Ok(self.entitlements(selectors))))
    }

    fn mint_workload<'a>(&'a self, selectors: &'a Selectors, id: &'a SpiffeId, csr_der: &'a [u8]) -> Answer<'a, Svid> {
        Box::pin(ready(self.mint_workload_at(&Place::Everywhere, selectors, id, csr_der)))
    }

    fn mint_gateway<'a>(&'a self, domain: &'a Label, name: &'a Label, csr_der: &'a [u8]) -> Answer<'a, Svid> {
        Box::pin(ready(self.mint_for_gateway(domain, name, csr_der)))
    }

    fn bundles(&self) -> Bundles {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let roots = state.authorities.values();
        let roots = roots.map(|authority| (authority.trust_domain().clone(), vec![authority.root_der().to_vec()]));
        Bundles { generation: state.bundles, roots: roots.collect() }
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
