//! What policies speak about: an organisation's domains, services, routes and workloads, validated elsewhere and held
//! here in the form that the compiler and the judge need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use types::{Label, Mode, Reason, RouteId, ServiceId, SpiffeId, TrustDomain, WorkloadId};

pub use crate::modes::{Modes, PolicyMode};
use crate::modes::{Noted, Relaxation, UNLISTED};

/// An organisation, as one revision describes it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The organisation's name; each domain's trust domain is `<domain>.<organisation>`.
    pub organisation: TrustDomain,
    /// The risk, 0 to 100, of a call about which nothing is known.
    pub risk_unknown: u8,
    /// Where `context.weekday` and `context.minute_of_day` are measured. See [`timezone`].
    pub timezone: TimeZone,
    /// The domains by name.
    pub domains: BTreeMap<Label, Domain>,
    /// The workloads whose identities another trust domain issues.
    pub federated: Federated,
    /// The named operators and their roles. `local`, who owns the data directory, is none of them.
    pub operators: BTreeMap<Label, BTreeSet<Role>>,
}

/// What an operator is there for. Each role permits some administrative acts without a word in `admin.cedar`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Runs it: takes trust away and gives it back, lets proxies and agents join and go.
    Operator,
    /// Decides what is current: publishes, rolls back, approves.
    Owner,
    /// Takes trust away and gives it back, and approves.
    Security,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Owner, Self::Security];

    /// The name in the trust directory and of the Cedar entity.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Owner => "owner",
            Self::Security => "security",
        }
    }
}

/// The workloads whose identities another trust domain issues, with their SPIFFE IDs there. Each is a workload of the domain
/// that names it, and of no other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Federated {
    by_id: BTreeMap<SpiffeId, WorkloadId>,
    ids: BTreeMap<WorkloadId, SpiffeId>,
}

impl Federated {
    /// The SPIFFE ID of a workload; absent for one whose identity is issued here.
    pub fn id_of(&self, workload: &WorkloadId) -> Option<&SpiffeId> {
        self.ids.get(workload)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&SpiffeId, &WorkloadId)> {
        self.by_id.iter()
    }
}

/// Of two with the same SPIFFE ID neither is one: nobody could say which is calling.
impl FromIterator<(SpiffeId, WorkloadId)> for Federated {
    fn from_iter<I: IntoIterator<Item = (SpiffeId, WorkloadId)>>(named: I) -> Self {
        let mut all = Self::default();
        let mut disputed = BTreeSet::new();
        for (id, workload) in named {
            all.ids.insert(workload.clone(), id.clone());
            if all.by_id.insert(id.clone(), workload).is_some() {
                disputed.insert(id);
            }
        }
        all.by_id.retain(|id, _| !disputed.contains(id));
        all
    }
}

/// A segment of the business: a wall with two doors, what it accepts and what it calls.
#[derive(Clone, Debug)]
pub struct Domain {
    /// The name.
    pub name: Label,
    /// The provider's consent: calling domain → the services of this domain that it may call. The own domain is implied.
    pub accepts_from: BTreeMap<Label, BTreeSet<Label>>,
    /// The consumer's consent: workload of this domain → the services of other domains that it calls.
    pub calls: BTreeMap<Label, BTreeSet<ServiceId>>,
    /// The services by name.
    pub services: BTreeMap<Label, Arc<Service>>,
    /// The workloads, those implied by services included.
    pub workloads: BTreeSet<Label>,
    /// What refuses here, and what only says that it would.
    pub modes: Modes,
}

/// A callable API.
#[derive(Clone, Debug)]
pub struct Service {
    /// The id, such as `finance/ledger`.
    pub id: ServiceId,
    /// How much harm its data could do.
    pub sensitivity: Sensitivity,
    /// The listed routes.
    pub routes: Vec<Arc<Route>>,
    /// What happens to requests that match no listed route.
    pub unlisted: Unlisted,
    name: String,
}

impl Service {
    /// A service; its full name is written out once, for the records.
    pub fn new(id: ServiceId, sensitivity: Sensitivity, routes: Vec<Arc<Route>>, unlisted: Unlisted) -> Self {
        let name = id.to_string();
        Self { id, sensitivity, routes, unlisted, name }
    }

    /// The id as text, such as `finance/ledger`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All routes that policies may name, the pseudo-route of a service that judges what it does not list included.
    pub fn all_routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let pseudo = match &self.unlisted {
            Unlisted::Deny | Unlisted::Tolerate(_) => None,
            Unlisted::Judge(route) => Some(route),
        };
        self.routes.iter().chain(pseudo)
    }

    /// All routes that calls are judged by: [`Self::all_routes`] and a tolerated pseudo-route.
    pub fn judged_routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let pseudo = match &self.unlisted {
            Unlisted::Deny => None,
            Unlisted::Tolerate(route) | Unlisted::Judge(route) => Some(route),
        };
        self.routes.iter().chain(pseudo)
    }

    /// The routes that anyone may call, without identity or consent.
    pub fn open_routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter().filter(|route| route.insecure_open)
    }
}

/// What happens to requests that match no listed route of a service.
#[derive(Clone, Debug)]
pub enum Unlisted {
    /// Refused, unknown.
    Deny,
    /// As [`Self::Deny`], but the domain relaxes `routes.unlisted`: judged as this pseudo-route, whose id ends in `*`, with
    /// the refusal noted. Policies cannot name it, since it goes when the check is enforced.
    Tolerate(Arc<Route>),
    /// Judged as this pseudo-route, whose id ends in `*`.
    Judge(Arc<Route>),
}

/// One route of a service.
#[derive(Clone, Debug)]
pub struct Route {
    /// The id, such as `finance/ledger POST /entries`.
    pub id: RouteId,
    /// Whether it reads or writes.
    pub effect: Effect,
    /// How much harm its data could do.
    pub sensitivity: Sensitivity,
    /// Whether anyone may call it, without identity or consent, unless a written policy forbids it. Only for listed routes.
    pub insecure_open: bool,
}

/// Whether a route reads or writes. It is an attribute only; the action of a policy is always the method.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Changes something.
    Write,
}

impl Effect {
    /// The text of `resource.effect`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// How much harm the data of a service or route could do. Ordered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Sensitivity {
    /// 0
    Public,
    /// 1
    Internal,
    /// 2
    Confidential,
    /// 3
    Restricted,
}

impl Sensitivity {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Public, Self::Internal, Self::Confidential, Self::Restricted];

    /// The number that policies compare, 0 to 3.
    pub const fn level(self) -> u8 {
        match self {
            Self::Public => 0,
            Self::Internal => 1,
            Self::Confidential => 2,
            Self::Restricted => 3,
        }
    }

    /// The name in the trust directory.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Confidential => "confidential",
            Self::Restricted => "restricted",
        }
    }
}

/// The time zone of an IANA name such as `Europe/Berlin`, from the database compiled into the binary, never from the
/// machine: every enforcer must read `minute_of_day` off the same clock. `None` for a name that the database lacks.
pub fn timezone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

impl Model {
    /// The workload that a verified SPIFFE ID names: `spiffe://finance.acme.internal/payments` is `finance/payments`, and
    /// an ID of a federated trust domain is whatever domain names exactly it (ID-6).
    ///
    /// # Errors
    /// [`Reason::IdentityNotACaller`] for reserved names (gateways, the system's and devices' trust domains) and
    /// [`Reason::IdentityUnknownWorkload`] for whatever else is not registered.
    pub fn workload_of(&self, id: &SpiffeId) -> Result<WorkloadId, Reason> {
        let unknown = Reason::IdentityUnknownWorkload;
        let Some(domain) = self.domain_part(id.trust_domain()) else {
            return self.federated.by_id.get(id).cloned().ok_or(unknown);
        };
        if matches!(domain, "system" | "devices") || id.path().starts_with("/_") {
            return Err(Reason::IdentityNotACaller);
        }
        let name = id.path().strip_prefix('/').ok_or(unknown)?;
        let (domain, name) = (Label::parse(domain).map_err(|_| unknown)?, Label::parse(name).map_err(|_| unknown)?);
        let registered = self.domains.get(&domain).is_some_and(|known| known.workloads.contains(&name));
        let workload = WorkloadId::new(domain, name);
        // INVARIANT: a workload has one identity. One that another trust domain issues is not had from the domain's own
        // keys too.
        if registered && self.federated.id_of(&workload).is_none() { Ok(workload) } else { Err(unknown) }
    }

    fn domain_part<'a>(&self, trust_domain: &'a TrustDomain) -> Option<&'a str> {
        trust_domain.as_str().strip_suffix(self.organisation.as_str())?.strip_suffix('.')
    }

    /// A service by its id.
    pub fn service(&self, id: &ServiceId) -> Option<&Arc<Service>> {
        self.domains.get(id.domain())?.services.get(id.name())
    }

    /// What the check `routes.unlisted` says about a route: nothing about one that is listed or judged as unlisted, a noted
    /// refusal where the domain relaxes the check.
    ///
    /// # Errors
    /// [`Reason::RouteUnlisted`] where it is enforced.
    pub(crate) fn unlisted(&self, route: &RouteId) -> Result<Option<Noted>, Reason> {
        let unlisted = Reason::RouteUnlisted;
        if route.call().is_some() {
            return Ok(None);
        }
        match &self.service(route.service()).ok_or(unlisted)?.unlisted {
            Unlisted::Judge(_) => Ok(None),
            Unlisted::Deny => Err(unlisted),
            Unlisted::Tolerate(_) => {
                let mode = self.modes(route.service().domain()).map_or(Mode::Enforce, |modes| modes.unlisted);
                let relaxation = Relaxation::of(UNLISTED, mode).ok_or(unlisted)?;
                Ok(Some(Noted::new(relaxation, unlisted, None)))
            }
        }
    }

    /// The modes of a domain.
    pub fn modes(&self, domain: &Label) -> Option<&Modes> {
        self.domains.get(domain).map(|domain| &domain.modes)
    }

    /// Whether a workload is registered.
    pub fn has_workload(&self, id: &WorkloadId) -> bool {
        self.domains.get(id.domain()).is_some_and(|domain| domain.workloads.contains(id.name()))
    }
}
