//! A double of the admin service: an example organisation in memory, whose calls follow from the clock. It stands in
//! for control in this crate's tests, and lets the pages be looked at without a running installation.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use api::admin::{
    Access, AccessResult, Admin, Answer, Approve, Budget, Bundle, Certificate, Certified, Certify, Clause, Completion,
    Count, CountQuery, Counts, Decision, DecisionQuery, Decisions, Entry, Explanation, Failure, FailureCode, Federated,
    Finding, Health, Identity, Impersonate, Impersonated, JoinToken, ListenerStatus, LoginLink, MakeJoinToken,
    MapDomain, Minute, NearPermit, Noted, Peer, PolicyNote, Proposal, Publication, PublicationKind, Publish, Published,
    Reach, Registered, Restore, Retire, Revocation, Revoke, Rollback, Rotate, Rotation, Session, Severity, Status,
    Withdraw,
};
use types::facts::{Outcome, Protocol};
use types::{Clock, DecisionId, Mode, Timestamp};

mod acme;
mod fleet;
mod identity;

use acme::{KINDS, Kind, NEAR_SOURCE, steps};

/// A decision every so many microseconds.
const PACE: u64 = 200_000;
/// How many decisions back the double remembers.
const MEMORY: u64 = 9_000;
/// Text that would do harm where it is not escaped, or would turn the display around.
pub const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u{202e}gpj\u{0}\u{1b}[2J";

/// What the double holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum World {
    /// An organisation with traffic.
    Acme,
    /// Nothing at all.
    Empty,
    /// Acme, with hostile text in every field that is not ours.
    Hostile,
    /// Two hundred services.
    Large,
}

/// The double.
pub struct Double {
    clock: Arc<dyn Clock>,
    world: World,
    pub console: SocketAddr,
    revocations: Mutex<Vec<Revocation>>,
    publications: Mutex<Vec<Publication>>,
    proposals: Mutex<Vec<Proposal>>,
    rotations: Mutex<Vec<Rotation>>,
    sessions: Mutex<BTreeMap<String, String>>,
    /// Secrets, and whom they log in.
    links: Mutex<Vec<(String, String)>>,
    pub problems: Mutex<Vec<String>>,
    secrets: Mutex<u64>,
}

impl Double {
    /// A double that is asked through `clock`.
    pub fn new(world: World, clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        let double = Self {
            clock,
            world,
            console: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            revocations: Mutex::default(),
            publications: Mutex::default(),
            proposals: Mutex::default(),
            rotations: Mutex::default(),
            sessions: Mutex::default(),
            links: Mutex::default(),
            problems: Mutex::default(),
            secrets: Mutex::default(),
        };
        if world != World::Empty {
            *double.publications.lock().unwrap() = double.history(now);
            *double.revocations.lock().unwrap() = double.revoked(now);
            *double.proposals.lock().unwrap() = double.proposed(now);
            *double.rotations.lock().unwrap() = double.moving(now);
        }
        double
    }

    /// Text that is not ours.
    fn foreign(&self, text: &str) -> String {
        if self.world == World::Hostile { format!("{text}{HOSTILE}") } else { text.to_owned() }
    }

    fn before(now: Timestamp, seconds: u64) -> Timestamp {
        Timestamp::from_micros(now.micros().saturating_sub(seconds * 1_000_000))
    }

    fn history(&self, now: Timestamp) -> Vec<Publication> {
        let one = |number: u64, digit: char, kind, ago, why: &str, changes: &[&str], current| Publication {
            number,
            revision: format!("{digit}f9c21e{digit}").chars().cycle().take(64).collect(),
            kind,
            at: Self::before(now, ago),
            operator: self.foreign("local"),
            why: self.foreign(why),
            changes: changes.iter().map(|change| self.foreign(change)).collect(),
            approvals: if number == 2 { vec![self.foreign("alice")] } else { Vec::new() },
            current,
        };
        vec![
            one(
                4,
                '3',
                PublicationKind::Publish,
                410,
                "contact details are for HR only",
                &["policy hr/contact-is-for-hr added", "domain hr: requires.identity from shadow to enforce"],
                true,
            ),
            one(
                3,
                '8',
                PublicationKind::Rollback,
                5_400,
                "the freeze stopped a hotfix",
                &["policy platform/freeze-on-friday: enforce to shadow"],
                false,
            ),
            one(
                2,
                'b',
                PublicationKind::Publish,
                9_000,
                "no deploys on a Friday",
                &["policy platform/freeze-on-friday added", "route platform/deploys POST /deploys/{id}/approval added"],
                false,
            ),
            one(1, '8', PublicationKind::First, 260_000, "", &["4 domains, 9 services, 45 routes, 27 policies"], false),
        ]
    }

    fn revoked(&self, now: Timestamp) -> Vec<Revocation> {
        vec![Revocation {
            subject: self.foreign("spiffe://internal-tools.acme.internal/intranet"),
            reason: self.foreign("its host was rebuilt from an unknown image"),
            operator: self.foreign("local"),
            at: Self::before(now, 3_000),
            until: Some(now.plus_seconds(600)),
            epoch: 4_211,
            note: self.foreign("no connection of it was open"),
            reach: None,
        }]
    }

    fn kind_of(number: u64) -> &'static Kind {
        let all: u64 = KINDS.iter().map(|kind| kind.4).sum();
        let mut at =
            number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9) % all;
        KINDS
            .iter()
            .find(|kind| {
                let found = at < kind.4;
                at = at.saturating_sub(kind.4);
                found
            })
            .unwrap()
    }

    fn decision(&self, number: u64) -> Decision {
        let (caller, service, method, template, _, answer, reason, check) = *Self::kind_of(number);
        let at = Timestamp::from_micros(number * PACE + number % 7 * 1_013);
        let random: [u8; 10] = {
            let mut bytes = [7; 10];
            bytes[2..].copy_from_slice(&number.to_be_bytes());
            bytes
        };
        let foreign = |text: &str| if text.is_empty() { String::new() } else { self.foreign(text) };
        let (domain, name) = caller.split_once('/').unwrap_or_default();
        let spiffe = format!("spiffe://{domain}.acme.internal/{name}");
        let is_revoked =
            self.revocations.lock().unwrap().iter().any(|revocation| {
                revocation.at <= at && [caller, spiffe.as_str()].contains(&revocation.subject.as_str())
            });
        let (answer, reason) = if is_revoked { (Answer::Deny, "signals.revoked") } else { (answer, reason) };
        let denied = answer == Answer::Deny;
        let identity = if caller.is_empty() {
            Identity::Unidentified {
                claimed: foreign(if service.is_empty() { "spiffe://finance.acme.internal/ledger" } else { "" }),
            }
        } else {
            Identity::Verified(Certificate {
                spiffe_id: self.foreign(&spiffe),
                serial: format!("5c1e{number:016x}"),
                sha256: "ab".repeat(32),
                not_before: Self::before(at, 1_200),
                not_after: at.plus_seconds(2_400),
                via: foreign(if name == "ci" { "local" } else { "" }),
            })
        };
        let noted = Noted {
            check: check.into(),
            mode: Mode::Shadow,
            reason: reason.into(),
            policy: foreign("hr/requires.identity"),
        };
        Decision {
            id: DecisionId::new(at.micros() / 1000, random),
            at,
            outcome: if denied { Outcome::Deny } else { Outcome::Allow },
            reason: if denied { reason.into() } else { String::new() },
            note: if denied {
                self.foreign("hr accepts internal-tools for people; platform is not among them")
            } else {
                String::new()
            },
            caller: foreign(caller),
            identity,
            listener: "gateway".into(),
            protocol: if method.is_empty() { Protocol::Tls } else { Protocol::Http2 },
            source: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            host: self.foreign("payroll.acme.internal"),
            service: service.into(),
            method: method.into(),
            template: template.into(),
            risk: Some(50),
            determining: vec![self.foreign("hr/directory-reads-people")],
            noted: if answer == Answer::WouldDeny { vec![noted] } else { Vec::new() },
            epoch: Some(4_211),
            revision: Some("3f9c21e3".repeat(8)),
            lane: "worker-0".into(),
            sequence: number,
            enforcer: if number.is_multiple_of(3) { self.foreign("edge-1") } else { "gw-1".into() },
            completion: (!denied).then(|| Completion {
                status: Some(if method == "POST" { 201 } else { 200 }),
                reason: String::new(),
                duration_micros: 900 + number % 97 * 91,
                request_bytes: 120,
                response_bytes: 2_048,
                revision: None,
                epoch: None,
            }),
        }
    }

    fn latest(&self) -> u64 {
        self.clock.now().micros() / PACE
    }

    fn find(&self, name: &str) -> Result<Decision, Failure> {
        let digits = |text: &str| text.replace('-', "");
        let (head, tail) = name.split_once('…').map_or((name, ""), |(head, tail)| (head, tail));
        let (head, tail) = (digits(head), digits(tail));
        let last = self.latest();
        let found = (last.saturating_sub(MEMORY)..=last).rev().map(|number| self.decision(number)).find(|decision| {
            let id = digits(&decision.id.to_string());
            self.world != World::Empty && id.starts_with(&head) && id.ends_with(&tail)
        });
        found.ok_or_else(|| {
            Failure::new(
                FailureCode::NotFound,
                format!("no decision has the id `{name}`"),
                "see `countersign decisions`",
            )
        })
    }

    fn pairs(&self) -> impl Iterator<Item = (&'static str, String, Answer, &'static str)> + '_ {
        KINDS.iter().filter(|kind| !kind.1.is_empty()).map(|kind| {
            let caller = if kind.0.is_empty() { "(anyone)" } else { kind.0 };
            (caller, format!("{} {} {}", kind.1, kind.2, kind.3), kind.5, kind.6)
        })
    }

    fn access(&self, wanted: impl Fn(&str, &str) -> bool) -> Vec<Access> {
        let mut found: Vec<Access> = Vec::new();
        for (caller, route, answer, reason) in self.pairs().filter(|(caller, route, _, _)| wanted(caller, route)) {
            let result = match answer {
                Answer::Allow if caller.len() % 2 == 0 => AccessResult::Allowed,
                Answer::Allow | Answer::WouldDeny => AccessResult::Conditional,
                Answer::Deny => AccessResult::Refused,
            };
            let conditions =
                if result == AccessResult::Conditional { vec![self.foreign("context.risk < 60")] } else { Vec::new() };
            let policies = if result == AccessResult::Refused {
                Vec::new()
            } else {
                vec![self.foreign("finance/payments-posts-entries")]
            };
            found.push(Access {
                caller: self.foreign(caller),
                route: self.foreign(&route),
                result,
                policies,
                conditions,
                reason: reason.into(),
            });
        }
        found
    }

    fn secret(&self) -> String {
        let mut number = self.secrets.lock().unwrap();
        *number += 1;
        format!("secret-{number}")
    }

    fn rows(&self) -> Vec<Count> {
        let line = |kind: &Kind| Count {
            caller: if kind.0.is_empty() { String::new() } else { self.foreign(kind.0) },
            service: kind.1.into(),
            method: kind.2.into(),
            template: kind.3.into(),
            answer: kind.5,
            check: kind.7.into(),
            reason: kind.6.into(),
            count: kind.4,
        };
        KINDS.iter().map(line).collect()
    }
}

impl Admin for Double {
    fn status(&self) -> Status {
        Status {
            version: "0.1.0".into(),
            organisation: "acme.internal".into(),
            node: "gw-1".into(),
            started: Self::before(self.clock.now(), 12_000),
            revision: if self.world == World::Empty { "0".repeat(64) } else { "3f9c21e3".repeat(8) },
            counts: Counts { domains: 4, services: 9, routes: 45, workloads: 22, policies: 27 },
            listeners: vec![
                ListenerStatus {
                    name: "gateway".into(),
                    address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
                    plaintext: false,
                    domains: ["finance", "hr", "internal-tools", "platform"].map(str::to_owned).to_vec(),
                },
                ListenerStatus {
                    name: "old".into(),
                    address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
                    plaintext: true,
                    domains: vec!["internal-tools".to_owned()],
                },
            ],
            hosts: BTreeMap::new(),
            paths: BTreeMap::new(),
            data: "/var/lib/countersign/acme.internal".into(),
            workload_socket: "/var/lib/countersign/acme.internal/workload.sock".into(),
            console: Some(self.console),
            log_findings: Vec::new(),
        }
    }

    fn impersonate(&self, _: &str, _: &Impersonate) -> Result<Impersonated, Failure> {
        Err(Failure::new(FailureCode::NotAllowed, "the double issues nothing", ""))
    }

    fn decisions(&self, query: &DecisionQuery) -> Result<Decisions, Failure> {
        let last = self.latest();
        let numbers = if self.world == World::Empty { 0..0 } else { last.saturating_sub(MEMORY)..last };
        let fits = |decision: &Decision| {
            query.outcome.is_none_or(|answer| decision.answer() == answer)
                && query.caller.as_ref().is_none_or(|caller| {
                    let spiffe = matches!(&decision.identity, Identity::Verified(certificate) if certificate.spiffe_id == *caller);
                    decision.caller == *caller || spiffe
                })
        };
        let mut found: Vec<Decision> = numbers
            .rev()
            .map(|number| self.decision(number))
            .filter(fits)
            .take(query.limit.unwrap_or(usize::MAX))
            .collect();
        found.reverse();
        let (sender, receiver) = tokio::sync::mpsc::channel(found.len() + 2);
        for decision in found {
            sender.try_send(Entry::Decision(Box::new(decision))).unwrap();
        }
        Ok(receiver)
    }

    fn explain(&self, name: &str) -> Result<Explanation, Failure> {
        let decision = self.find(name)?;
        let at = |text: &str| {
            let from = NEAR_SOURCE.find(text).unwrap();
            (from, from + text.len())
        };
        let clause =
            |text: &str, holds, was: &str| Clause { text: text.into(), holds, was: self.foreign(was), span: at(text) };
        let near = NearPermit {
            id: "hr/directory-reads-people".into(),
            reason: self.foreign("The directory shows names, teams and phones."),
            path: Some("domains/hr/policies/people.cedar".into()),
            line: Some(12),
            source: if self.world == World::Hostile {
                format!("{NEAR_SOURCE}// {HOSTILE}")
            } else {
                NEAR_SOURCE.to_owned()
            },
            clauses: vec![
                clause("principal in Domain::\"internal-tools\"", Some(false), "platform"),
                clause("action == Action::\"GET\"", Some(true), ""),
                clause("resource in Service::\"hr/people\"", Some(true), ""),
                clause("resource.sensitivity < 3", Some(decision.template != "/people/{id}/contact"), "3"),
                clause("context.risk < 40", Some(false), "50"),
            ],
        };
        let denied = decision.outcome == Outcome::Deny;
        let policy = PolicyNote {
            id: self.foreign("finance/payments-posts-entries"),
            effect: "permit".into(),
            reason: self.foreign("Payments books every settled payment in the ledger."),
            path: Some(self.foreign("domains/finance/policies/ledger.cedar")),
            line: Some(4),
            generated: false,
            source: "permit (\n  principal == Workload::\"finance/payments\",\n  action == Action::\"POST\",\n  resource == Route::\"finance/ledger POST /entries\"\n) when { context.risk < 60 };\n".into(),
            clauses: Vec::new(),
        };
        Ok(Explanation {
            steps: steps(&decision),
            policies: if denied { Vec::new() } else { vec![policy] },
            revision_in_force: true,
            unknown: Vec::new(),
            forwarded: !denied,
            to_change: if denied {
                self.foreign("To allow this call, hr would have to accept platform for payroll (domains/hr) and a policy of hr would have to permit platform/ci.")
            } else {
                String::new()
            },
            nearest: if denied { vec![near] } else { Vec::new() },
            told: if denied {
                self.foreign("403: the called domain does not accept calls from the caller's domain")
            } else {
                String::new()
            },
            revision_since: Some(Self::before(decision.at, 120)),
            mode: Some(Mode::Enforce),
            decision,
        })
    }

    fn bundle(&self, domain: &str) -> Result<Bundle, Failure> {
        Err(Failure::new(FailureCode::NotFound, format!("the double has no roots of `{domain}`"), ""))
    }

    fn identities(&self) -> Result<Vec<Registered>, Failure> {
        Ok(self.registered(self.clock.now()))
    }

    fn budget(&self) -> Result<Budget, Failure> {
        Ok(self.outage_budget(self.clock.now()))
    }

    fn rotations(&self) -> Result<Vec<Rotation>, Failure> {
        Ok(self.rotations.lock().unwrap().clone())
    }

    fn rotate(&self, operator: &str, request: &Rotate) -> Result<Rotation, Failure> {
        self.rotated(operator, request)
    }

    fn federated(&self) -> Result<Vec<Federated>, Failure> {
        Ok(self.foreign_domains(self.clock.now()))
    }

    fn may_view(&self, _: &str) -> Result<(), Failure> {
        Ok(())
    }

    fn proposals(&self) -> Result<Vec<Proposal>, Failure> {
        Ok(self.proposals.lock().unwrap().clone())
    }

    fn approve(&self, operator: &str, request: &Approve) -> Result<Published, Failure> {
        self.approved(operator, request)
    }

    fn withdraw(&self, operator: &str, request: &Withdraw) -> Result<Proposal, Failure> {
        self.withdrawn(operator, request)
    }

    fn fleet(&self) -> Result<Vec<Peer>, Failure> {
        Ok(self.peers(self.clock.now()))
    }

    fn join_token(&self, _: &str, _: &MakeJoinToken) -> Result<JoinToken, Failure> {
        Err(Failure::new(FailureCode::NotAllowed, "the double lets nobody join", ""))
    }

    fn retire(&self, _: &str, _: &Retire) -> Result<Peer, Failure> {
        Err(Failure::new(FailureCode::NotAllowed, "the double forgets nobody", ""))
    }

    fn certify(&self, _: &str, _: &Certify) -> Result<Certified, Failure> {
        Err(Failure::new(FailureCode::NotAllowed, "the double issues nothing", ""))
    }

    fn publish(&self, _: &str, _: &Publish) -> Result<Published, Failure> {
        Err(Failure::new(FailureCode::Unavailable, "the double publishes nothing", ""))
    }

    fn rollback(&self, operator: &str, request: &Rollback) -> Result<Published, Failure> {
        let mut all = self.publications.lock().unwrap();
        let known = all.iter().find(|publication| publication.revision == request.revision).cloned();
        let known = known.ok_or_else(|| {
            Failure::new(
                FailureCode::NotFound,
                format!("no revision is named `{}`", request.revision),
                "see `countersign revisions`",
            )
        })?;
        for publication in all.iter_mut() {
            publication.current = false;
        }
        let made = Publication {
            number: all.len() as u64 + 1,
            kind: PublicationKind::Rollback,
            at: self.clock.now(),
            operator: operator.into(),
            why: request.why.clone(),
            changes: Vec::new(),
            current: true,
            ..known
        };
        all.insert(0, made.clone());
        Ok(Published::Current { publication: made, reach: Reach::default() })
    }

    fn publications(&self, limit: usize) -> Result<Vec<Publication>, Failure> {
        Ok(self.publications.lock().unwrap().iter().take(limit).cloned().collect())
    }

    fn revoke(&self, operator: &str, request: &Revoke) -> Result<Revocation, Failure> {
        if request.subject.starts_with("operator:") {
            return Err(Failure::new(
                FailureCode::BadRequest,
                "an operator cannot be revoked",
                "somebody must be able to restore",
            ));
        }
        let now = self.clock.now();
        let made = Revocation {
            subject: request.subject.clone(),
            reason: request.reason.clone(),
            operator: operator.into(),
            at: now,
            until: request.seconds.map(|seconds| now.plus_seconds(seconds)),
            epoch: 4_212,
            note: String::new(),
            reach: None,
        };
        self.revocations.lock().unwrap().insert(0, made.clone());
        Ok(made)
    }

    fn restore(&self, _: &str, request: &Restore) -> Result<Revocation, Failure> {
        let mut all = self.revocations.lock().unwrap();
        let place = all.iter().position(|revocation| revocation.subject == request.subject);
        let place = place
            .ok_or_else(|| Failure::new(FailureCode::NotFound, format!("`{}` is not revoked", request.subject), ""))?;
        Ok(all.remove(place))
    }

    fn revocations(&self) -> Result<Vec<Revocation>, Failure> {
        Ok(self.revocations.lock().unwrap().clone())
    }

    fn counts(&self, _: &CountQuery) -> Result<Vec<Count>, Failure> {
        match self.world {
            World::Empty => Ok(Vec::new()),
            World::Acme | World::Hostile => {
                let mut all = self.rows();
                all.sort_by_key(|line| std::cmp::Reverse(line.count));
                Ok(all)
            }
            World::Large => Ok((0..400_usize)
                .map(|at| Count {
                    caller: format!("domain-{}/caller-{}", at % 12, at % 5),
                    service: format!("domain-{}/service-{}", at * 7 % 12, at % 17),
                    method: "GET".into(),
                    template: "/things/{id}".into(),
                    answer: if at % 41 == 0 { Answer::Deny } else { Answer::Allow },
                    check: String::new(),
                    reason: if at % 41 == 0 { "policy.no-permit".into() } else { String::new() },
                    count: at as u64 % 97 + 1,
                })
                .collect()),
        }
    }

    fn minutes(&self, query: &CountQuery) -> Result<Vec<Minute>, Failure> {
        let minute = |micros: Option<u64>| micros.unwrap_or_default() / 60_000_000;
        let value = |at: u64, salt: u64| (at * 31 + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let quiet = self.world == World::Empty;
        let one = |at: u64| Minute {
            at: Timestamp::from_seconds(at * 60),
            allow: if quiet { 0 } else { 40 + value(at, 1) % 17 },
            would_deny: if quiet { 0 } else { u64::from(value(at, 2) % 3 == 0) * (value(at, 3) % 3) },
            deny: if quiet || value(at, 4) % 3 > 0 { 0 } else { value(at, 5) % 5 },
        };
        Ok((minute(query.since)..minute(query.until)).map(one).collect())
    }

    fn who_can(&self, route: &str) -> Result<Vec<Access>, Failure> {
        let found = self.access(|_, known| known == route);
        if found.is_empty() {
            return Err(Failure::new(
                FailureCode::NotFound,
                format!("no route is named `{route}`"),
                "a route is `domain/service METHOD /template`",
            ));
        }
        Ok(found)
    }

    fn what_can(&self, caller: &str) -> Result<Vec<Access>, Failure> {
        Ok(self.access(|known, _| known == caller))
    }

    fn map(&self) -> Vec<MapDomain> {
        acme::map(self)
    }

    fn health(&self) -> Health {
        let problems = self.problems.lock().unwrap().clone();
        Health { ready: problems.is_empty(), problems }
    }

    fn doctor(&self) -> Vec<Finding> {
        let finding = |severity, subject: &str, message: &str, hint: &str| Finding {
            severity,
            subject: subject.into(),
            message: self.foreign(message),
            hint: hint.into(),
        };
        if self.world == World::Empty {
            return Vec::new();
        }
        vec![
            finding(Severity::Good, "decision log", "3.9 GiB free, full in 41 days at the rate of the last hour", ""),
            finding(
                Severity::Good,
                "certificates",
                "the gateway's next renewal is in 14 min; the shortest lasts 29 min",
                "",
            ),
            finding(
                Severity::Warning,
                "plaintext",
                "2 callers still come without TLS: internal-tools/search, hr/portal",
                "give them an SVID from the workload socket",
            ),
            finding(
                Severity::Warning,
                "fleet",
                "proxy/edge-3 is not connected, and was last heard at 09:09",
                "see the log of proxy/edge-3; if it will not come back: countersign retire proxy/edge-3",
            ),
            finding(Severity::Good, "revocation in hr", "3 enforcers connected; at worst 120 s", ""),
            finding(Severity::Good, "store", "integrity checked at 09:12, 212 KiB", ""),
        ]
    }

    fn metrics(&self) -> String {
        "# TYPE countersign_decisions counter\ncountersign_decisions_total{answer=\"allow\"} 398\n# EOF\n".into()
    }

    fn login_link(&self, operator: &str) -> Result<LoginLink, Failure> {
        let secret = self.secret();
        self.links.lock().unwrap().push((secret.clone(), operator.to_owned()));
        Ok(LoginLink {
            url: format!("http://{}/login#{secret}", self.console),
            until: self.clock.now().plus_seconds(600),
        })
    }

    fn log_in(&self, secret: &str) -> Result<Option<Session>, Failure> {
        let mut links = self.links.lock().unwrap();
        let Some(place) = links.iter().position(|(known, _)| known == secret) else { return Ok(None) };
        let (_, operator) = links.remove(place);
        let session = self.secret();
        self.sessions.lock().unwrap().insert(session.clone(), operator.clone());
        Ok(Some(Session { secret: session, operator, until: self.clock.now().plus_seconds(3_600) }))
    }

    fn session(&self, secret: &str) -> Option<String> {
        self.sessions.lock().unwrap().get(secret).cloned()
    }

    fn log_out(&self, secret: &str) {
        self.sessions.lock().unwrap().remove(secret);
    }
}
