//! Values of every type that travels, such that together they show every field and every word.

use std::collections::BTreeMap;

use api::admin::{
    Access, AccessResult, Answer, Approve, Budget, BudgetLine, Bundle, Certificate, Certified, Certify, Clause,
    Completion, Count, Counts, Damage, Decision, Entry, Explanation, Failure, FailureCode, Federated, Finding, Health,
    Held, Identity, Impersonate, Impersonated, JoinToken, Keys, ListenerStatus, LoginLink, MakeJoinToken, MapDomain,
    MapService, Minute, NearPermit, Need, Noted, Peer, PeerLoad, PeerLog, PolicyNote, Proposal, Publication,
    PublicationKind, Publish, Published, Reach, Refusals, Registered, Restore, Retire, Revocation, Revoke, Role,
    Rollback, Rotate, Rotation, RotationAct, RotationPhase, Severity, Status, Step, StepResult, Withdraw,
};
use serde_json::{Value, json};
use types::facts::{Outcome, Protocol};
use types::{DecisionId, KeyKind, Mode, Timestamp};

use super::put;

/// Every variant of a closed enumeration; one that is added does not compile until it stands here.
macro_rules! every {
    ($name:ident: $($variant:ident),+) => {{
        const fn _known(one: $name) { match one { $($name::$variant => {}),+ } }
        [$($name::$variant),+]
    }};
}

fn at() -> Timestamp {
    Timestamp::from_seconds(1_795_425_242)
}

fn text() -> String {
    "x".to_owned()
}

fn texts() -> Vec<String> {
    vec![text()]
}

/// By the name of their schema.
pub(super) fn all() -> BTreeMap<&'static str, Vec<Value>> {
    let mut all = BTreeMap::new();
    installation(&mut all);
    decisions(&mut all);
    access(&mut all);
    identities(&mut all);
    revisions(&mut all);
    trust_and_fleet(&mut all);
    operators(&mut all);
    all
}

fn installation(all: &mut BTreeMap<&'static str, Vec<Value>>) {
    let listener =
        ListenerStatus { name: text(), address: "127.0.0.1:1".parse().unwrap(), domains: texts(), plaintext: true };
    let status = Status {
        version: text(),
        organisation: text(),
        node: text(),
        started: at(),
        revision: text(),
        counts: Counts::default(),
        listeners: vec![listener],
        hosts: [(text(), text())].into(),
        paths: [(text(), text())].into(),
        data: text(),
        workload_socket: text(),
        console: Some("127.0.0.1:1".parse().unwrap()),
        log_findings: texts(),
    };
    put(all, "Status", [Status { console: None, ..status.clone() }, status]);
    put(all, "Health", [Health { ready: false, problems: texts() }]);
    let finding = |severity| Finding { severity, subject: text(), message: text(), hint: text() };
    put(all, "Finding", every!(Severity: Problem, Warning, Good).map(finding));
    let codes = every!(FailureCode: BadRequest, Unidentified, NotAllowed, NotFound, WrongMethod, TooLarge, WrongType, Ambiguous, Conflict, Unavailable);
    put(all, "Failure", codes.map(|code| Failure::new(code, "x", "x")));
    let service = |sensitivity: &str| MapService {
        name: text(),
        sensitivity: sensitivity.to_owned(),
        hosts: texts(),
        routes: texts(),
    };
    let domain = |mode| MapDomain {
        name: text(),
        mode,
        relaxed: texts(),
        services: ["public", "internal", "confidential", "restricted"].map(service).to_vec(),
        workloads: texts(),
    };
    put(all, "MapDomain", every!(Mode: Observe, Shadow, Enforce).map(domain));
}

fn decision(outcome: Outcome, protocol: Protocol, identity: Identity) -> Decision {
    let completion = Completion {
        status: Some(200),
        reason: text(),
        duration_micros: 1,
        request_bytes: 1,
        response_bytes: 1,
        revision: Some(text()),
        epoch: Some(1),
    };
    Decision {
        id: DecisionId::new(1, [7; 10]),
        at: at(),
        outcome,
        reason: text(),
        note: text(),
        caller: text(),
        identity,
        listener: text(),
        protocol,
        source: Some("192.0.2.7".parse().unwrap()),
        host: text(),
        service: text(),
        method: text(),
        template: text(),
        risk: Some(1),
        determining: texts(),
        noted: vec![Noted { check: text(), mode: Mode::Shadow, reason: text(), policy: text() }],
        epoch: Some(1),
        revision: Some(text()),
        enforcer: text(),
        lane: text(),
        sequence: 1,
        completion: Some(completion),
    }
}

fn decisions(all: &mut BTreeMap<&'static str, Vec<Value>>) {
    let certificate = Certificate {
        spiffe_id: text(),
        serial: text(),
        sha256: text(),
        not_before: at(),
        not_after: at(),
        via: text(),
    };
    let verified = Identity::Verified(certificate);
    let unidentified = Identity::Unidentified { claimed: text() };
    let protocols = every!(Protocol: Tls, Http1, Http2);
    let some = protocols.map(|protocol| decision(Outcome::Allow, protocol, verified.clone()));
    let none = Decision {
        completion: None,
        risk: None,
        source: None,
        epoch: None,
        revision: None,
        ..decision(Outcome::Deny, Protocol::Tls, unidentified)
    };
    put(all, "Decision", some.iter().chain([&none]));
    let decisions = some.into_iter().chain([none.clone()]).map(|one| Entry::Decision(Box::new(one)));
    put(all, "Entry", decisions);
    let refusals = Refusals { at: at(), since: at(), listener: text(), reason: text(), source: None, count: 1 };
    put(all, "Entry", [Entry::Refusals(refusals), Entry::Damage(Damage { message: text() })]);
    put(all, "Outcome", every!(Outcome: Allow, Deny));
    let results = every!(StepResult: Passed, Refused, Failed, NotReached, Pending, Noted, WouldRefuse);
    let clause = |holds| Clause { text: text(), holds, was: text(), span: (1, 2) };
    let explanation = Explanation {
        decision: none,
        steps: results.map(|result| Step { name: text(), result, summary: text(), facts: texts() }).to_vec(),
        policies: vec![PolicyNote {
            id: text(),
            effect: text(),
            reason: text(),
            path: Some(text()),
            line: Some(1),
            generated: true,
            source: text(),
            clauses: vec![clause(Some(true)), clause(None)],
        }],
        revision_in_force: true,
        unknown: texts(),
        forwarded: true,
        to_change: text(),
        nearest: vec![NearPermit {
            id: text(),
            reason: text(),
            path: None,
            line: None,
            source: text(),
            clauses: vec![clause(None)],
        }],
        told: text(),
        revision_since: Some(at()),
        mode: Some(Mode::Enforce),
    };
    put(all, "Explanation", [Explanation { revision_since: None, mode: None, ..explanation.clone() }, explanation]);
}

fn access(all: &mut BTreeMap<&'static str, Vec<Value>>) {
    let count = |answer| Count {
        caller: text(),
        service: text(),
        method: text(),
        template: text(),
        answer,
        check: text(),
        reason: text(),
        count: 1,
    };
    put(all, "Count", every!(Answer: Allow, WouldDeny, Deny).map(count));
    put(all, "Minute", [Minute { at: at(), allow: 1, would_deny: 1, deny: 1 }]);
    let access = |result| Access {
        caller: text(),
        route: text(),
        result,
        policies: texts(),
        conditions: texts(),
        reason: text(),
    };
    put(all, "Access", every!(AccessResult: Allowed, Conditional, Refused).map(access));
}

fn identities(all: &mut BTreeMap<&'static str, Vec<Value>>) {
    put(all, "Bundle", [Bundle { trust_domain: text(), roots: text(), document: text() }]);
    let held = Held { node: text(), serial: text(), not_after: at(), failures: 1, connected: true };
    let registered = |key| Registered {
        spiffe_id: text(),
        workload: text(),
        key,
        ttl_seconds: 1,
        rules: texts(),
        runs_on: Some(texts()),
        revoked: true,
        held: vec![held.clone()],
    };
    let kinds = every!(KeyKind: P256, P384, Rsa2048);
    put(all, "KeyKind", kinds);
    put(all, "Registered", kinds.map(registered));
    put(all, "Registered", [Registered { runs_on: None, ..registered(KeyKind::P256) }]);
    let line = BudgetLine { spiffe_id: text(), node: text(), not_after: at(), seconds: 1 };
    let budget = Budget {
        at: at(),
        first_failure: Some(at()),
        seconds: Some(1),
        first: vec![line],
        counted: 1,
        unknown: texts(),
    };
    put(all, "Budget", [Budget { first_failure: None, seconds: None, ..budget.clone() }, budget]);
    put(all, "Keys", every!(Keys: X509, Jwt));
    let rotation = |phase| Rotation {
        domain: text(),
        keys: Keys::X509,
        phase,
        since: Some(at()),
        held: true,
        current: text(),
        other: text(),
        key: KeyKind::P256,
        waiting_for: texts(),
        given_up: texts(),
        retires_at: Some(at()),
        not_after: Some(at()),
        reach: Some(Reach::default()),
    };
    let phases = every!(RotationPhase: Idle, Prepared, Published, Acknowledged, Signing);
    put(all, "RotationPhase", phases);
    put(all, "Rotation", phases.map(rotation));
    let idle =
        Rotation { since: None, retires_at: None, not_after: None, reach: None, ..rotation(RotationPhase::Idle) };
    put(all, "Rotation", [idle]);
    let acts = every!(RotationAct: Start, Back, Emergency);
    put(all, "RotationAct", acts);
    put(all, "Rotate", acts.map(|act| Rotate { domain: text(), keys: Keys::Jwt, act, reason: text() }));
    let federated = |profile: &str| Federated {
        trust_domain: text(),
        url: text(),
        profile: profile.to_owned(),
        roots: 1,
        sequence: Some(1),
        fetched: Some(at()),
        next: Some(at()),
        problem: text(),
    };
    let first = Federated { sequence: None, fetched: None, next: None, ..federated("https_web") };
    put(all, "Federated", [first, federated("https_web"), federated("https_spiffe")]);
}

fn revisions(all: &mut BTreeMap<&'static str, Vec<Value>>) {
    let publish = Publish { files: [(text(), text())].into(), why: text(), after: Some(text()) };
    put(all, "Publish", [Publish { after: None, ..publish.clone() }, publish]);
    put(all, "Rollback", [Rollback { revision: text(), why: text() }]);
    put(all, "Approve", [Approve { number: 1, revision: text(), why: text() }]);
    put(all, "Withdraw", [Withdraw { number: 1, why: text() }]);
    let publication = |kind| Publication {
        number: 1,
        revision: text(),
        kind,
        at: at(),
        operator: text(),
        why: text(),
        changes: texts(),
        approvals: texts(),
        current: true,
    };
    let publications = every!(PublicationKind: First, Publish, Rollback).map(publication);
    let reach = Reach { in_force: 1, enforcers: 1, waiting: texts() };
    let current = publications.map(|publication| Published::Current { publication, reach: reach.clone() });
    let need = Need { folder: text(), owners: texts(), because: texts(), approved_by: text() };
    let proposal = Proposal {
        number: 1,
        revision: text(),
        base: text(),
        kind: PublicationKind::Publish,
        at: at(),
        operator: text(),
        why: text(),
        changes: texts(),
        needs: vec![need],
    };
    put(all, "Published", current.into_iter().chain([Published::Proposed { proposal }]));
}

fn trust_and_fleet(all: &mut BTreeMap<&'static str, Vec<Value>>) {
    let revoke = Revoke { subject: text(), reason: text(), seconds: Some(1) };
    put(all, "Revoke", [Revoke { seconds: None, ..revoke.clone() }, revoke]);
    put(all, "Restore", [Restore { subject: text(), reason: text() }]);
    let revocation = Revocation {
        subject: text(),
        reason: text(),
        operator: text(),
        at: at(),
        until: Some(at()),
        epoch: 1,
        note: text(),
        reach: Some(Reach::default()),
    };
    put(all, "Revocation", [Revocation { until: None, reach: None, ..revocation.clone() }, revocation]);
    let peer = |role| Peer {
        role,
        name: text(),
        address: text(),
        version: text(),
        joined: at(),
        connected: true,
        since: Some(at()),
        heard: Some(at()),
        domains: Some(texts()),
        groups: Some(texts()),
        publication: Some(1),
        revision: text(),
        revision_since: Some(at()),
        publications_behind: 1,
        epoch: Some(1),
        epochs_behind: 1,
        problem: text(),
        clock_ahead_millis: -1,
        revoked: true,
        load: Some(PeerLoad::default()),
        log: Some(PeerLog { gaps: texts(), ..PeerLog::default() }),
    };
    let nothing = Peer {
        since: None,
        heard: None,
        domains: None,
        groups: None,
        publication: None,
        revision_since: None,
        epoch: None,
        load: None,
        log: None,
        ..peer(Role::Agent)
    };
    let roles = every!(Role: Proxy, Agent);
    put(all, "Peer", roles.map(peer).into_iter().chain([nothing]));
    let make = MakeJoinToken {
        role: Role::Proxy,
        name: text(),
        group: Some(text()),
        domains: Some(texts()),
        seconds: Some(1),
    };
    put(all, "MakeJoinToken", [MakeJoinToken { group: None, domains: None, seconds: None, ..make.clone() }, make]);
    put(all, "JoinToken", [JoinToken { token: text(), root_sha256: text(), address: text(), until: at() }]);
    put(all, "Retire", [Retire { role: Role::Agent, name: text(), why: text() }]);
}

fn operators(all: &mut BTreeMap<&'static str, Vec<Value>>) {
    let certify = Certify { name: text(), csr: text(), seconds: Some(60) };
    put(all, "Certify", [Certify { seconds: None, ..certify.clone() }, certify]);
    put(all, "Certified", [Certified { chain: text(), root: text(), serial: text(), not_after: at() }]);
    put(all, "Impersonate", [Impersonate { workload: text(), csr: text() }]);
    let impersonated = Impersonated { spiffe_id: text(), chain: text(), serial: text(), not_after: at(), via: text() };
    put(all, "Impersonated", [impersonated]);
    put(all, "LoginLink", [LoginLink { url: text(), until: at() }]);
    put(all, "Nothing", [json!({}), json!(null)]);
}
