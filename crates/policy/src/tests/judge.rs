//! Deny is the default, every answer has its reason, and time is the organisation's.

use std::sync::Arc;

use cedar_policy::{Request, Schema};
use types::facts::Outcome;
use types::{PolicyId, Reason, Timestamp};

use super::fixture::*;
use crate::{Principal, Question, Sources, Verdict, compile};

#[test]
fn deny_is_the_default() {
    let nothing = policies_of(&Sources::default());
    for service in ["finance/ledger", "hr/people", "hr/payroll"] {
        let service = nothing.model().service(&service.parse().expect("an id")).expect("known").clone();
        for route in service.all_routes() {
            let method = route.id.call().map_or(types::Method::Get, |(method, _)| *method);
            let own = workload(service.name());
            let question =
                Question { principal: Principal::Workload(&own), method, route, source: None, risk: 0, at: NOON };
            assert_eq!(word(&nothing.evaluate(&question)), "policy.no-permit", "{}", route.id);
        }
    }
}

#[test]
fn determining_policies_are_exact() {
    let policies = policies();
    for (words, risk, want, by) in [
        ("finance/payments POST finance/ledger /entries", 59, "allow", &["finance/payments-posts-entries"][..]),
        ("finance/payments POST finance/ledger /entries", 60, "policy.no-permit", &[]),
        ("finance/payments GET finance/ledger /entries/{id}", 20, "allow", &["finance/finance-reads"]),
        ("finance/payments POST finance/ledger /entries", 90, "policy.forbidden", &["org/nothing-above-risk-90"]),
        ("nobody GET finance/ledger /entries/{id}", 20, "requires.identity", &["finance/requires.identity"]),
        (
            "nobody GET finance/ledger /entries/{id}",
            99,
            "requires.identity",
            &["finance/requires.identity", "org/nothing-above-risk-90"],
        ),
        ("hr/portal DELETE hr/people *", 20, "policy.forbidden", &["org/no-deletes"]),
        ("hr/portal PUT hr/people *", 20, "allow", &["hr/hr-keeps-people"]),
        (
            "platform/ci DELETE hr/people *",
            95,
            "consent.provider",
            &["hr/consent.accepts_from.people", "org/no-deletes", "org/nothing-above-risk-90"],
        ),
    ] {
        let verdict = ask(&policies, Call { risk, ..call(words) });
        assert_eq!((word(&verdict), names(&verdict)), (want, by.to_vec()), "{words} at {risk}");
        assert_eq!(verdict.outcome == Outcome::Allow, want == "allow", "{words}");
    }
}

#[test]
fn a_guardrail_beats_a_permit() {
    let open = format!("{FINANCE}@id(\"all\") @reason(\"Everything.\") permit (principal, action, resource);");
    let verdict = ask(
        &policies_of(&sources(&open, HR)),
        Call { risk: 90, ..call("finance/payments POST finance/ledger /entries") },
    );
    assert_eq!((word(&verdict), names(&verdict)), ("policy.forbidden", vec!["org/nothing-above-risk-90"]));
    assert_eq!(verdict.note, "org/nothing-above-risk-90: From risk 90 on nothing is called");
}

#[test]
fn an_erroring_policy_denies_whatever_else_permits() {
    let overflow = "context.risk * 9223372036854775807 > 0";
    for effect in ["permit", "forbid"] {
        let broken = format!(
            "@id(\"broken\") @reason(\"Overflows.\") {effect} (principal, action, resource) when {{ {overflow} }};"
        );
        let policies = policies_of(&sources(&format!("{FINANCE}{broken}"), HR));
        let verdict = ask(&policies, call("finance/payments POST finance/ledger /entries"));
        assert_eq!((word(&verdict), names(&verdict)), ("policy.error", vec!["finance/broken"]), "{effect}");
        assert!(verdict.note.contains("finance/broken: integer overflow"), "{}", verdict.note);
        // Another domain's calls are not touched by it.
        assert_eq!(word(&ask(&policies, call("hr/portal GET hr/people /people"))), "allow", "{effect}");
    }
}

#[test]
fn a_request_that_cannot_be_built_is_denied() {
    let policies = policies();
    let service = policies.model().service(&"finance/ledger".parse().expect("an id")).expect("known").clone();
    let route = service.routes.first().expect("a route");
    let stranger = workload("finance/stranger");
    let payments = workload("finance/payments");
    let question =
        |principal, at| Question { principal, method: types::Method::Post, route, source: None, risk: 0, at };
    let far = Timestamp::from_micros(u64::MAX);
    let year_10000 = Timestamp::from_seconds(253_402_300_800);
    for question in [
        question(Principal::Workload(&stranger), NOON),
        question(Principal::Workload(&payments), far),
        question(Principal::Workload(&payments), year_10000),
        Question { method: types::Method::Get, ..question(Principal::Workload(&payments), NOON) },
    ] {
        let verdict = policies.evaluate(&question);
        assert_eq!(verdict.reason, Some(Reason::PolicyError), "{question:?}");
        assert!(!verdict.note.is_empty());
    }
}

#[test]
fn an_allow_without_a_permit_is_an_error() {
    assert_eq!(Verdict::allow(Vec::new()).reason, Some(Reason::PolicyError));
    assert_eq!(Verdict::allow(vec![PolicyId::new("a", "b")]).reason, None);
}

#[test]
fn every_request_has_the_shape_of_the_schema() {
    let policies = policies();
    let (schema, _) = Schema::from_cedarschema_str(&crate::schema(policies.model())).expect("a schema");
    let callers = [workload("finance/payments"), workload("platform/ci")];
    let principals = callers.iter().map(Principal::Workload).chain([Principal::Unidentified]).collect::<Vec<_>>();
    for service in policies.model().domains.values().flat_map(|domain| domain.services.values()) {
        for (route, method) in service.all_routes().flat_map(|route| types::Method::ALL.map(|method| (route, method))) {
            if route.id.call().is_some_and(|(own, _)| *own != method) {
                continue;
            }
            for principal in &principals {
                for source in [None, Some("192.0.2.1"), Some("2001:db8::1"), Some("::ffff:192.0.2.1")] {
                    let source = source.map(|ip| ip.parse().expect("an address"));
                    let question = Question { principal: *principal, method, route, source, risk: 100, at: NOON };
                    let request = policies.request(&question).expect("a request");
                    let part = |part: Option<&cedar_policy::EntityUid>| part.expect("known").clone();
                    let (p, a, r) = (part(request.principal()), part(request.action()), part(request.resource()));
                    let context = request.context().expect("known").clone();
                    Request::new(p, a, r, context, Some(&schema)).expect("valid");
                }
            }
        }
    }
}

#[test]
fn hours_are_the_organisations_also_across_daylight_saving() {
    let policies = policies();
    // In Berlin: clocks go from +01:00 to +02:00 on 2026-03-29 and back on 2026-10-25.
    for (utc, want, why) in [
        ("2026-03-27T06:59:59Z", false, "Friday 07:59:59 in winter time"),
        ("2026-03-27T07:00:00Z", true, "Friday 08:00 in winter time"),
        ("2026-03-27T16:59:59Z", true, "Friday 17:59:59"),
        ("2026-03-27T17:00:00Z", false, "Friday 18:00"),
        ("2026-03-29T10:00:00Z", false, "Sunday"),
        ("2026-03-30T05:59:59Z", false, "Monday 07:59:59 in summer time"),
        ("2026-03-30T06:00:00Z", true, "Monday 08:00 in summer time"),
        ("2026-10-23T06:00:00Z", true, "Friday 08:00 in summer time"),
        ("2026-10-26T06:00:00Z", false, "Monday 07:00 in winter time"),
        ("2026-10-26T07:00:00Z", true, "Monday 08:00 in winter time"),
        ("2026-10-24T22:30:00Z", false, "Sunday 00:30, still Saturday in UTC"),
        ("2026-10-25T23:30:00Z", false, "Monday 00:30, still Sunday in UTC"),
    ] {
        let micros = utc.parse::<jiff::Timestamp>().expect(utc).as_microsecond();
        let at = Timestamp::from_micros(u64::try_from(micros).expect("after 1970"));
        let verdict = ask(&policies, Call { at, ..call("internal-tools/search GET finance/ledger /entries/{id}") });
        assert_eq!(word(&verdict) == "allow", want, "{utc}: {why}");
    }
}

#[test]
fn time_address_and_attributes_reach_the_policies() {
    for (condition, want) in [
        (r#"context.now == datetime("2026-03-02T09:00:00.000Z")"#, true),
        ("context.weekday == 1 && context.minute_of_day == 600", true),
        (r#"context has ip && context.ip.isInRange(ip("192.0.2.0/24"))"#, true),
        (r#"context has ip && context.ip.isInRange(ip("198.51.100.0/24"))"#, false),
        (r#"resource.method == "POST" && resource.template == "/entries" && resource.effect == "write""#, true),
        ("resource.sensitivity == 2 && context.risk == 20", true),
        (r#"principal in Service::"finance/ledger""#, true),
        (r#"principal in Domain::"finance""#, true),
        (r#"principal in Domain::"hr""#, false),
    ] {
        let policy = format!(
            "@id(\"x\") @reason(\"x\") permit (principal is Workload, action, resource) when {{ {condition} }};"
        );
        let verdict = ask(&policies_of(&sources(&policy, HR)), call("finance/ledger POST finance/ledger /entries"));
        assert_eq!(word(&verdict) == "allow", want, "{condition}: {}", verdict.note);
    }
}

#[test]
fn the_note_names_the_nearest_permits() {
    let policies = policies();
    for (words, risk, note) in [
        (
            "finance/payments POST finance/ledger /entries",
            70,
            "the conditions of finance/payments-posts-entries do not hold",
        ),
        (
            "finance/ledger POST finance/ledger /entries",
            20,
            "this route is permitted to finance/payments by finance/payments-posts-entries; \
             finance/ledger is permitted other routes by finance/finance-reads",
        ),
        ("hr/portal POST hr/payroll /runs", 20, "hr/portal is permitted other routes by hr/hr-keeps-people"),
        (
            "hr/payroll GET hr/payroll /runs/{id}",
            20,
            "this route is permitted to finance/payments by hr/payments-reads-runs; hr/payroll is permitted other routes by hr/hr-keeps-people",
        ),
    ] {
        let verdict = ask(&policies, Call { risk, ..call(words) });
        assert_eq!((word(&verdict), verdict.note.as_str()), ("policy.no-permit", note), "{words}");
    }
    let (nothing, problems) = compile(&Arc::new(model()), &Sources::default());
    assert_eq!(problems, []);
    let verdict = ask(&nothing.expect("policies"), call("finance/payments POST finance/ledger /entries"));
    assert_eq!(verdict.note, "no permit is for finance/payments or for this route");
}
