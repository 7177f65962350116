//! What the compiler refuses, and how it says so.

use std::sync::Arc;

use super::fixture::*;
use crate::{Lost, Problem, Severity, Sources, check_incomplete, compile};

/// `code: message | hint | the text at the span`.
fn shown(problem: &Problem, text: &str) -> String {
    let place = problem.span.clone().and_then(|span| text.get(span)).unwrap_or("?");
    format!("{}: {} | {} | {}", problem.code, problem.message, problem.hint.as_deref().unwrap_or(""), place)
}

fn policy(scope: &str, rest: &str) -> String {
    format!("// about ledgers; \"really\"\n@id(\"x\")\n@reason(\"y; z\")\npermit ({scope}) {rest};\n")
}

#[test]
fn literals_must_name_something_of_the_own_domain() {
    let any = |resource: &str| policy(&format!("principal is Workload, action, {resource}"), "");
    let by = |principal: &str| policy(&format!("{principal}, action, resource"), "");
    let when = |condition: &str| policy("principal, action, resource", &format!("when {{ {condition} }}"));
    for (text, want) in [
        (
            by(r#"principal == Workload::"finance/paymets""#),
            r#"cedar.unknown-literal: there is no workload `finance/paymets` | did you mean `finance/payments`? | Workload::"finance/paymets""#,
        ),
        (
            by(r#"principal == Workload::"payments""#),
            r#"cedar.unknown-literal: there is no workload `payments` | did you mean `finance/payments`? | Workload::"payments""#,
        ),
        (
            any(r#"resource == Route::"finance/ledger POST /entires""#),
            r#"cedar.unknown-literal: there is no route `finance/ledger POST /entires` | did you mean `finance/ledger POST /entries`? | Route::"finance/ledger POST /entires""#,
        ),
        (
            any(r#"resource == Route::"finance/ledger PUT /entries""#),
            r#"cedar.unknown-literal: there is no route `finance/ledger PUT /entries` | did you mean `finance/ledger POST /entries`? | Route::"finance/ledger PUT /entries""#,
        ),
        (
            any(r#"resource == Route::"finance/leger POST /entries""#),
            r#"cedar.unknown-literal: there is no route `finance/leger POST /entries` | did you mean `finance/ledger POST /entries`? | Route::"finance/leger POST /entries""#,
        ),
        (
            any(r#"resource in Service::"finance/nothing-like-it""#),
            r#"cedar.unknown-literal: there is no service `finance/nothing-like-it` | a service is written like `finance/ledger` | Service::"finance/nothing-like-it""#,
        ),
        (
            when(r#"principal in Domain::"fnance""#),
            r#"cedar.unknown-literal: there is no domain `fnance` | did you mean `finance`? | Domain::"fnance""#,
        ),
        (
            policy(
                "principal is Workload, action, resource",
                r#"when { [Workload::"finance/payments", Workload::"hr/portl"].contains(principal) }"#,
            ),
            r#"cedar.unknown-literal: there is no workload `hr/portl` | did you mean `hr/portal`? | Workload::"hr/portl""#,
        ),
        (
            by(r#"principal == Unidentified::"anyone""#),
            r#"cedar.unknown-literal: there is no unidentified `anyone` | did you mean `nobody`? | Unidentified::"anyone""#,
        ),
        (
            any(r#"resource in Service::"hr/people""#),
            r#"cedar.foreign-resource: policies of finance do not apply to `hr/people`, which belongs to hr | move it to domains/hr/policies, or to policies/ if it is a guardrail | Service::"hr/people""#,
        ),
        (
            when(r#"resource in Domain::"hr""#),
            r#"cedar.foreign-resource: policies of finance do not apply to `hr`, which belongs to hr | move it to domains/hr/policies, or to policies/ if it is a guardrail | Domain::"hr""#,
        ),
        (
            when(r#"[Route::"hr/payroll POST /runs"].contains(resource)"#),
            r#"cedar.foreign-resource: policies of finance do not apply to `hr/payroll POST /runs`, which belongs to hr | move it to domains/hr/policies, or to policies/ if it is a guardrail | Route::"hr/payroll POST /runs""#,
        ),
    ] {
        let problems = problems_of(&text);
        assert_eq!(problems.iter().map(|p| shown(p, &text)).collect::<Vec<_>>(), [want], "{text}");
    }
    for good in [
        when(r#"principal in Domain::"hr""#),
        when(r#"principal in Service::"hr/people""#),
        when(r#"principal in [Workload::"platform/ci"]"#),
        by(r#"principal == Unidentified::"nobody""#),
        any(r#"resource in Domain::"finance""#),
    ] {
        assert_eq!(problems_of(&good), [], "{good}");
    }
}

#[test]
fn an_action_may_not_contradict_the_routes_method() {
    let of = |action: &str| {
        policy(&format!(r#"principal is Workload, {action}, resource == Route::"finance/ledger POST /entries""#), "")
    };
    for (action, fits) in [
        (r#"action == Action::"POST""#, true),
        (r#"action in Action::"write""#, true),
        (r#"action in [Action::"GET", Action::"POST"]"#, true),
        ("action", true),
        (r#"action == Action::"GET""#, false),
        (r#"action in [Action::"read"]"#, false),
        (r#"action in [Action::"PUT", Action::"DELETE"]"#, false),
    ] {
        let text = of(action);
        let codes: Vec<_> = problems_of(&text).iter().map(|problem| problem.code).collect();
        assert_eq!(codes, if fits { vec![] } else { vec!["cedar.action-method"] }, "{action}");
    }
    let within = policy(r#"principal is Workload, action == Action::"PUT", resource in Service::"finance/ledger""#, "");
    assert_eq!(problems_of(&within), [], "the routes of a service may grow");
}

#[test]
fn annotations_are_required_unique_and_known() {
    let rule = "permit (principal is Workload, action, resource);";
    for (text, codes) in [
        (format!("@reason(\"y\") {rule}"), &["cedar.id"][..]),
        (format!("@id(\"x\") {rule}"), &["cedar.reason"]),
        (format!("@id(\"x\") @reason(\"  \") {rule}"), &["cedar.reason"]),
        (rule.to_owned(), &["cedar.id", "cedar.reason"]),
        (format!("@id(\"Requires.identity\") @reason(\"y\") {rule}"), &["cedar.id"]),
        (format!("@id(\"requires.identity\") @reason(\"y\") {rule}"), &["cedar.id"]),
        (format!("@id(\"\") @reason(\"y\") {rule}"), &["cedar.id"]),
        (format!("@id(\"{}\") @reason(\"y\") {rule}", "x".repeat(64)), &["cedar.id"]),
        (format!("@id(\"x\") @reason(\"y\") {rule} @id(\"x\") @reason(\"z\") {rule}"), &["cedar.duplicate-id"]),
        (format!("@id(\"x\") @reason(\"y\") @mode(\"shadow\") {rule}"), &["cedar.annotation"]),
        (
            "@id(\"x\") @reason(\"y\") permit (principal == ?principal, action, resource);".to_owned(),
            &["cedar.template"],
        ),
    ] {
        let mut found: Vec<_> = problems_of(&text).iter().map(|problem| problem.code).collect();
        found.sort_unstable();
        assert_eq!(found, codes, "{text}");
    }
}

#[test]
fn an_id_may_stand_in_two_domains_but_not_in_two_files_of_one() {
    let rule = "@id(\"same\") @reason(\"y\") permit (principal is Workload, action, resource);";
    let both = sources(rule, rule);
    assert_eq!(compile(&Arc::new(model()), &both).1, []);
    let mut twice = both;
    twice.domains.get_mut(&label("hr")).expect("hr").push(file("domains/hr/policies/two.cedar", rule));
    let problems = compile(&Arc::new(model()), &twice).1;
    let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
    assert_eq!(problem.message, "the id of `hr/same` is used twice");
    assert_eq!(problem.hint.as_deref(), Some("the first is at domains/hr/policies/people.cedar:1"));
}

#[test]
fn guardrails_only_forbid_and_may_name_every_domain() {
    let forbid = "@id(\"a\") @reason(\"y\") forbid (principal in Domain::\"hr\", action, resource in Service::\"finance/ledger\");";
    let permit = "@id(\"b\") @reason(\"y\") permit (principal, action, resource);";
    let unknown = "@id(\"c\") @reason(\"y\") forbid (principal, action, resource in Service::\"finance/leger\");";
    let guardrails = vec![file("policies/a.cedar", &format!("{forbid}\n{permit}\n{unknown}"))];
    let problems = compile(&Arc::new(model()), &Sources { guardrails, ..sources(FINANCE, HR) }).1;
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    let codes: Vec<_> = errors.map(|problem| problem.code).collect();
    assert_eq!(codes, ["cedar.guardrail-permit", "cedar.unknown-literal"], "{problems:#?}");
}

#[test]
fn cedars_own_problems_carry_their_place() {
    for (text, code, place) in [
        (policy("principal, action, resource", "when { context.rsk > 1 }"), "cedar.validation", "context.rsk"),
        (policy("principal, action, resource", "when { context.risk > \"a\" }"), "cedar.validation", "\"a\""),
        (policy("principal, action == Action::\"FETCH\", resource", ""), "cedar.validation", "Action::\"FETCH\""),
        (policy("principal is Wrkload, action, resource", ""), "cedar.validation", "Wrkload"),
        (policy("principal, action, resource", "when { context.ip.isLoopback() }"), "cedar.validation", "context.ip"),
        ("permit (principal, action resource);".to_owned(), "cedar.syntax", "resource"),
        ("permit (principal, action, resource)".to_owned(), "cedar.syntax", ""),
    ] {
        let problems = problems_of(&text);
        let problem = problems
            .iter()
            .find(|problem| problem.code == code && problem.severity == Severity::Error)
            .unwrap_or_else(|| panic!("{text}: {problems:#?}"));
        let found = text.get(problem.span.clone().expect("a place")).expect("inside");
        assert!(found.contains(place), "{text}: {found}");
        assert!(!problem.message.contains("policy `"), "{}", problem.message);
    }
}

#[test]
fn all_problems_come_at_once_and_without_a_model_too() {
    let broken = sources("permit (;", "@id(\"x\") permit (principal, action, resource == Route::\"hr/no GET /\");");
    let (policies, problems) = compile(&Arc::new(model()), &broken);
    assert!(policies.is_none());
    let paths: Vec<_> = problems.iter().map(|problem| (problem.path.as_str(), problem.code)).collect();
    let hr = "domains/hr/policies/people.cedar";
    assert_eq!(paths.first(), Some(&("domains/finance/policies/ledger.cedar", "cedar.syntax")));
    assert!(paths.contains(&(hr, "cedar.reason")), "{paths:?}");
    let codes: Vec<_> =
        check_incomplete(&model(), &broken, &Lost::default()).1.into_iter().map(|problem| problem.code).collect();
    assert!(codes.contains(&"cedar.syntax") && codes.contains(&"cedar.reason"), "{codes:?}");
}

#[test]
fn a_permit_that_consent_never_lets_through_is_a_warning() {
    let problems = compile(&Arc::new(model()), &sources(FINANCE, HR)).1;
    let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
    assert_eq!(
        shown(problem, HR),
        "cedar.never-allows: `hr/ci-reads-people` never allows anything: both sides' consent is missing for every call it names | see `accepts_from` of hr and `calls` of platform; both must name the call | Workload::\"platform/ci\""
    );
    assert_eq!(problem.severity, Severity::Warning);
}

#[test]
fn a_condition_that_cannot_hold_is_a_warning() {
    let text = policy("principal, action, resource", "when { principal is Unidentified && principal is Workload }");
    let problems = problems_of(&text);
    assert!(
        problems.iter().all(|problem| problem.severity == Severity::Warning) && !problems.is_empty(),
        "{problems:#?}"
    );
}

#[test]
fn a_domain_named_org_and_files_of_no_domain_are_refused() {
    let mut with_org = model();
    let domain = with_org.domains.get(&label("platform")).expect("platform").clone();
    with_org.domains.insert(label("org"), crate::model::Domain { name: label("org"), ..domain });
    let mut sources = sources(FINANCE, HR);
    sources.domains.insert(label("sales"), vec![file("domains/sales/policies/a.cedar", "")]);
    let (policies, problems) = compile(&Arc::new(with_org), &sources);
    let codes: Vec<_> = problems.iter().filter(|p| p.severity == Severity::Error).map(|p| p.code).collect();
    assert!(policies.is_none());
    assert_eq!(codes, ["cedar.reserved-domain", "cedar.unknown-domain"]);
}

/// A condition of nested or chained parts.
fn nested(times: usize, open: &str, inside: &str, close: &str) -> String {
    let condition = format!("{}{inside}{}", open.repeat(times), close.repeat(times));
    policy("principal, action, resource", &format!("when {{ {condition} }}"))
}

#[test]
fn what_would_overflow_the_parsers_stack_is_refused_before() {
    for (open, inside, close) in [
        ("(", "true", ")"),
        ("[", "1", "]"),
        ("{a: ", "1", "}"),
        ("if true then ", "true", " else true"),
        ("if true then true else ", "true", ""),
        ("!", "true", ""),
        ("-", "1", " == 1"),
        ("true && ", "true", ""),
        ("true || ", "true", ""),
        ("1 + ", "1", " == 1"),
        ("", "context", ".risk"),
        ("", "context", "[\"risk\"]"),
        ("(((", "true", ")))"),
        ("if(true)then(true)else(", "true", ")"),
    ] {
        let problems = problems_of(&nested(50_000, open, inside, close));
        assert_eq!(
            problems.iter().map(|problem| problem.code).collect::<Vec<_>>(),
            ["cedar.size"],
            "{open}{inside}{close}"
        );
    }
}

#[test]
fn what_the_limits_allow_is_compiled_judged_and_dropped() {
    for (times, open, inside, close) in [
        (61, "(", "true", ")"),
        (990, "true && ", "true", ""),
        (990, "false || ", "true", ""),
        (490, "context.risk > 100 || ", "true", ""),
        (990, "if true then true else ", "true", ""),
    ] {
        let policies = policies_of(&sources(&nested(times, open, inside, close), HR));
        let verdict = ask(&policies, call("finance/payments POST finance/ledger /entries"));
        // Where the evaluator's own look at its stack stops it, that is an error and thus a denial.
        assert!(matches!(word(&verdict), "allow" | "policy.error"), "{open}: {verdict:?}");
    }
    let many = format!("principal in [{}]", vec!["Workload::\"finance/payments\""; 20_000].join(", "));
    assert_eq!(problems_of(&policy("principal, action, resource", &format!("when {{ {many} }}"))), []);
}

#[test]
fn brackets_and_semicolons_in_strings_and_comments_are_text() {
    let text = format!(
        "// ((((; \"\n@id(\"x\") @reason(\"{}\\\";\") // ]]]\npermit (principal, action, resource);",
        "(".repeat(100)
    );
    let policies = policies_of(&sources(&text, HR));
    let info = policies.describe(&types::PolicyId::new("finance", "x")).expect("compiled");
    assert_eq!(info.line, Some(2));
    assert!(info.text.starts_with("@id") && info.text.ends_with("resource);"), "{}", info.text);
}
