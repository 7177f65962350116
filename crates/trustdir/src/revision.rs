//! A revision: one trust directory, validated and compiled as one, with the lookups of the request path.

use core::time::Duration;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use policy::{
    Model, Policies,
    model::{Route, Unlisted},
};
use types::{
    AttestRule, CanonicalRequest, Host, KeyKind, Label, Method, Mode, Reason, RevisionId, RouteId, ServiceId, SpiffeId,
    TrustDomain, WorkloadId, template::Segment,
};

use crate::{
    federation::Federation,
    group::NodeGroup,
    host::HostPrefix,
    modes,
    operator::{Folder, Operator, Owner},
    service::ServiceLimits,
    stale::{Stale, Then},
    suggest,
    table::{RouteTree, Table},
    tests_file::TestCase,
    upstream::Upstream,
};

/// A validated trust directory. It can be made only by [`crate::load`], from files without an error in them:
///
/// ```compile_fail,E0451
/// # fn change(revision: countersign_trustdir::Revision) -> countersign_trustdir::Revision {
/// countersign_trustdir::Revision { tests: Vec::new(), ..revision }
/// # }
/// ```
#[derive(Debug)]
pub struct Revision {
    pub(crate) id: RevisionId,
    pub(crate) model: Arc<Model>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) domains: BTreeMap<Label, Domain>,
    pub(crate) services: BTreeMap<ServiceId, Arc<Service>>,
    pub(crate) workloads: BTreeMap<WorkloadId, Workload>,
    pub(crate) table: Table,
    pub(crate) tests: Vec<TestCase>,
    pub(crate) operators: BTreeMap<Label, Operator>,
    pub(crate) operator_uids: BTreeMap<u32, Label>,
    pub(crate) nodes: BTreeMap<Label, NodeGroup>,
    pub(crate) federation: BTreeMap<TrustDomain, Federation>,
    pub(crate) owners: Vec<Owner>,
}

/// What a listener asks of callers who want to reach a domain over TLS.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Asks {
    /// A client certificate, or the handshake fails.
    Required,
    /// A client certificate, which may be left out: identity is relaxed, or a route is open to everyone. One that is
    /// presented and does not verify is refused all the same.
    Optional,
}

/// What enforcement and issuance need to know of a domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    /// The name.
    pub name: Label,
    /// `<domain>.<organisation>`.
    pub trust_domain: TrustDomain,
    /// How long a certificate of this domain lives.
    pub svid_ttl: Duration,
    /// How long a JWT-SVID of this domain lives.
    pub jwt_ttl: Duration,
    /// The kind of key that this domain's credentials have, and its own keys from their next rotation on.
    pub key: KeyKind,
    /// What an enforcer does that has not heard for long whether its revision is the current one.
    pub when_stale: Stale,
    /// What an enforcer does that has not heard for long whether its signals are the latest.
    pub signals_stale: Stale,
    /// The domain's own owners; empty where it says nothing. See [`Revision::owners_of`].
    pub owners: Vec<Owner>,
}

/// What enforcement needs to know of a service.
#[derive(Debug)]
pub struct Service {
    /// What policies see.
    pub model: Arc<policy::model::Service>,
    /// Where it is called. At least one.
    pub hosts: Vec<HostPrefix>,
    /// Where it listens.
    pub upstream: Upstream,
    /// What it takes.
    pub limits: ServiceLimits,
    pub(crate) routes: RouteTree,
}

/// What issuance needs to know of a workload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workload {
    /// The id in policies.
    pub id: WorkloadId,
    /// The id in certificates: `spiffe://<domain>.<organisation>/<name>`, or the one that another trust domain issues.
    pub spiffe_id: SpiffeId,
    /// Whether another trust domain issues its identity. Then nothing is issued here, whoever asks.
    pub federated: bool,
    /// Any of these makes a process this workload. Empty for a service that calls nobody and says nothing, and for a
    /// federated one.
    pub rules: Vec<AttestRule>,
    /// How long its certificate lives; means nothing for a federated one.
    pub svid_ttl: Duration,
    /// How long its JWT-SVID lives; means nothing for a federated one.
    pub jwt_ttl: Duration,
    /// The kind of its key; means nothing for a federated one.
    pub key: KeyKind,
    /// The node groups that it may run on; absent where it runs only on the node that shares control's process.
    pub runs_on: Option<BTreeSet<Label>>,
}

impl Revision {
    /// The name.
    pub const fn id(&self) -> RevisionId {
        self.id
    }

    /// What policies speak about.
    pub const fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The compiled policies.
    pub const fn policies(&self) -> &Arc<Policies> {
        &self.policies
    }

    /// The domains by name.
    pub const fn domains(&self) -> &BTreeMap<Label, Domain> {
        &self.domains
    }

    /// The services by id.
    pub const fn services(&self) -> &BTreeMap<ServiceId, Arc<Service>> {
        &self.services
    }

    /// The workloads by id, those implied by services included.
    pub const fn workloads(&self) -> &BTreeMap<WorkloadId, Workload> {
        &self.workloads
    }

    /// The node groups by name.
    pub const fn nodes(&self) -> &BTreeMap<Label, NodeGroup> {
        &self.nodes
    }

    /// The trust domains of others whose identities are accepted, by name.
    pub const fn federation(&self) -> &BTreeMap<TrustDomain, Federation> {
        &self.federation
    }

    /// The operators by name, without the one who owns the data directory.
    pub const fn operators(&self) -> &BTreeMap<Label, Operator> {
        &self.operators
    }

    /// The operator of a user id.
    pub fn operator_of_uid(&self, uid: u32) -> Option<&Label> {
        self.operator_uids.get(&uid)
    }

    /// Whose approval a change of this folder needs: its own owners, or the organisation's where it names none. Empty where
    /// neither does, and for a domain that is not of this revision and the organisation names none.
    pub fn owners_of(&self, folder: &Folder) -> &[Owner] {
        let own = match folder {
            Folder::Organisation => None,
            Folder::Domain(name) => self.domains.get(name).map(|domain| domain.owners.as_slice()),
        };
        own.filter(|owners| !owners.is_empty()).unwrap_or(&self.owners)
    }

    /// The mode of a domain's checks where nothing else is said for one; [`Mode::Enforce`] for an unknown domain.
    pub fn mode(&self, domain: &Label) -> Mode {
        self.model.modes(domain).map(|modes| modes.default).unwrap_or_default()
    }

    /// The mode of `requires.identity` in a domain; [`Mode::Enforce`] for an unknown one.
    pub fn identity_mode(&self, domain: &Label) -> Mode {
        self.model.modes(domain).map(|modes| modes.identity).unwrap_or_default()
    }

    /// Whether callers of a domain must present a certificate to be let in at all, or are only asked for one.
    pub fn asks_identity(&self, domain: &Label) -> Asks {
        let services = self.model.domains.get(domain).into_iter().flat_map(|domain| domain.services.values());
        let is_open = services.flat_map(|service| service.open_routes()).next().is_some();
        if is_open || self.identity_mode(domain) < Mode::Enforce { Asks::Optional } else { Asks::Required }
    }

    /// Whether a listener without TLS may serve a domain: only where it does not enforce identity. An open route alone is
    /// not enough.
    pub fn serves_plaintext(&self, domain: &Label) -> bool {
        self.identity_mode(domain) < Mode::Enforce
    }

    /// What a domain does not enforce, a line for each check as `modes` names it: `requires.identity: shadow`,
    /// `policy.freeze: shadow, enforced for 10% of callers`, `policies: observe` for guardrails and whatever else forbids,
    /// `insecure_open: ledger GET /healthz` for a route that is open to everyone, and `when_stale: serve after 15m` where
    /// the silence of control refuses nothing. Empty where everything is enforced.
    pub fn relaxed(&self, domain: &Label) -> Vec<String> {
        let mut relaxed = self.model.domains.get(domain).map(modes::relaxed).unwrap_or_default();
        let stale = self.domains.get(domain).into_iter();
        let stale = stale.flat_map(|it| [("when_stale", it.when_stale), ("signals_stale", it.signals_stale)]);
        relaxed.extend(stale.filter(|(_, it)| it.then == Then::Serve).map(|(key, it)| format!("{key}: {it}")));
        relaxed
    }

    /// The tests, in the order of their files.
    pub fn tests(&self) -> &[TestCase] {
        &self.tests
    }

    /// The domain that claims a host; its certificate answers for that server name.
    pub fn find_host(&self, host: &Host) -> Option<&Label> {
        self.table.domain(host)
    }

    /// The hosts of a domain, sorted, each once: the DNS names of its gateways' certificates.
    pub fn hosts_of(&self, domain: &Label) -> Vec<Host> {
        let services = self.services.values().filter(|service| service.model.id.domain() == domain);
        let mut hosts: Vec<_> =
            services.flat_map(|service| service.hosts.iter().map(|claim| claim.host().clone())).collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// The service and route of a request. Allocates nothing.
    ///
    /// # Errors
    /// [`Reason::RouteUnknownHost`] where nobody claims the host, [`Reason::RouteUnlisted`] where no prefix of the host
    /// covers the path, or the service lists no such method and path and denies what it does not list. HEAD is a method
    /// like the others: a GET route does not answer it.
    pub fn route(&self, request: &CanonicalRequest) -> Result<(Arc<Service>, Arc<Route>), Reason> {
        let service = self.table.service(request)?;
        let listed = service.routes.find(request.method(), request.path().segments());
        match (listed, &service.model.unlisted) {
            (Some(route), _) => Ok((Arc::clone(service), Arc::clone(route))),
            // another spelling of a listed route must not be judged as something else: some upstreams serve it as that
            (None, Unlisted::Judge(_) | Unlisted::Tolerate(_)) if is_respelled(service, request) => {
                Err(Reason::RouteUnlisted)
            }
            (None, Unlisted::Judge(route) | Unlisted::Tolerate(route)) => Ok((Arc::clone(service), Arc::clone(route))),
            (None, Unlisted::Deny) => Err(Reason::RouteUnlisted),
        }
    }

    /// The service that a request's host and path lead to, whether it lists the request or not.
    pub fn service_for(&self, request: &CanonicalRequest) -> Option<&Arc<Service>> {
        self.table.service(request).ok()
    }

    /// For messages about a request that no route lists: the listed route of the same service that was probably meant.
    /// `None` where nothing is near.
    pub fn nearest_route(&self, request: &CanonicalRequest) -> Option<RouteId> {
        let service = self.table.service(request).ok()?;
        let path: Vec<&str> = request.path().segments().collect();
        let allowed = if path.is_empty() { 0 } else { 1 + path.len() / 3 };
        let away = |route: &Arc<Route>| {
            let (method, template) = route.id.call()?;
            let away = segments_away(template.segments(), &path).filter(|away| *away <= allowed)?;
            Some((away, *method != request.method()))
        };
        let candidates = service.model.routes.iter().filter_map(|route| Some((away(route)?, &route.id)));
        candidates.min().map(|(_, id)| id.clone())
    }
}

/// Whether a request that no route lists would be a listed one to an upstream that ignores letter case or a slash at the
/// end, or answers HEAD as GET.
fn is_respelled(service: &Service, request: &CanonicalRequest) -> bool {
    let same_method =
        |method: Method| method == request.method() || (method == Method::Get && request.method() == Method::Head);
    let calls = service.model.routes.iter().filter_map(|route| route.id.call());
    calls.filter(|(method, _)| same_method(*method)).any(|(_, template)| {
        let literal = |segment: &Segment| matches!(segment, Segment::Literal(text) if text.is_empty());
        let mut mine = template.segments().iter().filter(|segment| !literal(segment));
        let mut theirs = request.path().segments().filter(|segment| !segment.is_empty());
        loop {
            match (mine.next(), theirs.next()) {
                (None, None) => return true,
                (Some(Segment::Parameter(_)), Some(_)) => {}
                (Some(Segment::Literal(literal)), Some(segment)) if literal.eq_ignore_ascii_case(segment) => {}
                _ => return false,
            }
        }
    })
}

/// How far a path is from a template: 1 for a slip in a segment, 2 for another segment, 1 where one of the two is a
/// segment longer. `None` where the lengths are further apart.
fn segments_away(template: &[Segment], path: &[&str]) -> Option<usize> {
    let longer = template.len().abs_diff(path.len());
    let away = template.iter().zip(path).map(|pair| match pair {
        (Segment::Literal(literal), segment) if literal == *segment => 0,
        (Segment::Literal(literal), segment) if suggest::nearest(segment, [literal.as_str()]).is_some() => 1,
        (Segment::Parameter(_), segment) if !segment.is_empty() => 0,
        _ => 2,
    });
    (longer <= 1).then(|| away.sum::<usize>().saturating_add(longer))
}
