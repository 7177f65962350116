//! Tests of the story of a decision. What it says in full of forty and more denials stands in the snapshots of the
//! command line.

use api::admin::{Certificate, Completion, Identity, Noted, Step, StepResult};
use types::facts::Protocol;
use types::{DecisionId, Mode, Stage};

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
        noted: Vec::new(),
        epoch: Some(12),
        revision: None,
        enforcer: "local".into(),
        lane: "worker-0".into(),
        sequence: 12,
        completion: None,
    }
}

/// The story without a revision to ask.
fn without_a_revision(decision: Decision) -> Explanation {
    let file = |_: &str| None;
    explain(decision, Known { revision: None, in_force: false, since: None, file: &file, unknown: Vec::new() })
}

fn results(explanation: &Explanation) -> Vec<(&str, StepResult)> {
    explanation.steps.iter().map(|step| (step.name.as_str(), step.result)).collect()
}

fn step<'e>(explanation: &'e Explanation, name: &str) -> &'e Step {
    explanation.steps.iter().find(|step| step.name == name).expect(name)
}

fn end(status: Option<u16>, reason: &str) -> Completion {
    Completion {
        status,
        reason: reason.to_owned(),
        duration_micros: 3_100,
        request_bytes: 0,
        response_bytes: 0,
        revision: None,
        epoch: None,
    }
}

use StepResult::{Failed, NotReached, Noted as Seen, Passed, Pending, Refused, WouldRefuse};

#[test]
fn a_refusal_for_want_of_consent_stops_there() {
    let mut decision = decision("consent.provider");
    decision.note =
        "hr accepts internal-tools for payroll; platform is not among them; `calls` of platform lists nothing for ci"
            .into();
    let told = without_a_revision(decision);
    assert_eq!(
        results(&told),
        [
            ("identity", Passed),
            ("parse", Passed),
            ("route", Passed),
            ("signals", Passed),
            ("limits", Passed),
            ("risk", Seen),
            ("consent", Refused),
            ("requires", NotReached),
            ("policy", NotReached),
            ("record", Passed),
            ("upstream", NotReached),
        ]
    );
    assert!(!told.forwarded);
    assert_eq!(told.told, "403 the called domain does not accept calls from the caller's domain");
    assert_eq!(
        told.to_change,
        "To allow this call, hr would have to accept platform for payroll (`accepts_from` in domains/hr/domain.yaml)."
    );
    assert_eq!(
        step(&told, "consent").facts,
        [
            "hr accepts internal-tools for payroll; platform is not among them",
            "`calls` of platform lists nothing for ci"
        ]
    );
}

#[test]
fn an_allowed_call_passes_everything_and_ends() {
    let mut allowed = decision("");
    allowed.determining = vec!["hr/payroll-read".into()];
    let open = without_a_revision(allowed.clone());
    assert_eq!(results(&open).last(), Some(&("upstream", Pending)));
    allowed.completion = Some(end(Some(200), ""));
    let ended = without_a_revision(allowed.clone());
    assert!(results(&ended).iter().all(|(_, result)| matches!(result, Passed | Seen)), "{ended:?}");
    assert!(ended.forwarded && ended.to_change.is_empty() && ended.told.is_empty());
    allowed.completion = Some(end(Some(200), "upstream.timeout"));
    let cut = without_a_revision(allowed);
    assert_eq!(results(&cut).last(), Some(&("upstream", Failed)));
    assert!(cut.told.is_empty(), "the answer had begun: {}", cut.told);
}

#[test]
fn whatever_a_completion_can_say_is_told_in_words() {
    let reasons = Reason::ALL.iter().copied().map(Failure::Reason);
    for failure in reasons.chain(Failure::OTHERS.iter().copied()) {
        let code = failure.code();
        let told = without_a_revision(Decision { completion: Some(end(Some(200), code)), ..decision("") });
        let upstream = told.steps.last().expect("a step");
        assert_eq!((upstream.name.as_str(), upstream.result), ("upstream", Failed), "{code}");
        assert_eq!(upstream.facts, ["status 200", code]);
        assert!(upstream.summary != code && upstream.summary.contains(' '), "{code} is told as `{}`", upstream.summary);
    }
}

#[test]
fn an_exchange_that_was_cut_says_under_what_it_was_judged_again() {
    let cut = |status| {
        let revision = Some("77ab012".to_owned() + &"0".repeat(57));
        let end = Completion { revision, epoch: Some(13), ..end(status, "signals.revoked") };
        without_a_revision(Decision { completion: Some(end), ..decision("") })
    };
    let upstream = cut(Some(200));
    assert_eq!(step(&upstream, "upstream").summary, "cut while it was open: the caller's trust was taken away");
    assert_eq!(
        step(&upstream, "upstream").facts,
        ["status 200", "signals.revoked", "judged again under revision 77ab012 and epoch 13 of the signals"]
    );
    assert_eq!((upstream.told.as_str(), upstream.forwarded), ("", true));
    assert_eq!(cut(None).told, "403 the caller's trust was taken away");
}

#[test]
fn a_noted_refusal_would_have_refused_and_the_line_goes_on() {
    let noted = |check: &str, mode, reason: &str| Noted {
        check: check.into(),
        mode,
        reason: reason.into(),
        policy: String::new(),
    };
    let mut spared = decision("");
    spared.noted =
        vec![noted("consent", Mode::Shadow, "consent.provider"), noted("permit", Mode::Observe, "policy.no-permit")];
    let told = without_a_revision(spared);
    assert_eq!(step(&told, "consent").result, WouldRefuse);
    assert_eq!(step(&told, "consent").facts, ["`consent` is in shadow"]);
    assert_eq!(step(&told, "requires").result, Passed);
    assert_eq!((step(&told, "policy").result, step(&told, "upstream").result), (WouldRefuse, Pending));
    assert_eq!(
        told.to_change,
        "For this call to be allowed once `consent` and `permit` enforce, hr would have to accept platform for payroll \
         (`accepts_from` in domains/hr/domain.yaml), and a policy of hr would have to permit platform/ci GET \
         /salaries/{id} (domains/hr/policies)."
    );
}

#[test]
fn an_unknown_caller_is_refused_at_identity_although_its_request_was_parsed() {
    let mut stranger = decision("identity.unknown-workload");
    (stranger.risk, stranger.epoch) = (None, None);
    stranger.template = String::new();
    stranger.service = String::new();
    let told = without_a_revision(stranger);
    assert_eq!(
        results(&told)[..4],
        [("identity", Refused), ("parse", Passed), ("route", NotReached), ("signals", NotReached)]
    );
    assert!(told.steps[0].facts.contains(&"spiffe://platform.acme.internal/ci".to_owned()));
}

#[test]
fn a_handshake_without_certificate_reaches_nothing() {
    let mut nobody = decision("identity.missing");
    nobody.identity = Identity::Unidentified { claimed: String::new() };
    (nobody.method, nobody.service, nobody.template) = Default::default();
    (nobody.risk, nobody.epoch) = (None, None);
    let told = without_a_revision(nobody);
    assert_eq!(results(&told)[0], ("identity", Refused));
    assert!(results(&told)[1..5].iter().all(|(_, result)| *result == NotReached));
    assert!(told.to_change.starts_with("The caller would have to present a certificate"), "{}", told.to_change);
    assert_eq!(told.told, "", "a handshake has no words of ours");
}

#[test]
fn a_handshake_tells_the_caller_nothing_also_where_the_same_reason_answers_a_call_later() {
    for reason in [Reason::IdentityUntrusted, Reason::IdentityExpired] {
        let later = decision(reason.code());
        let handshake = Decision { protocol: Protocol::Tls, ..later.clone() };
        assert!(without_a_revision(later).told.starts_with("403 "), "{reason}: an open connection is judged again");
        assert_eq!(without_a_revision(handshake).told, "", "{reason}");
    }
}

#[test]
fn a_call_without_identity_that_went_on_says_that_nobody_is_identified() {
    let mut nobody = decision("");
    nobody.identity = Identity::Unidentified { claimed: String::new() };
    nobody.caller = String::new();
    let told = without_a_revision(nobody);
    assert_eq!((step(&told, "identity").result, step(&told, "identity").summary.as_str()), (Seen, "none"));
}

#[test]
fn every_reason_refuses_at_exactly_one_step_and_says_what_would_have_to_change() {
    for reason in Reason::ALL {
        let told = without_a_revision(decision(reason.code()));
        let refused: Vec<_> = told.steps.iter().filter(|step| step.result == Refused).collect();
        assert_eq!(refused.len(), 1, "{reason}");
        assert_eq!(refused[0].name, reason.stage().as_str());
        let words = &told.to_change;
        assert!(words.contains("would have to") && words.ends_with('.'), "{reason}: {words}");
        assert!(
            !words.contains("  ") && (!words.contains('\\') || reason.stage() == Stage::Parse),
            "{reason}: {words}"
        );
        assert_eq!(told.told.is_empty(), reason.status() == 0, "{reason}");
        // the caller's words name nothing of ours
        assert!(!told.told.contains("domains/") && !told.told.contains("hr/"), "{reason}: {}", told.told);
        // where nothing else is known, the sentence still stands
        let mut bare = decision(reason.code());
        (bare.caller, bare.service, bare.host, bare.method, bare.template) = Default::default();
        bare.identity = Identity::Unidentified { claimed: String::new() };
        (bare.risk, bare.epoch) = (None, None);
        let bare = without_a_revision(bare).to_change;
        assert!(
            bare.contains("would have to") && !bare.contains("domains//") && !bare.contains("of  "),
            "{reason}: {bare}"
        );
    }
    assert!(Reason::ALL.iter().any(|reason| reason.stage() == Stage::Signals));
}
