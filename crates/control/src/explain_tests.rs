//! Tests of the story of a decision.

use api::admin::{Certificate, Completion};
use types::facts::Protocol;
use types::{DecisionId, Timestamp};

use super::*;

fn decision(reason: &str) -> Decision {
    Decision {
        id: DecisionId::new(1_795_425_242_131, [7; 10]),
        at: Timestamp::from_micros(1_795_425_242_131_004),
        outcome: if reason.is_empty() { Outcome::Allow } else { Outcome::Deny },
        reason: reason.to_owned(),
        note: String::new(),
        caller: "platform/ci".into(),
        identity: Identity::Verified(Certificate {
            spiffe_id: "spiffe://platform.acme.internal/ci".into(),
            serial: "5c1e".into(),
            sha256: "00".repeat(32),
            not_before: Timestamp::from_seconds(1_795_421_642),
            not_after: Timestamp::from_seconds(1_795_428_842),
            via: String::new(),
        }),
        listener: "gateway".into(),
        protocol: Protocol::Http1,
        source: None,
        host: "payroll.acme.internal".into(),
        service: "hr/payroll".into(),
        method: "GET".into(),
        template: "/salaries/{id}".into(),
        risk: Some(50),
        determining: Vec::new(),
        revision: None,
        lane: "worker-0".into(),
        sequence: 12,
        completion: None,
    }
}

fn results(explanation: &Explanation) -> Vec<(&str, StepResult)> {
    explanation.steps.iter().map(|step| (step.name.as_str(), step.result)).collect()
}

use StepResult::{Failed, NotReached, Noted, Passed, Pending, Refused};

#[test]
fn a_refusal_for_want_of_consent_stops_there() {
    let mut decision = decision("consent.provider");
    decision.note = "hr accepts internal-tools for payroll; platform is not among them".into();
    let told = explain(decision, Context::default());
    assert_eq!(
        results(&told),
        [
            ("identity", Passed),
            ("parse", Passed),
            ("route", Passed),
            ("limits", Passed),
            ("risk", Noted),
            ("consent", Refused),
            ("requires", NotReached),
            ("policy", NotReached),
            ("record", Passed),
            ("upstream", NotReached),
        ]
    );
    assert!(!told.forwarded);
    assert_eq!(
        told.to_change,
        "To allow this call, hr would have to accept platform for hr/payroll: `accepts_from` in domains/hr/domain.yaml."
    );
    assert!(told.steps[5].facts[0].starts_with("hr accepts internal-tools"));
}

#[test]
fn an_allowed_call_passes_everything_and_ends() {
    let mut allowed = decision("");
    allowed.determining = vec!["hr/payroll-read".into()];
    let open = explain(allowed.clone(), Context::default());
    assert_eq!(results(&open).last(), Some(&("upstream", Pending)));
    allowed.completion = Some(Completion {
        status: Some(200),
        reason: String::new(),
        duration_micros: 3_100,
        request_bytes: 0,
        response_bytes: 412,
    });
    let told = explain(allowed.clone(), Context::default());
    assert!(results(&told).iter().all(|(_, result)| matches!(result, Passed | Noted)), "{told:?}");
    assert!(told.forwarded && told.to_change.is_empty());
    allowed.completion = allowed.completion.map(|end| Completion { reason: "upstream.timeout".into(), ..end });
    assert_eq!(results(&explain(allowed, Context::default())).last(), Some(&("upstream", Failed)));
}

#[test]
fn whatever_a_completion_can_say_is_told_in_words() {
    let reasons = Reason::ALL.iter().copied().map(Failure::Reason);
    for failure in reasons.chain(Failure::OTHERS.iter().copied()) {
        let code = failure.code();
        let end = Completion {
            status: Some(200),
            reason: code.to_owned(),
            duration_micros: 3_100,
            request_bytes: 0,
            response_bytes: 0,
        };
        let told = explain(Decision { completion: Some(end), ..decision("") }, Context::default());
        let upstream = told.steps.last().expect("a step");
        assert_eq!((upstream.name.as_str(), upstream.result), ("upstream", Failed), "{code}");
        assert_eq!(upstream.facts, ["status 200", code]);
        assert!(upstream.summary != code && upstream.summary.contains(' '), "{code} is told as `{}`", upstream.summary);
    }
}

#[test]
fn an_unknown_caller_is_refused_at_identity_although_its_request_was_parsed() {
    let mut stranger = decision("identity.unknown-workload");
    stranger.risk = None;
    stranger.template = String::new();
    stranger.service = String::new();
    let told = explain(stranger, Context::default());
    assert_eq!(results(&told)[..3], [("identity", Refused), ("parse", Passed), ("route", NotReached)]);
    assert!(told.steps[0].facts.contains(&"spiffe://platform.acme.internal/ci".to_owned()));
}

#[test]
fn a_handshake_without_certificate_reaches_nothing() {
    let mut nobody = decision("identity.missing");
    nobody.identity = Identity::Unidentified { claimed: String::new() };
    (nobody.method, nobody.service, nobody.template) = Default::default();
    nobody.risk = None;
    let told = explain(nobody, Context::default());
    assert_eq!(results(&told)[0], ("identity", Refused));
    assert!(results(&told)[1..4].iter().all(|(_, result)| *result == NotReached));
    assert!(told.to_change.starts_with("The caller presented no certificate;"), "{}", told.to_change);
}

#[test]
fn every_reason_refuses_at_exactly_one_step() {
    for reason in Reason::ALL {
        let told = explain(decision(reason.code()), Context::default());
        let refused = told.steps.iter().filter(|step| step.result == Refused).count();
        assert_eq!(refused, 1, "{reason}");
        assert!(!told.to_change.is_empty(), "{reason}");
    }
}
