//! What policies say to a recorded call when the revision that decided is asked about it again.

use api::admin::{Clause, Decision, Identity, NearPermit, PolicyNote};
use policy::model::{Model, Route};
use policy::{PolicyInfo, Principal, Question, Reading};
use trustdir::Revision;
use types::{Method, PolicyId, Reason, ServiceId, Stage, Timestamp, WorkloadId};

use super::Known;

/// How far the moment in an id may be from that of its record, in microseconds. Further apart, a clock was set between.
const APART: u64 = 60_000_000;

/// What explains a decision.
#[derive(Default)]
pub(super) struct Evidence {
    /// The policies that decided or would have.
    pub(super) policies: Vec<PolicyNote>,
    /// The permits that came near; empty where one matches.
    pub(super) nearest: Vec<NearPermit>,
    /// Whether no permit matches, forbids left aside; absent where that is not known.
    pub(super) unpermitted: Option<bool>,
    /// The name that was probably meant by one that the revision does not have.
    pub(super) meant: Option<String>,
    /// Where the story may not be the whole truth.
    pub(super) doubts: Vec<String>,
}

impl Evidence {
    /// Asks the revision.
    pub(super) fn of(decision: &Decision, known: &Known<'_>) -> Self {
        let mut evidence = Self::default();
        let Some(revision) = known.revision else { return evidence };
        evidence.meant = meant(decision, revision);
        let call = Call::of(decision, revision);
        let question = call.as_ref().map(Call::question);
        let noted = decision.noted.iter().map(|noted| &noted.policy).filter(|id| !id.is_empty());
        for id in decision.determining.iter().chain(noted) {
            match named(revision, id) {
                _ if evidence.policies.iter().any(|known| known.id == *id) => {}
                Some(info) => evidence.policies.push(note(info, decision, known, question.as_ref())),
                None => evidence.doubts.push(format!("the revision has no policy {id}")),
            }
        }
        if let Some(question) = question.filter(|_| was_judged(decision)) {
            evidence.ask(revision, &question, decision);
        }
        evidence
    }

    fn ask(&mut self, revision: &Revision, question: &Question<'_>, decision: &Decision) {
        let verdict = revision.policies().evaluate(question);
        let code = verdict.reason.map_or("", Reason::code);
        let later = Reason::from_code(&decision.reason).is_some_and(|reason| reason.stage() > Stage::Policy);
        if code != if later { "" } else { decision.reason.as_str() } {
            let answer = if code.is_empty() { "allow it" } else { code };
            self.doubts.push(format!(
                "asked again about what the record holds, the policies answer otherwise ({answer}), so what is told of \
                 clauses and permits may not be what decided"
            ));
        }
        let Ok(near) = revision.policies().nearest(question) else { return };
        // who nobody is decides which permits come near
        let identified = question.principal != Principal::Unidentified;
        let asked = decision.reason != Reason::RequiresIdentity.code();
        self.unpermitted = Some(near.permits.is_empty()).filter(|_| asked);
        if near.permits.is_empty() && identified {
            self.nearest = near.nearest.iter().map(near_permit).collect();
        }
    }
}

/// The workload or host that a call probably meant.
fn meant(decision: &Decision, revision: &Revision) -> Option<String> {
    match Reason::from_code(&decision.reason)? {
        Reason::IdentityUnknownWorkload => {
            let domains = revision.model().domains.values();
            let names =
                domains.flat_map(|domain| domain.workloads.iter().map(|name| format!("{}/{name}", domain.name)));
            let names: Vec<String> = names.collect();
            policy::did_you_mean(&decision.caller, names.iter().map(String::as_str))
        }
        Reason::RouteUnknownHost | Reason::AcceptServerName => {
            let hosts: Vec<_> = revision.domains().keys().flat_map(|domain| revision.hosts_of(domain)).collect();
            policy::did_you_mean(&decision.host, hosts.iter().map(types::Host::as_str))
        }
        _ => None,
    }
}

/// Whether policies were asked.
fn was_judged(decision: &Decision) -> bool {
    let reason = Reason::from_code(&decision.reason);
    decision.risk.is_some() && reason.is_none_or(|reason| reason.stage() >= Stage::Consent)
}

/// A recorded call, as far as policies read it.
struct Call<'a> {
    caller: Option<WorkloadId>,
    method: Method,
    route: &'a Route,
    decision: &'a Decision,
    risk: u8,
}

impl<'a> Call<'a> {
    /// `None` where the record does not hold enough, or the revision does not have what it names.
    fn of(decision: &'a Decision, revision: &'a Revision) -> Option<Self> {
        let caller = match &decision.identity {
            Identity::Verified(_) => Some(decision.caller.parse().ok()?),
            Identity::Unidentified { .. } => None,
        };
        let method: Method = decision.method.parse().ok()?;
        let route = route(revision.model(), &decision.service, method, &decision.template)?;
        Some(Self { caller, method, route, decision, risk: decision.risk? })
    }

    fn question(&self) -> Question<'_> {
        Question {
            principal: self.caller.as_ref().map_or(Principal::Unidentified, Principal::Workload),
            method: self.method,
            route: self.route,
            source: self.decision.source,
            risk: self.risk,
            at: taken_at(self.decision),
        }
    }
}

/// When the request was taken, which is the moment that policies saw: its id begins with that in milliseconds (RFC 9562
/// 5.7), and a record has the moment at which it was written.
fn taken_at(decision: &Decision) -> Timestamp {
    let [a, b, c, d, e, f, ..] = *decision.id.bytes();
    let millis = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    let taken = Timestamp::from_micros(millis.saturating_mul(1_000));
    let apart = taken.micros().abs_diff(decision.at.micros());
    if apart <= APART { taken } else { decision.at }
}

/// A route by what the record says of it.
fn route<'m>(model: &'m Model, service: &str, method: Method, template: &str) -> Option<&'m Route> {
    let id: ServiceId = service.parse().ok()?;
    let routes = model.service(&id)?.judged_routes();
    let mut fitting = routes.filter(|route| match route.id.call() {
        Some((known, path)) => *known == method && path.as_str() == template,
        None => template == "*",
    });
    fitting.next().map(AsRef::as_ref)
}

/// A policy by the name that the record has.
fn named<'a>(revision: &'a Revision, id: &str) -> Option<&'a PolicyInfo> {
    let (scope, name) = id.split_once('/')?;
    revision.policies().describe(&PolicyId::new(scope, name))
}

/// A generated policy stands nowhere; the place that it was made from is named instead.
fn note(info: &PolicyInfo, decision: &Decision, known: &Known<'_>, question: Option<&Question<'_>>) -> PolicyNote {
    let origin = origin(info, decision).map(|(path, key)| {
        let line = (known.file)(&path).and_then(|text| line_of(&text, key));
        (path, line)
    });
    let (path, line) = origin.map_or_else(|| (info.path.clone(), info.line), |(path, line)| (Some(path), line));
    let policies = known.revision.map(|revision| revision.policies());
    let reading = question.zip(policies).and_then(|(question, policies)| policies.read(&info.id, question));
    let clauses = reading.filter(|_| !info.generated).map(|reading| clauses(&reading)).unwrap_or_default();
    PolicyNote {
        id: info.id.to_string(),
        effect: info.effect.as_str().to_owned(),
        reason: info.reason.clone(),
        path,
        line,
        generated: info.generated,
        source: info.text.clone(),
        clauses,
    }
}

fn near_permit(reading: &Reading<'_>) -> NearPermit {
    let info = reading.policy;
    NearPermit {
        id: info.id.to_string(),
        reason: info.reason.clone(),
        path: info.path.clone(),
        line: info.line,
        source: info.text.clone(),
        clauses: clauses(reading),
    }
}

fn clauses(reading: &Reading<'_>) -> Vec<Clause> {
    let clause = |clause: &policy::Clause| Clause {
        text: clause.text.clone(),
        holds: clause.holds,
        was: clause.was.clone(),
        span: (clause.place.start, clause.place.end),
    };
    reading.clauses.iter().map(clause).collect()
}

/// The file and the key that a generated policy was made from: the consent of the domain that is called, the consent of
/// the caller's domain, a requirement, or a route that is open to everyone.
fn origin(info: &PolicyInfo, decision: &Decision) -> Option<(String, &'static str)> {
    let (domain, name) = info.id.as_str().split_once('/').filter(|_| info.generated)?;
    let of_caller = || decision.caller.split_once('/').map(|(domain, _)| domain);
    let (domain, key) = match name.split('.').nth(1) {
        Some("calls") => (of_caller()?, "calls"),
        Some("accepts_from") => (domain, "accepts_from"),
        Some("identity") => (domain, "requires"),
        _ => (domain, "services"),
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
