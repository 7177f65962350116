//! Control's answers to operators.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use api::admin::{
    Admin, Bundle, Counts, Decision, DecisionQuery, Decisions, Explanation, Failure, FailureCode, Impersonate,
    Impersonated, ListenerStatus, PolicyNote, Status,
};
use api::issuance::{Issuance, IssueError, Svid};
use arc_swap::ArcSwap;
use policy::PolicyInfo;
use tokio::sync::mpsc;
use trustdir::Revision;
use types::facts::{self, Outcome};
use types::{Clock, Label, Method, PolicyId, RevisionId, Timestamp, WorkloadId, limits, template::Segment};

use crate::explain::{Context, explain};
use crate::history::{History, unreadable};
use crate::ledger::Ledger;
use crate::pem;
use crate::store::Revisions;

/// Issues a certificate in the name of a workload to the named operator, for a request in DER; recorded by the issuer.
pub type Mint = dyn Fn(&WorkloadId, &str, &[u8]) -> Result<Svid, IssueError> + Send + Sync;

/// How many entries wait for a slow reader.
const WAITING: usize = 256;

/// What control works with.
pub struct Parts {
    /// The version of the program.
    pub version: &'static str,
    /// The node's name.
    pub node: Label,
    /// The data directory.
    pub data: PathBuf,
    /// The Workload API's socket.
    pub workload_socket: PathBuf,
    /// The decision log's directory.
    pub log: PathBuf,
    /// What was found when the log was opened.
    pub log_findings: Vec<String>,
    /// The listeners as they were bound.
    pub listeners: Vec<ListenerStatus>,
    /// The revision in force.
    pub revision: Arc<ArcSwap<Revision>>,
    /// The revisions that ever were.
    pub revisions: Revisions,
    /// Where the roots come from.
    pub issuance: Arc<dyn Issuance>,
    /// Issues to operators.
    pub mint: Box<Mint>,
    /// Where refusals of administrative acts are recorded.
    pub ledger: Arc<Ledger>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// The administrator of one process.
pub struct Control {
    parts: Parts,
    started: Timestamp,
}

impl Control {
    /// Ready to answer.
    pub fn new(parts: Parts) -> Self {
        let started = parts.clock.now();
        Self { parts, started }
    }

    fn history(&self) -> History {
        History {
            dir: self.parts.log.clone(),
            organisation: self.parts.revision.load().model().organisation.clone(),
            clock: Arc::clone(&self.parts.clock),
        }
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
        recorded
            .map_err(|error| Failure::new(FailureCode::Unavailable, error.to_string(), "see the log of the process"))?;
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
        self.parts.revisions.load(id).inspect_err(|error| unknown.push(format!("{error}"))).ok()
    }

    /// A generated policy stands nowhere; the place that it was made from is named instead.
    fn note(&self, info: &PolicyInfo, decision: &Decision, revision: RevisionId) -> PolicyNote {
        let origin = origin(info, decision).map(|(path, key)| {
            let line = self.parts.revisions.file(revision, &path).and_then(|text| line_of(&text, key));
            (path, line)
        });
        let (path, line) = origin.map_or_else(|| (info.path.clone(), info.line), |(path, line)| (Some(path), line));
        PolicyNote {
            id: info.id.to_string(),
            effect: info.effect.as_str().to_owned(),
            reason: info.reason.clone(),
            path,
            line,
            generated: info.generated,
            source: info.text.clone(),
        }
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
            listeners: self.parts.listeners.clone(),
            hosts: hosts.collect::<BTreeMap<_, _>>(),
            paths: plain_paths(&revision),
            data: self.parts.data.display().to_string(),
            workload_socket: self.parts.workload_socket.display().to_string(),
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
        let svid = (self.parts.mint)(&workload, operator, &csr).map_err(|error| not_issued(&error))?;
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
            return Err(Failure::new(
                FailureCode::BadRequest,
                format!("at most {most} can be asked for by number"),
                hint,
            ));
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        let (history, query) = (self.history(), query.clone());
        // opening tells at once what would otherwise be told to nobody
        record::Cursor::open_since(&history.dir, self.parts.clock.now()).map_err(unreadable)?;
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
        let mut context = Context::default();
        let current = self.parts.revision.load().id().to_string();
        context.revision_in_force = decision.revision.as_ref().is_some_and(|id| *id == current);
        if let Some(revision) = self.revision_of(&decision, &mut context.unknown) {
            for id in &decision.determining {
                match named(&revision, id) {
                    Some(info) => context.policies.push(self.note(info, &decision, revision.id())),
                    None => context.unknown.push(format!("the revision has no policy {id}")),
                }
            }
        }
        Ok(explain(decision, context))
    }

    fn bundle(&self, domain: &str) -> Result<Bundle, Failure> {
        let trust_domain = format!("{domain}.{}", self.parts.revision.load().model().organisation);
        let bundles = self.parts.issuance.bundles();
        let found = bundles.roots.iter().find(|(name, _)| name.as_str() == trust_domain);
        let (name, roots) = found.ok_or_else(|| {
            let known: Vec<String> = self.parts.revision.load().domains().keys().map(Label::to_string).collect();
            let shown: String = domain.chars().take(80).collect();
            let hint = format!("the domains are {}", known.join(", "));
            Failure::new(FailureCode::NotFound, format!("there is no domain `{shown}`"), hint)
        })?;
        Ok(Bundle { trust_domain: name.to_string(), roots: pem::certificates(roots) })
    }
}

fn counts(revision: &Revision) -> Counts {
    Counts {
        domains: revision.domains().len(),
        services: revision.services().len(),
        routes: revision.services().values().map(|service| service.model.routes.len()).sum(),
        workloads: revision.workloads().len(),
        policies: revision.policies().all().filter(|policy| !policy.generated).count(),
    }
}

fn not_issued(error: &IssueError) -> Failure {
    let code = match error {
        IssueError::NotEntitled(_) => FailureCode::NotAllowed,
        IssueError::Unavailable(_) => FailureCode::Unavailable,
        IssueError::BadRequest(_) => FailureCode::BadRequest,
    };
    Failure::new(code, error.to_string(), "")
}

/// A policy by the name that the record has.
fn named<'a>(revision: &'a Revision, id: &str) -> Option<&'a PolicyInfo> {
    let (scope, name) = id.split_once('/')?;
    revision.policies().describe(&PolicyId::new(scope, name))
}

/// The file and the key that a generated policy was made from: the consent of the domain that is called, the consent of
/// the caller's domain, or a requirement.
fn origin(info: &PolicyInfo, decision: &Decision) -> Option<(String, &'static str)> {
    let domain_of = |id: &str| id.split_once('/').map(|(domain, name)| (domain.to_owned(), name.to_owned()));
    let (domain, name) = domain_of(info.id.as_str()).filter(|_| info.generated)?;
    let (domain, key) = match name.split('.').nth(1) {
        Some("calls") => (domain_of(&decision.caller)?.0, "calls"),
        Some("accepts_from") => (domain, "accepts_from"),
        _ => (domain, "requires"),
    };
    Some((format!("domains/{domain}/domain.yaml"), key))
}

/// The line of a key at the top of a YAML file, counted from 1. `None` where it is written in another way, or not at
/// all because silence is what it says.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let at =
        text.lines().position(|line| line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':')))?;
    at.checked_add(1)
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
