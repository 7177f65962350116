//! The states of a request and what they write into the record, with a peer verified from a real certificate.

use std::sync::Arc;

use identity::{Bundle, BundleSet, VerifiedPeer, verify};
use testkit::{Authority, LeafPlan};
use types::facts::{Caller, Decision, Facts, Outcome, Protocol};
use types::{CanonicalRequest, DecisionId, Reason, Recordable, RevisionId, SpiffeId, TrustDomain};

use super::fixture::*;
use crate::Policies;
use crate::call::{Accepted, Identified, Parsed, Refused, Situated};

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
    routed.expect("routed").situated(risk)
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
