//! The issuer as a whole: what it holds, how that changes, and what agents and proxies see of it.

use core::fmt;
use core::future::ready;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use api::admin::Keys;
use api::issuance::{Answer, Bundles, Entitled, Issuance, IssueError, JwtSvid, Svid, WorkloadOrder};
use api::keys::{ForeignBundle, Place};
use tokio::sync::watch;
use types::{Clock, KeyKind, Label, Selectors, SpiffeId, Timestamp, TrustDomain, WorkloadId};

use crate::disk::{Disk, RealDisk};
use crate::domain::{Domain, KEYS};
use crate::error::OpenError;
use crate::limiter::Limiter;
use crate::protection::KeyProtection;
use crate::record::{Asked, Book, Counts, Recorder};
use crate::registrations::{Registrations, trust_domain, workload_id};
use crate::store::Store;
use crate::system::{SYSTEM, System};

/// The issuer of one organisation.
pub struct Issuer {
    pub(crate) store: Store,
    organisation: TrustDomain,
    clock: Arc<dyn Clock>,
    pub(crate) book: Book,
    pub(crate) limiter: Limiter,
    pub(crate) system: System,
    state: RwLock<Arc<State>>,
    /// Held while files are written: one change of keys at a time.
    steps: Mutex<()>,
    /// INVARIANT: changed only while `state` is locked for writing, so that a reader of both sees them agree.
    changes: watch::Sender<u64>,
}

/// Replaced whole.
#[derive(Clone, Default)]
pub(crate) struct State {
    pub(crate) domains: BTreeMap<Label, Arc<Domain>>,
    federated: Arc<BTreeMap<TrustDomain, ForeignBundle>>,
    /// What everybody is told of both; its number grows with every change of it.
    bundles: Arc<Bundles>,
    pub(crate) registrations: Arc<Registrations>,
    /// Registered workloads by SPIFFE ID.
    pub(crate) workloads: Arc<BTreeMap<SpiffeId, WorkloadId>>,
    /// What is held against whom.
    pub(crate) signals: Arc<signal::State>,
}

impl Issuer {
    /// Opens the keys of the given domains below `directory`, and makes those of domains that have no folder yet, of the
    /// given kind. The folder is locked for as long as the issuer lives.
    ///
    /// # Errors
    /// [`OpenError`] when a key or root is missing, damaged, mismatched, expired, open to others or of another owner, when
    /// it is encrypted and the passphrase is missing or another one, and when another process uses the folder. Nothing is
    /// remade.
    pub fn open(
        directory: &Path,
        organisation: &TrustDomain,
        domains: &BTreeMap<Label, KeyKind>,
        clock: Arc<dyn Clock>,
        recorder: Recorder,
        protection: KeyProtection,
    ) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(RealDisk), directory, organisation, domains, clock, recorder, protection)
    }

    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        directory: &Path,
        organisation: &TrustDomain,
        domains: &BTreeMap<Label, KeyKind>,
        clock: Arc<dyn Clock>,
        recorder: Recorder,
        protection: KeyProtection,
    ) -> Result<Self, OpenError> {
        let store = Store::open(directory, disk, protection)?;
        let unnamed = |error| OpenError::Io {
            action: "name the system's folder in",
            path: directory.to_owned(),
            source: std::io::Error::other(error),
        };
        let system = Label::parse(SYSTEM).map_err(unnamed)?;
        let name = trust_domain_of(&system, organisation)?;
        let system = System::open(&store, system, &name, clock.now())?;
        // numbers go on growing over a restart
        let first = clock.now().micros();
        let mut state =
            State { bundles: Arc::new(Bundles { generation: first, ..Bundles::default() }), ..State::default() };
        state.tell_bundles(&system);
        let issuer = Self {
            store,
            organisation: organisation.clone(),
            book: Book::new(recorder, Arc::clone(&clock)),
            limiter: Limiter::new(Arc::clone(&clock)),
            clock,
            system,
            state: RwLock::new(Arc::new(state)),
            steps: Mutex::default(),
            changes: watch::Sender::new(first),
        };
        issuer.hold(domains)?;
        Ok(issuer)
    }

    /// Takes further domains under its wing, as [`Issuer::open`] does; those that it holds already stay as they are.
    ///
    /// # Errors
    /// As [`Issuer::open`]; then none of them is added.
    pub fn hold(&self, domains: &BTreeMap<Label, KeyKind>) -> Result<(), OpenError> {
        let _steps = self.one_step();
        let mut added = BTreeMap::new();
        let held = self.snapshot();
        let new =
            domains.iter().filter(|(domain, _)| **domain != self.system.label && !held.domains.contains_key(*domain));
        for (domain, kind) in new {
            let name = trust_domain_of(domain, &self.organisation)?;
            let opened = Domain::open(&self.store, domain, name, *kind, self.clock.now())?;
            added.insert(domain.clone(), Arc::new(opened));
        }
        self.change(|state| {
            let grew = !added.is_empty();
            state.domains.append(&mut added);
            grew
        });
        Ok(())
    }

    /// Replaces everything that is registered, as one piece. Nothing is issued for domains that are not held, and what is
    /// registered under the system's name is left out: its identities are not workloads.
    pub fn set_registrations(&self, mut registrations: Registrations) {
        registrations.workloads.retain(|workload, _| *workload.domain() != self.system.label);
        registrations.domains.remove(&self.system.label);
        self.change(|state| {
            if *state.registrations == registrations {
                return false;
            }
            let ids = registrations.workloads.keys();
            let ids = ids.filter_map(|id| Some((workload_id(id, &self.organisation)?, id.clone())));
            state.workloads = Arc::new(ids.collect());
            state.registrations = Arc::new(registrations);
            true
        });
    }

    /// Nothing is issued from here on to whose SPIFFE ID or node is revoked there, nothing for a key that is, and nothing
    /// that follows a certificate that is. Certificates that were issued before are the enforcers' to refuse. The bundles
    /// keep their number.
    pub fn set_signals(&self, signals: Arc<signal::State>) {
        self.change(|state| {
            let changed = state.signals != signals;
            state.signals = signals;
            changed
        });
    }

    /// The trust domains of others, whole: what was there before and is missing now is forgotten. One of our own names is
    /// left out: nobody else speaks for it.
    pub fn set_federated(&self, mut federated: BTreeMap<TrustDomain, ForeignBundle>) {
        let own = format!(".{}", self.organisation);
        federated.retain(|name, _| {
            let foreign = *name != self.organisation && !name.as_str().ends_with(&own);
            if !foreign {
                tracing::error!(trust_domain = %name, "a bundle of somebody else for one of our own trust domains is left out");
            }
            foreign
        });
        self.change(|state| {
            let changed = *state.federated != federated;
            state.federated = Arc::new(federated);
            changed
        });
    }

    /// The end of each domain's root.
    pub fn roots_end(&self) -> Vec<(Label, Timestamp)> {
        let held = self.snapshot();
        let domains = held.domains.values().map(|domain| (domain.label.clone(), domain.x509.current.key.not_after()));
        let system = (self.system.label.clone(), self.system.authority.not_after());
        domains.chain([system]).collect::<BTreeMap<_, _>>().into_iter().collect()
    }

    /// What was issued and refused since the start.
    pub fn counts(&self) -> Counts {
        self.book.counts()
    }

    fn entitlements(&self, selectors: &Selectors) -> Vec<Entitled> {
        let state = self.snapshot();
        let held = state.workloads.iter().filter(|(_, workload)| state.domains.contains_key(workload.domain()));
        let recognised = held.filter_map(|(id, workload)| {
            let registration = state.registration(workload)?;
            registration.recognised_by(selectors)?;
            Some(Entitled { id: id.clone(), key: registration.key })
        });
        let now = self.clock.now();
        let (entitled, revoked): (Vec<Entitled>, Vec<Entitled>) =
            recognised.partition(|entitled| state.not_revoked(&entitled.id, now).is_ok());
        if entitled.is_empty() {
            let attested = selectors.to_string();
            let asked = |spiffe_id| Asked { selectors: &attested, ..Asked::plain(spiffe_id) };
            let why = |why: &str| IssueError::NotEntitled(why.to_owned());
            match revoked.first() {
                None => self.book.refuse(&asked(""), why("no workload is recognised")),
                Some(entitled) => self.book.refuse(&asked(entitled.id.as_str()), why("it is revoked")),
            };
        }
        entitled
    }

    /// Writes down that the key of the moment, as a snapshot has it, signs things of so long a life from here on. False
    /// where another key signs by now.
    ///
    /// # Errors
    /// Words: the folder cannot be written.
    pub(crate) fn write_longest(&self, seen: &Domain, keys: Keys, seconds: u64) -> Result<bool, String> {
        let _steps = self.one_step();
        let state = self.snapshot();
        let held = state.domains.get(&seen.label).ok_or("the domain is not held")?;
        let mut keyring = held.keyring.clone();
        let entry = &mut keyring.ring_mut(keys).current;
        if entry.name != seen.keyring.ring(keys).current.name {
            return Ok(false);
        }
        if entry.longest < seconds {
            entry.longest = seconds;
            let folder = self.store.folder(&seen.label);
            folder.replace(KEYS, &keyring.to_text()).map_err(|error| error.words())?;
            let written = Arc::new(held.with(&folder, keyring).map_err(|error| error.words())?);
            written.allow_what_is_written();
            self.change(|state| {
                state.domains.insert(seen.label.clone(), written);
                false
            });
        }
        Ok(true)
    }

    pub(crate) const fn organisation(&self) -> &TrustDomain {
        &self.organisation
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) fn one_step(&self) -> MutexGuard<'_, ()> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Swaps in a changed copy of the state; `edit` says whether it changed anything that others should look at.
    pub(crate) fn change(&self, edit: impl FnOnce(&mut State) -> bool) {
        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = State::clone(&current);
        let told = edit(&mut next);
        if told {
            next.tell_bundles(&self.system);
        }
        *current = Arc::new(next);
        if told {
            self.changes.send_modify(|generation| *generation = generation.saturating_add(1));
        }
    }
}

impl State {
    /// Makes the bundles anew, under the next number where they differ.
    fn tell_bundles(&mut self, system: &System) {
        let mut next = Bundles { generation: self.bundles.generation, ..Bundles::default() };
        let root = system.authority.root_der().to_vec();
        next.roots.insert(system.authority.trust_domain().clone(), vec![root]);
        for domain in self.domains.values() {
            next.roots.insert(domain.trust_domain.clone(), domain.roots());
            next.jwt_keys.insert(domain.trust_domain.clone(), domain.jwt_keys());
        }
        for (name, foreign) in self.federated.iter() {
            next.roots.insert(name.clone(), foreign.roots.clone());
            if !foreign.jwt_keys.is_empty() {
                next.jwt_keys.insert(name.clone(), foreign.jwt_keys.clone());
            }
        }
        next.federated = self.federated.keys().cloned().collect::<BTreeSet<_>>();
        if next != *self.bundles {
            next.generation = next.generation.saturating_add(1);
            self.bundles = Arc::new(next);
        }
    }
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
    fn entitled<'a>(&'a self, selectors: &'a Selectors) -> Answer<'a, Vec<Entitled>> {
        Box::pin(ready(Ok(self.entitlements(selectors))))
    }

    fn mint_workload<'a>(&'a self, selectors: &'a Selectors, order: &'a WorkloadOrder) -> Answer<'a, Svid> {
        Box::pin(ready(self.mint_workload_at(&Place::Everywhere, selectors, order)))
    }

    fn mint_jwt<'a>(
        &'a self,
        selectors: &'a Selectors,
        id: &'a SpiffeId,
        audience: &'a [String],
    ) -> Answer<'a, JwtSvid> {
        Box::pin(ready(self.mint_jwt_at(&Place::Everywhere, selectors, id, audience)))
    }

    fn mint_gateway<'a>(&'a self, domain: &'a Label, name: &'a Label, csr_der: &'a [u8]) -> Answer<'a, Svid> {
        Box::pin(ready(self.mint_for_gateway(domain, name, csr_der)))
    }

    fn bundles(&self) -> Bundles {
        Bundles::clone(&self.snapshot().bundles)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn is_revoked(&self, serial: &str, key_sha256: &[u8; 32]) -> bool {
        let (state, now) = (self.snapshot(), self.clock.now());
        let by_serial = state.signals.revoked_serial(serial, now);
        by_serial.or_else(|| state.signals.revoked_key(key_sha256, now)).is_some()
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("organisation", &self.organisation).finish_non_exhaustive()
    }
}
