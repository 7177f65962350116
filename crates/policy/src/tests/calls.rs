//! The states of a request and what they write into the record, with a peer verified from a real certificate.

use std::sync::Arc;

use identity::{Bundle, BundleSet, VerifiedPeer, verify};
use signal::{Cleared, Revocation, State, Subject};
use testkit::{Authority, LeafPlan};
use types::facts::{Caller, Decision, Facts, Noted, Outcome, Protocol};
use types::{CanonicalRequest, DecisionId, Mode, Reason, Recordable, RevisionId, SpiffeId, TrustDomain};

use super::fixture::*;
use crate::call::{Accepted, Identified, Parsed, Refused, Situated};
use crate::model::{Model, Modes, Route, Service};
use crate::{Basis, Permit, Policies, Sources, compile};

const REVISION: RevisionId = RevisionId::from_digest([7; 32]);

fn peer(id: &str) -> VerifiedPeer {
    let domain = SpiffeId::parse(id).expect(id).trust_domain().clone();
    let authority = Authority::of(domain.as_str(), NOON);
    let leaf = authority.issue(&LeafPlan::svid(id, NOON));
    let bundle = Bundle::from_der(domain, vec![authority.der().to_vec()]).expect("a bundle");
    let chain: Vec<_> = leaf.chain.into_iter().map(Into::into).collect();
    verify(&chain, &BundleSet::from_iter([bundle]), NOON).expect("a verified peer")
}

fn accepted() -> Accepted {
    let source = "192.0.2.7".parse().expect("an address");
    Accepted {
        id: DecisionId::new(1, [9; 10]),
        at: NOON,
        listener: Arc::from("gateway"),
        source,
        protocol: Protocol::Http2,
        server_name: None,
    }
}

fn parsed(id: &str, method: &str, target: &str) -> Parsed {
    let identified: Identified = accepted().identified(peer(id)).expect("identified");
    identified.parsed(CanonicalRequest::parse(method, "ledger.acme.internal", target).expect("a request"))
}

fn situated(policies: &Policies, id: &str, risk: u8) -> Situated {
    let service = policies.model().service(&"finance/ledger".parse().expect("an id")).expect("known").clone();
    let route = service.routes.first().expect("a route").clone();
    let routed = parsed(id, "POST", "/entries").routed(REVISION, policies.model(), service, route);
    let routed = routed.expect("routed");
    let cleared =
        State::default().clear(routed.parsed().identified().peer().expect("verified"), NOON).expect("cleared");
    routed.situated(cleared, risk)
}

fn decision(recordable: &impl Recordable) -> Decision<'_> {
    let Facts::Decision(decision) = recordable.facts() else { panic!("not a decision") };
    decision
}

#[test]
fn a_permit_says_everything_in_the_record() {
    let policies = policies();
    let permit = policies.judge(situated(&policies, "spiffe://finance.acme.internal/payments", 59)).expect("a permit");
    let decision = decision(&permit);
    assert_eq!((decision.outcome, decision.reason, decision.note), (Outcome::Allow, "", ""));
    assert_eq!((decision.service, decision.method, decision.template), ("finance/ledger", "POST", "/entries"));
    assert_eq!((decision.risk, decision.revision), (Some(59), Some(REVISION)));
    assert_eq!(decision.determining, ["finance/payments-posts-entries"]);
    let Caller::Verified(peer) = decision.caller else { panic!("not verified") };
    assert_eq!((peer.spiffe_id, peer.via), ("spiffe://finance.acme.internal/payments", ""));
    assert!(!peer.serial.is_empty() && peer.not_before < NOON && peer.not_after > NOON);
}

#[test]
fn a_refusal_says_how_far_it_got() {
    let policies = policies();
    let refused =
        policies.judge(situated(&policies, "spiffe://finance.acme.internal/payments", 200)).expect_err("refused");
    assert_eq!(refused.reason(), Reason::PolicyForbidden);
    let of_judge = decision(&refused);
    assert_eq!((of_judge.outcome, of_judge.reason, of_judge.risk), (Outcome::Deny, "policy.forbidden", Some(100)));
    assert_eq!(of_judge.determining, ["org/nothing-above-risk-90"]);

    let early = Refused::new(accepted(), Reason::IdentityUntrusted, "why")
        .with_claimed(SpiffeId::parse("spiffe://evil/x").expect("an id"))
        .with_revision(REVISION);
    let of_door = decision(&early);
    assert_eq!(of_door.caller, Caller::Unidentified { claimed: "spiffe://evil/x" });
    assert_eq!((of_door.service, of_door.method, of_door.template, of_door.risk), ("", "", "", None));
    assert_eq!(of_door.revision, Some(REVISION));
}

#[test]
fn a_note_is_cut_at_its_limit_between_characters() {
    let refused = Refused::new(accepted(), Reason::ParseMalformed, "ä".repeat(400));
    assert_eq!(refused.note().len(), 512);
    let refused = Refused::new(accepted(), Reason::ParseMalformed, format!("x{}", "ä".repeat(400)));
    assert_eq!(refused.note().len(), 511);
}

#[test]
fn an_expired_peer_is_not_identified_on_a_connection_that_outlives_it() {
    let peer = peer("spiffe://finance.acme.internal/payments");
    let at = |at| Accepted { at, ..accepted() };
    let last = types::Timestamp::from_micros(peer.not_after().seconds() * 1_000_000 + 999_999);
    assert!(at(last).identified(peer.clone()).is_ok(), "the last second counts");
    let refused = at(peer.not_after().plus_seconds(1)).identified(peer.clone()).expect_err("expired");
    assert_eq!(refused.reason(), Reason::IdentityExpired);
    assert!(matches!(decision(&refused).caller, Caller::Unidentified { claimed } if claimed.ends_with("/payments")));
    let early = types::Timestamp::from_seconds(peer.not_before().seconds() - 1);
    assert!(at(early).identified(peer).is_err());
}

#[test]
fn only_registered_workloads_are_routed() {
    let model = model();
    for (id, want) in [
        ("spiffe://finance.acme.internal/payments", Ok("finance/payments")),
        ("spiffe://finance.acme.internal/ledger", Ok("finance/ledger")),
        ("spiffe://finance.acme.internal/portal", Err(Reason::IdentityUnknownWorkload)),
        ("spiffe://finance.acme.internal/payments/x", Err(Reason::IdentityUnknownWorkload)),
        ("spiffe://finance.acme.internal", Err(Reason::IdentityUnknownWorkload)),
        ("spiffe://sales.acme.internal/payments", Err(Reason::IdentityUnknownWorkload)),
        ("spiffe://financeacme.internal/payments", Err(Reason::IdentityUnknownWorkload)),
        ("spiffe://acme.internal/payments", Err(Reason::IdentityUnknownWorkload)),
        ("spiffe://a.finance.acme.internal/payments", Err(Reason::IdentityUnknownWorkload)),
        ("spiffe://finance.acme.internal.evil/payments", Err(Reason::IdentityUnknownWorkload)),
        ("spiffe://finance.acme.internal/_gateway/gw-1", Err(Reason::IdentityNotACaller)),
        ("spiffe://system.acme.internal/proxy/gw-1", Err(Reason::IdentityNotACaller)),
        ("spiffe://devices.acme.internal/1", Err(Reason::IdentityNotACaller)),
    ] {
        let got = model.workload_of(&SpiffeId::parse(id).expect(id)).map(|workload| workload.to_string());
        assert_eq!(got, want.map(str::to_owned), "{id}");
    }
    assert!(TrustDomain::parse("finance.acme.internal").is_ok());
}

#[test]
fn a_federated_id_is_the_workload_of_the_domain_that_names_exactly_it() {
    let mut model = model();
    let web = "spiffe://cluster.local/ns/a/sa/web";
    let parse = |id: &str| SpiffeId::parse(id).expect(id);
    let of = |model: &Model, id: &str| model.workload_of(&parse(id)).map(|workload| workload.to_string());
    assert_eq!(of(&model, web), Err(Reason::IdentityUnknownWorkload), "nobody names it");
    model.federated = [(parse(web), workload("finance/payments"))].into_iter().collect();
    assert_eq!(of(&model, web), Ok("finance/payments".to_owned()));
    for near in ["spiffe://cluster.local/ns/a/sa/web2", "spiffe://cluster.local/ns/a/sa", "spiffe://cluster.local/_x"] {
        assert_eq!(of(&model, near), Err(Reason::IdentityUnknownWorkload), "{near} (ID-6)");
    }
    let own = "spiffe://finance.acme.internal/payments";
    assert_eq!(of(&model, own), Err(Reason::IdentityUnknownWorkload), "a stolen finance key does not make it");
    assert_eq!(of(&model, "spiffe://finance.acme.internal/ledger"), Ok("finance/ledger".to_owned()));
    model.federated = ["finance/payments", "hr/people"].map(|name| (parse(web), workload(name))).into_iter().collect();
    assert_eq!(of(&model, web), Err(Reason::IdentityUnknownWorkload), "two name it");
}

#[test]
fn a_federated_caller_is_judged_as_the_workload_that_it_is_here() {
    let web = "spiffe://cluster.local/ns/a/sa/web";
    let of = |name: &str| {
        let mut model = model();
        model.federated = [(SpiffeId::parse(web).expect(web), workload(name))].into_iter().collect();
        compile(&Arc::new(model), &sources(FINANCE, HR)).0.expect("policies")
    };
    let policies = of("finance/payments");
    let permit = policies.judge(situated(&policies, web, 20)).expect("the permit for finance/payments");
    let recorded = decision(&permit);
    assert_eq!(recorded.determining, ["finance/payments-posts-entries"]);
    assert!(matches!(recorded.caller, Caller::Verified(peer) if peer.spiffe_id == web), "the record says who it was");
    // of a domain that has no consent of finance
    let policies = of("platform/ci");
    let refused = policies.judge(situated(&policies, web, 20)).expect_err("no consent");
    assert_eq!(refused.reason(), Reason::ConsentProvider);
    // nobody's
    let policies = policies_of(&sources(FINANCE, HR));
    let service = policies.model().service(&"finance/ledger".parse().expect("an id")).expect("known").clone();
    let route = service.routes.first().expect("a route").clone();
    let refused = parsed(web, "POST", "/entries").routed(REVISION, policies.model(), service, route);
    assert_eq!(refused.expect_err("unknown").reason(), Reason::IdentityUnknownWorkload);
}

#[test]
fn a_route_of_another_request_is_not_joined() {
    let policies = policies();
    let service = |id: &str| policies.model().service(&id.parse().expect("an id")).expect("known").clone();
    let (ledger, people) = (service("finance/ledger"), service("hr/people"));
    let payments = "spiffe://finance.acme.internal/payments";
    for (service, route) in [
        (ledger.clone(), people.routes.get(1).expect("POST /people").clone()),
        (ledger.clone(), ledger.routes.get(1).expect("GET /entries/{id}").clone()),
    ] {
        let routed = parsed(payments, "POST", "/entries").routed(REVISION, policies.model(), service, route);
        assert_eq!(routed.expect_err("refused").reason(), Reason::PolicyError);
    }
}

/// A call that is situated with nothing held against anybody, at epoch 7.
fn at_epoch(parsed: Parsed, policies: &Policies, index: usize) -> Situated {
    let service = policies.model().service(&"finance/ledger".parse().expect("an id")).expect("known").clone();
    let route = service.judged_routes().nth(index).expect("a route").clone();
    let routed = parsed.routed(REVISION, policies.model(), service, route).expect("routed");
    let state = State::new(7, []);
    let cleared = match routed.parsed().identified().peer() {
        Some(peer) => state.clear(peer, NOON).expect("cleared"),
        None => state.nobody(),
    };
    routed.situated(cleared, 20)
}

fn with_modes(modes: Modes) -> Policies {
    let mut model = model();
    let finance = model.domains.get_mut(&label("finance")).expect("finance");
    finance.modes = modes;
    finance.services.insert(label("ledger"), Arc::new(tolerating_ledger()));
    compile(&Arc::new(model), &sources(FINANCE, HR)).0.expect("policies")
}

fn nobody(method: &str, target: &str) -> Parsed {
    let request = CanonicalRequest::parse(method, "ledger.acme.internal", target).expect("a request");
    accepted().unidentified().parsed(request)
}

#[test]
fn nobody_is_refused_where_identity_is_enforced_and_tolerated_where_it_is_not() {
    let refused = {
        let policies = with_modes(Modes::default());
        policies.judge(at_epoch(nobody("POST", "/entries"), &policies, 0)).expect_err("refused")
    };
    assert_eq!((refused.reason(), refused.noted()), (Reason::RequiresIdentity, &[][..]));
    let of_refused = decision(&refused);
    assert_eq!((of_refused.caller, of_refused.epoch), (Caller::Unidentified { claimed: "" }, Some(7)));

    let policies = with_modes(Modes { identity: Mode::Shadow, permit: Mode::Observe, ..Modes::default() });
    let permit = policies.judge(at_epoch(nobody("POST", "/entries"), &policies, 0)).expect("tolerated");
    let Basis::Tolerated(by) = permit.basis() else { panic!("{permit:?}") };
    assert_eq!((by.check(), by.mode()), ("requires.identity", Mode::Shadow));
    assert!(permit.situated().peer().is_none() && permit.situated().routed().workload().is_none());
    let of_permit = decision(&permit);
    assert_eq!((of_permit.outcome, of_permit.epoch), (Outcome::Allow, Some(7)));
    assert_eq!((of_permit.caller.clone(), of_permit.determining.len()), (Caller::Unidentified { claimed: "" }, 0));
    let shadow = |check, mode, reason, policy| Noted { check, mode, reason, policy };
    let wanted = [
        shadow("requires.identity", Mode::Shadow, "requires.identity", "finance/requires.identity"),
        shadow("permit", Mode::Observe, "policy.no-permit", ""),
    ];
    assert_eq!(of_permit.noted, wanted);
    assert_eq!(of_permit.would_deny(), Some(&wanted[0]));
}

#[test]
fn everyone_may_call_an_open_route_and_no_other() {
    let policies = with_modes(Modes::default());
    let permit = policies.judge(at_epoch(nobody("GET", "/healthz"), &policies, 2)).expect("open");
    assert_eq!((permit.basis(), permit.noted()), (Basis::Allowed, &[][..]));
    assert_eq!(decision(&permit).determining, ["finance/insecure_open.ledger"]);
    // A caller of a domain that neither side's consent names.
    let stranger = parsed("spiffe://platform.acme.internal/ci", "GET", "/healthz");
    assert!(policies.judge(at_epoch(stranger, &policies, 2)).is_ok());
    let refused = policies.judge(at_epoch(nobody("GET", "/entries/1"), &policies, 1)).expect_err("refused");
    assert_eq!(refused.reason(), Reason::RequiresIdentity);
    let ledger = parsed("spiffe://finance.acme.internal/ledger", "POST", "/entries");
    let refused = policies.judge(at_epoch(ledger, &policies, 0)).expect_err("refused");
    assert!(!refused.note().contains("insecure_open"), "it is near to no call of another route: {}", refused.note());
    let info = policies.describe(&types::PolicyId::new("finance", "insecure_open.ledger")).expect("generated");
    assert_eq!((info.reason.as_str(), info.generated), ("ledger opens GET /healthz to everyone", true));
    // A certificate that names nobody's workload is worse than none.
    let unknown = parsed("spiffe://finance.acme.internal/stranger", "GET", "/healthz");
    let (service, route) = open_route(&policies);
    let refused = unknown.routed(REVISION, policies.model(), service, route).expect_err("refused");
    assert_eq!(refused.reason(), Reason::IdentityUnknownWorkload);
}

fn open_route(policies: &Policies) -> (Arc<Service>, Arc<Route>) {
    let service = policies.model().service(&"finance/ledger".parse().expect("an id")).expect("known").clone();
    let route = service.open_routes().next().expect("an open route").clone();
    (service, route)
}

#[test]
fn what_no_mode_names_is_refused_when_everything_is_relaxed() {
    let policies = with_modes(Modes::all(Mode::Observe));
    let (service, route) = open_route(&policies);
    let route_of = |parsed: Parsed| parsed.routed(REVISION, policies.model(), service.clone(), route.clone());
    for (id, want) in [
        ("spiffe://finance.acme.internal/stranger", Reason::IdentityUnknownWorkload),
        ("spiffe://sales.acme.internal/payments", Reason::IdentityUnknownWorkload),
        ("spiffe://finance.acme.internal/_gateway/gw-1", Reason::IdentityNotACaller),
    ] {
        assert_eq!(route_of(parsed(id, "GET", "/healthz")).expect_err("refused").reason(), want, "{id}");
    }
    let refused = route_of(nobody("POST", "/healthz")).expect_err("refused");
    assert_eq!(refused.reason(), Reason::PolicyError, "a route of another method");
    let late = Accepted { at: NOON.plus_seconds(1 << 30), ..accepted() };
    let peer = peer("spiffe://finance.acme.internal/payments");
    assert_eq!(late.identified(peer).expect_err("refused").reason(), Reason::IdentityExpired);
}

#[test]
fn a_clearance_of_somebody_else_is_none() {
    let policies = with_modes(Modes::all(Mode::Observe));
    let payments = "spiffe://finance.acme.internal/payments";
    let (service, route) = open_route(&policies);
    let situated = |cleared: Cleared, parsed: Parsed| {
        let routed = parsed.routed(REVISION, policies.model(), service.clone(), route.clone()).expect("routed");
        policies.judge(routed.situated(cleared, 20))
    };
    let get = || parsed(payments, "GET", "/healthz");
    let state = State::default();
    let of_other = || state.clear(&peer("spiffe://finance.acme.internal/ledger"), NOON).expect("cleared");
    for (cleared, parsed) in [(state.nobody(), get()), (of_other(), get()), (of_other(), nobody("GET", "/healthz"))] {
        let refused = situated(cleared, parsed).expect_err("refused");
        assert_eq!((refused.reason(), refused.noted()), (Reason::PolicyError, &[][..]));
    }
    assert!(situated(state.nobody(), nobody("GET", "/healthz")).is_ok(), "so that the test can fail");
}

#[test]
fn what_is_not_listed_is_noted_from_the_route_on() {
    let policies = with_modes(Modes { unlisted: Mode::Observe, ..Modes::default() });
    let service = policies.model().service(&"finance/ledger".parse().expect("an id")).expect("known").clone();
    let pseudo = service.judged_routes().last().expect("the pseudo-route").clone();
    let payments = parsed("spiffe://finance.acme.internal/payments", "GET", "/other");
    let routed = payments.routed(REVISION, policies.model(), service.clone(), pseudo.clone()).expect("tolerated");
    let refused = Refused::new(routed.clone(), Reason::LimitsBody, "too long").with_epoch(3);
    let of_refused = decision(&refused);
    assert_eq!((of_refused.template, of_refused.epoch), ("*", Some(3)));
    assert_eq!(
        of_refused.noted.first().map(|noted| (noted.check, noted.reason)),
        Some(("routes.unlisted", "route.unlisted"))
    );
    let permit = policies.judge(at_epoch(routed.parsed().clone(), &policies, 3)).expect("finance reads");
    assert_eq!(decision(&permit).noted.len(), 1);

    let enforcing = with_modes(Modes::default());
    let refused = routed.parsed().clone().routed(REVISION, enforcing.model(), service, pseudo);
    assert_eq!(refused.expect_err("refused").reason(), Reason::RouteUnlisted);
}

#[test]
fn an_open_exchange_is_withdrawn_when_it_would_be_refused_now() {
    let payments = "spiffe://finance.acme.internal/payments";
    let before = policies();
    let permit: Permit = before.judge(at_epoch(parsed(payments, "POST", "/entries"), &before, 0)).expect("a permit");
    let peer = permit.situated().peer().expect("verified").clone();
    let cleared = || State::new(8, []).clear(&peer, NOON).expect("cleared");
    let route_of = |policies: &Policies, service: &str| {
        let service = policies.model().service(&service.parse().expect("an id")).expect("known").clone();
        service.routes.first().expect("a route").clone()
    };
    let rejudge = |policies: &Policies, cleared: &Cleared, risk| {
        policies.rejudge(&permit, &route_of(policies, "finance/ledger"), cleared, risk, NOON)
    };
    assert_eq!(rejudge(&before, &cleared(), 20), Ok(()));
    let withdrawn = |policies: &Policies, risk| rejudge(policies, &cleared(), risk).expect_err("withdrawn");
    assert_eq!(withdrawn(&before, 60).reason, Reason::PolicyNoPermit);
    assert_eq!(withdrawn(&before, 255).determining, [types::PolicyId::new("org", "nothing-above-risk-90")]);
    assert_eq!(withdrawn(&policies_of(&Sources::default()), 20).reason, Reason::PolicyNoPermit);
    let shadow = with_modes(Modes { permit: Mode::Shadow, ..Modes::default() });
    assert_eq!(rejudge(&shadow, &cleared(), 60), Ok(()), "what is relaxed now withdraws nothing");
    // A revision without the caller, and one in which the request leads to another service.
    let mut model = model();
    model.domains.get_mut(&label("finance")).expect("finance").workloads.remove(&label("payments"));
    let gone = compile(&Arc::new(model), &Sources::default()).0.expect("policies");
    assert_eq!(withdrawn(&gone, 20).reason, Reason::IdentityUnknownWorkload);
    let moved = before.rejudge(&permit, &route_of(&before, "hr/people"), &cleared(), 20, NOON);
    assert_eq!(moved.expect_err("withdrawn").reason, Reason::RouteUnlisted);
    assert_eq!(rejudge(&before, &State::default().nobody(), 20).expect_err("withdrawn").reason, Reason::PolicyError);
    // And a revocation gives no clearance to ask with.
    let subject = Subject::Spiffe(SpiffeId::parse(payments).expect("an id"));
    let (reason, operator) = ("stolen".to_owned(), "local".to_owned());
    let revocation = Revocation { subject, reason, operator, at: NOON, until: None, epoch: 9 };
    assert!(State::new(9, [revocation]).clear(&peer, NOON).is_err());
}
