//! Control's answers to operators.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use api::admin::{
    Access, Admin, Approve, Budget, Bundle, Certified, Certify, Count, CountQuery, Counts, Decision, DecisionQuery,
    Decisions, Explanation, Failure, FailureCode, Federated, Finding, Health, Impersonate, Impersonated, JoinToken,
    ListenerStatus, LoginLink, MakeJoinToken, MapDomain, Minute, Peer, Proposal, Publication, Publish, Published,
    Registered, Restore, Retire, Revocation, Revoke, Rollback, Rotate, Rotation, Session, Status, Withdraw,
};
use api::issuance::{Issuance, IssueError};
use arc_swap::ArcSwap;
use policy::Act;
use record::Log;
use tokio::sync::{mpsc, watch};
use trustdir::Revision;
use types::facts::{self, Outcome};
use types::{Clock, Label, Method, RevisionId, Timestamp, WorkloadId, limits, template::Segment};

use crate::access;
use crate::acts;
use crate::counting::{Counter, Counting};
use crate::explain::{Known, explain};
use crate::federation::Federations;
use crate::history::{History, Logs, unreadable};
use crate::intake::Intake;
use crate::ledger::Ledger;
use crate::map::map;
use crate::names::Callers;
use crate::operators::Strangers;
use crate::peers::Peers;
use crate::pem;
use crate::roles::Roles;
use crate::rotation::Rotating;
use crate::store::Store;
use crate::wire::hub::Hub;

/// How many entries wait for a slow reader.
const WAITING: usize = 256;
/// How many earlier revisions are kept compiled, for the next story of one of their decisions.
const REMEMBERED: usize = 4;

/// What control works with.
pub struct Parts {
    /// The version of the program.
    pub version: &'static str,
    /// The node's name.
    pub node: Label,
    /// The data directory.
    pub data: PathBuf,
    /// The trust directory that the process was started with.
    pub source: Option<PathBuf>,
    /// The Workload API's socket.
    pub workload_socket: PathBuf,
    /// The decision log.
    pub log: Arc<Log>,
    /// The decision logs of others.
    pub intake: Arc<Intake>,
    /// What was found when the log was opened.
    pub log_findings: Vec<String>,
    /// The listeners as they were bound; one without domains serves those of whatever revision is in force.
    pub listeners: Vec<ListenerStatus>,
    /// Where the console is served.
    pub console: Option<ConsoleAt>,
    /// The revision that is current. Control's own: enforcers learn of it over the wire.
    pub revision: Arc<ArcSwap<Revision>>,
    /// What is held against whom, as [`Self::revision`].
    pub signals: Arc<ArcSwap<signal::State>>,
    /// Where peers reach control: the address of its first listener for them; `None` where it takes none.
    pub wire: Option<SocketAddr>,
    /// What must not be forgotten.
    pub store: Arc<Store>,
    /// Where the roots come from.
    pub issuance: Arc<dyn Issuance>,
    /// The roles beside this one.
    pub roles: Arc<dyn Roles>,
    /// Where administrative acts are recorded.
    pub ledger: Arc<Ledger>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// Where browsers find the console.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsoleAt {
    /// Where it listens.
    pub address: SocketAddr,
    /// What its links begin with: `http://127.0.0.1:8441`, or `https://control.acme.internal:8441`.
    pub origin: String,
}

/// The administrator of one process.
pub struct Control {
    pub(crate) parts: Parts,
    pub(crate) counter: Counter,
    /// Held for the whole of a publication: one after the other.
    pub(crate) publishing: Mutex<()>,
    /// Held while signals change, so that the store and what enforcers see go the same way.
    pub(crate) signalling: Mutex<()>,
    /// Whether operators have user ids of this machine.
    pub(crate) users: watch::Sender<bool>,
    /// Refusals of those whose word does not count.
    pub(crate) strangers: Strangers,
    /// What the connections of peers share.
    pub(crate) hub: Hub,
    /// The trust domains of others.
    pub(crate) federation: Federations,
    /// What the driver of rotations remembers.
    pub(crate) rotating: Rotating,
    remembered: Mutex<Vec<Arc<Revision>>>,
    draining: AtomicBool,
    started: Timestamp,
}

impl Control {
    /// Ready to answer. Counting begins.
    ///
    /// # Errors
    /// When the system gives no thread to count with, or the store does not say who joined.
    pub fn new(parts: Parts) -> std::io::Result<Self> {
        let joined = parts.store.peers().map_err(|error| std::io::Error::other(acts::with_causes(&error)))?;
        let counting = Counting {
            log: parts.log.dir().to_owned(),
            intake: Arc::clone(&parts.intake),
            store: Arc::clone(&parts.store),
            callers: Callers::under(&parts.revision),
            plaintext: parts.listeners.iter().filter(|one| one.plaintext).map(|one| one.name.clone()).collect(),
            clock: Arc::clone(&parts.clock),
        };
        let control = Self {
            counter: Counter::start(counting)?,
            started: parts.clock.now(),
            publishing: Mutex::default(),
            signalling: Mutex::default(),
            users: watch::Sender::new(has_users(&parts.revision.load())),
            strangers: Strangers::default(),
            hub: Hub::new(Peers::of(joined)),
            federation: Federations::default(),
            rotating: Rotating::default(),
            remembered: Mutex::default(),
            draining: AtomicBool::new(false),
            parts,
        };
        control.settle_federation();
        Ok(control)
    }

    /// From now on it says that it is stopping.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(crate) const fn started(&self) -> Timestamp {
        self.started
    }

    /// Tells peers that something else is current.
    pub(crate) fn changed(&self) {
        self.tell_peers();
    }

    /// Whether an operator may act at this moment; a refusal is on record before it is told.
    pub(crate) fn may(&self, operator: &str, act: Act<'_>) -> Result<(), Failure> {
        acts::judge(&self.parts.ledger, &self.parts.revision.load(), operator, act, "", "")
    }

    fn history(&self) -> History {
        History {
            logs: Logs { own: self.parts.log.dir().to_owned(), intake: Arc::clone(&self.parts.intake) },
            callers: Callers::under(&self.parts.revision),
            clock: Arc::clone(&self.parts.clock),
        }
    }

    fn listeners(&self, revision: &Revision) -> Vec<ListenerStatus> {
        let mut listeners = self.parts.listeners.clone();
        for listener in listeners.iter_mut().filter(|listener| listener.domains.is_empty()) {
            listener.domains = revision.domains().keys().map(Label::to_string).collect();
        }
        listeners
    }

    /// Judges the act; a refusal is recorded before it is told.
    fn judge(&self, revision: &Revision, operator: &str, workload: &WorkloadId) -> Result<(), Failure> {
        let verdict = revision.policies().may_impersonate(operator, workload);
        if verdict.outcome == Outcome::Allow {
            return Ok(());
        }
        let spiffe_id = revision.workloads().get(workload).map(|known| known.spiffe_id.as_str()).unwrap_or_default();
        let recorded = self.parts.ledger.issuance(&facts::Issuance {
            outcome: Outcome::Deny,
            note: &verdict.note,
            spiffe_id,
            serial: "",
            not_after: None,
            selectors: "",
            via: operator,
        });
        recorded.map_err(|error| acts::not_recorded(&error))?;
        if spiffe_id.is_empty() {
            let hint = format!("the running revision {} has no such workload", revision.id().short());
            return Err(Failure::new(FailureCode::NotFound, format!("there is no workload `{workload}`"), hint));
        }
        let message = format!("operator `{operator}` may not impersonate {workload}: {}", verdict.note);
        Err(Failure::new(FailureCode::NotAllowed, message, "permit the action `impersonate` in admin.cedar"))
    }

    /// The deciding revision: the one in force, or one that was kept.
    fn revision_of(&self, decision: &Decision, unknown: &mut Vec<String>) -> Option<Arc<Revision>> {
        let id: RevisionId = decision.revision.as_ref()?.parse().ok()?;
        let current = self.parts.revision.load_full();
        if current.id() == id {
            return Some(current);
        }
        let remembered = || self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let known = remembered().iter().find(|known| known.id() == id).cloned();
        if known.is_some() {
            return known;
        }
        let loaded = self.parts.store.load(id).inspect_err(|error| unknown.push(error.to_string())).ok()?;
        let mut remembered = remembered();
        remembered.insert(0, Arc::clone(&loaded));
        remembered.truncate(REMEMBERED);
        Some(loaded)
    }
}

/// For each host the first listed path that takes a GET and has no parameters.
fn plain_paths(revision: &Revision) -> BTreeMap<String, String> {
    let mut paths = BTreeMap::new();
    for service in revision.services().values() {
        for route in &service.model.routes {
            let Some((Method::Get, template)) = route.id.call() else { continue };
            if template.segments().iter().any(|segment| matches!(segment, Segment::Parameter(_))) {
                continue;
            }
            for host in service.hosts.iter().filter(|host| template.as_str().starts_with(host.prefix())) {
                paths.entry(host.host().as_str().to_owned()).or_insert_with(|| template.as_str().to_owned());
            }
        }
    }
    paths
}

impl Admin for Control {
    fn status(&self) -> Status {
        let revision = self.parts.revision.load();
        let domains = revision.domains().keys();
        let hosts = domains.flat_map(|domain| {
            revision.hosts_of(domain).into_iter().map(|host| (host.as_str().to_owned(), domain.to_string()))
        });
        Status {
            version: self.parts.version.to_owned(),
            organisation: revision.model().organisation.to_string(),
            node: self.parts.node.to_string(),
            started: self.started,
            revision: revision.id().to_string(),
            counts: counts(&revision),
            listeners: self.listeners(&revision),
            hosts: hosts.collect::<BTreeMap<_, _>>(),
            paths: plain_paths(&revision),
            data: self.parts.data.display().to_string(),
            workload_socket: self.parts.workload_socket.display().to_string(),
            console: self.parts.console.as_ref().map(|console| console.address),
            log_findings: self.parts.log_findings.clone(),
        }
    }

    fn impersonate(&self, operator: &str, request: &Impersonate) -> Result<Impersonated, Failure> {
        let bad = |message: String, hint: &str| Failure::new(FailureCode::BadRequest, message, hint);
        let workload: WorkloadId =
            request.workload.parse().map_err(|error| bad(format!("{error}"), "name it like finance/payments"))?;
        let csr = pem::read_request(&request.csr).ok_or_else(|| {
            bad("the certificate request is not PEM".to_owned(), "send a PKCS #10 CERTIFICATE REQUEST")
        })?;
        let revision = self.parts.revision.load();
        self.judge(&revision, operator, &workload)?;
        if let Some(id) = revision.model().federated.id_of(&workload) {
            let hint = "ask for it where that trust domain is at home";
            return Err(bad(format!("`{workload}` is {id}: another trust domain issues its identity"), hint));
        }
        let svid = self.parts.roles.impersonate(&workload, operator, &csr).map_err(|error| not_issued(&error))?;
        Ok(Impersonated {
            spiffe_id: svid.spiffe_id.to_string(),
            chain: pem::certificates(&svid.chain_der),
            serial: svid.serial,
            not_after: svid.not_after,
            via: operator.to_owned(),
        })
    }

    /// Reads on a thread of its own, which ends with the log or when the receiver is gone.
    fn decisions(&self, query: &DecisionQuery) -> Result<Decisions, Failure> {
        let most = limits::LISTED_DECISIONS.default_usize();
        if query.limit.is_some_and(|limit| limit > most) {
            let hint = "ask for all of a time instead, with --since and without --limit";
            let message = format!("at most {most} can be asked for by number");
            return Err(Failure::new(FailureCode::BadRequest, message, hint));
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        let (history, query) = (self.history(), query.clone());
        // opening tells at once what would otherwise be told to nobody
        record::Cursor::open_since(&history.logs.own, self.parts.clock.now()).map_err(unreadable)?;
        let read = move || {
            if let Err(error) = history.answer(&query, &sender) {
                tracing::error!(%error, "a listing of decisions ended early");
            }
        };
        let spawned = std::thread::Builder::new().name("decisions".to_owned()).spawn(read);
        spawned
            .map_err(|error| Failure::new(FailureCode::Unavailable, format!("no thread to read with: {error}"), ""))?;
        Ok(receiver)
    }

    fn explain(&self, name: &str) -> Result<Explanation, Failure> {
        let decision = self.history().find(name)?;
        let mut unknown = Vec::new();
        let revision = self.revision_of(&decision, &mut unknown);
        let id = revision.as_ref().map(|revision| revision.id());
        let since = id.map(|id| self.parts.store.current_since(id, decision.at)).transpose();
        let since = since.inspect_err(|error| unknown.push(error.to_string())).ok().flatten().flatten();
        let in_force = id == Some(self.parts.revision.load().id());
        let file = |path: &str| id.and_then(|id| self.parts.store.file(id, path));
        Ok(explain(decision, Known { revision: revision.as_deref(), in_force, since, file: &file, unknown }))
    }

    fn bundle(&self, domain: &str) -> Result<Bundle, Failure> {
        self.bundle_of(domain)
    }

    fn identities(&self) -> Result<Vec<Registered>, Failure> {
        Ok(self.registered())
    }

    fn budget(&self) -> Result<Budget, Failure> {
        Ok(self.outage_budget())
    }

    fn rotations(&self) -> Result<Vec<Rotation>, Failure> {
        Ok(self.rotations_now())
    }

    fn rotate(&self, operator: &str, request: &Rotate) -> Result<Rotation, Failure> {
        self.rotate_keys_of(operator, request)
    }

    fn federated(&self) -> Result<Vec<Federated>, Failure> {
        self.federated_domains()
    }

    fn may_view(&self, operator: &str) -> Result<(), Failure> {
        self.may(operator, Act::View)
    }

    fn publish(&self, operator: &str, request: &Publish) -> Result<Published, Failure> {
        self.publish_files(operator, request)
    }

    fn rollback(&self, operator: &str, request: &Rollback) -> Result<Published, Failure> {
        self.roll_back(operator, request)
    }

    fn proposals(&self) -> Result<Vec<Proposal>, Failure> {
        self.what_waits()
    }

    fn approve(&self, operator: &str, request: &Approve) -> Result<Published, Failure> {
        self.approve_proposal(operator, request)
    }

    fn withdraw(&self, operator: &str, request: &Withdraw) -> Result<Proposal, Failure> {
        self.withdraw_proposal(operator, request)
    }

    fn fleet(&self) -> Result<Vec<Peer>, Failure> {
        self.peers()
    }

    fn join_token(&self, operator: &str, request: &MakeJoinToken) -> Result<JoinToken, Failure> {
        self.new_join_token(operator, request)
    }

    fn retire(&self, operator: &str, request: &Retire) -> Result<Peer, Failure> {
        self.retire_peer(operator, request)
    }

    fn certify(&self, operator: &str, request: &Certify) -> Result<Certified, Failure> {
        self.certify_operator(operator, request)
    }

    fn publications(&self, limit: usize) -> Result<Vec<Publication>, Failure> {
        let limit = limit.min(limits::PUBLICATIONS_LISTED.default_usize());
        self.parts.store.publications(limit).map_err(|error| acts::unavailable(&error))
    }

    fn revoke(&self, operator: &str, request: &Revoke) -> Result<Revocation, Failure> {
        self.take_trust(operator, request)
    }

    fn restore(&self, operator: &str, request: &Restore) -> Result<Revocation, Failure> {
        self.give_trust_back(operator, request)
    }

    fn revocations(&self) -> Result<Vec<Revocation>, Failure> {
        self.held_against()
    }

    fn counts(&self, query: &CountQuery) -> Result<Vec<Count>, Failure> {
        self.counted(query)
    }

    fn minutes(&self, query: &CountQuery) -> Result<Vec<Minute>, Failure> {
        self.minute_by_minute(query)
    }

    fn who_can(&self, route: &str) -> Result<Vec<Access>, Failure> {
        access::who_can(&self.parts.revision.load(), route)
    }

    fn what_can(&self, caller: &str) -> Result<Vec<Access>, Failure> {
        access::what_can(&self.parts.revision.load(), caller)
    }

    fn map(&self) -> Vec<MapDomain> {
        map(&self.parts.revision.load())
    }

    fn health(&self) -> Health {
        self.how_it_is()
    }

    fn doctor(&self) -> Vec<Finding> {
        self.examine()
    }

    fn metrics(&self) -> String {
        self.figures()
    }

    fn login_link(&self, operator: &str) -> Result<LoginLink, Failure> {
        self.new_link(operator)
    }

    fn log_in(&self, secret: &str) -> Result<Option<Session>, Failure> {
        self.use_link(secret)
    }

    fn session(&self, secret: &str) -> Option<String> {
        self.operator_of(secret)
    }

    fn log_out(&self, secret: &str) {
        self.end_session(secret);
    }
}

/// Whether a revision gives user ids to operators.
pub(crate) fn has_users(revision: &Revision) -> bool {
    revision.operators().values().any(|operator| operator.uid.is_some())
}

/// What a revision holds, in numbers.
pub(crate) fn counts(revision: &Revision) -> Counts {
    Counts {
        domains: revision.domains().len(),
        services: revision.services().len(),
        routes: revision.services().values().map(|service| service.model.routes.len()).sum(),
        workloads: revision.workloads().len(),
        policies: revision.policies().all().filter(|policy| !policy.generated).count(),
    }
}

pub(crate) fn not_issued(error: &IssueError) -> Failure {
    let code = match error {
        IssueError::NotEntitled(_) => FailureCode::NotAllowed,
        IssueError::Unavailable(_) | IssueError::Limited(_) => FailureCode::Unavailable,
        IssueError::BadRequest(_) => FailureCode::BadRequest,
    };
    Failure::new(code, error.to_string(), "")
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
