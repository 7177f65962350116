//! Tests of the why: clauses are where Cedar has them, hold where Cedar says so, and nobody is told `allowed` or
//! `refused` whom the judge answers otherwise.

use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::Value;
use types::{Method, PolicyId, Timestamp};

use super::split::{Part, Shape};
use super::*;
use crate::model::Route;
use crate::tests::fixture::*;
use crate::{Principal, Sources};

/// Finance with every form of condition that policies have.
const FORMS: &str = r#"
@id("permit") // an annotation's string may hold permit ( and when {
@reason("permit ( when { } || && )")
permit (
  principal in Domain::"finance", // every caller, of finance
  action in [Action::"GET", Action::"POST"],
  resource == Route::"finance/ledger POST /entries",
) when {
  ((context.risk < 60)) && (
    context.weekday == 6 // Saturday && Sunday
    || (context.weekday <= 5 && context.minute_of_day >= 480)
  )
} unless { resource.template like "*&&*" || (context.risk == 7 && context.minute_of_day == 600) || context.risk > 98 };

@id("branches") @reason("An if takes all that follows.")
permit (principal is Workload in Domain::"finance", action, resource)
when { if context.risk < 5 then true else false && context.weekday == 1 }
when { !(context.risk == 3 || context.risk == 4) };

@id("address") @reason("Only from inside.")
permit (principal == Workload::"finance/ledger", action == Action::"GET", resource in Service::"finance/ledger")
when { context has ip && context.ip.isInRange(ip("10.0.0.0/8")) };

@id("overflow") @reason("Fails late.")
forbid (principal, action == Action::"GET", resource) when { context.risk == 99 && context.risk * 9223372036854775807 > 0 };
"#;

fn forms() -> &'static Policies {
    static POLICIES: OnceLock<Policies> = OnceLock::new();
    POLICIES.get_or_init(|| policies_of(&sources(&format!("{FINANCE}{FORMS}"), HR)))
}

/// A call of a test, asked as a question.
struct Asked<'a> {
    words: &'a str,
    risk: u8,
    at: Timestamp,
}

fn about<R>(policies: &Policies, asked: &Asked<'_>, ask: impl FnOnce(&Question<'_>) -> R) -> R {
    let words: Vec<_> = asked.words.split(' ').collect();
    let [who, method, service, template] = words.as_slice() else { panic!("{}", asked.words) };
    let method: Method = method.parse().expect("a method");
    let service = policies.model().service(&service.parse().expect("an id")).expect("known").clone();
    let fits = |route: &&std::sync::Arc<Route>| route.id.call().map_or("*", |(_, path)| path.as_str()) == *template;
    let fits =
        |route: &&std::sync::Arc<Route>| fits(route) && route.id.call().is_none_or(|(known, _)| *known == method);
    let route = service.all_routes().find(fits).expect("a route").clone();
    let caller = (*who != "nobody").then(|| workload(who));
    let principal = caller.as_ref().map_or(Principal::Unidentified, Principal::Workload);
    let source = Some("192.0.2.7".parse().expect("an address"));
    ask(&Question { principal, method, route: &route, source, risk: asked.risk, at: asked.at })
}

/// `id: ✓ clause [value] …`, one policy a line.
fn nearest(policies: &Policies, words: &str, risk: u8) -> Vec<String> {
    about(policies, &Asked { words, risk, at: NOON }, |question| {
        let readings = policies.nearest(question).expect("an answer");
        readings.nearest.iter().map(|reading| format!("{}: {}", reading.policy.id, clauses(&reading.clauses))).collect()
    })
}

fn clauses(clauses: &[Clause]) -> String {
    let mark = |holds| match holds {
        Some(true) => "✓",
        Some(false) => "✗",
        None => "–",
    };
    let texts = clauses.iter().map(|clause| format!("{} {} [{}]", mark(clause.holds), clause.text, clause.was));
    texts.collect::<Vec<_>>().join(", ")
}

#[test]
fn the_nearest_permits_say_what_failed_and_what_was_read() {
    let policies = policies();
    for (words, risk, want) in [
        (
            "finance/payments POST finance/ledger /entries",
            70,
            &[
                "finance/payments-posts-entries: ✓ principal == Workload::\"finance/payments\" [finance/payments], \
                 ✓ action == Action::\"POST\" [POST], \
                 ✓ resource == Route::\"finance/ledger POST /entries\" [finance/ledger POST /entries], \
                 ✗ context.risk < 60 [70]",
                "finance/finance-reads: ✓ principal in Domain::\"finance\" [finance], \
                 ✗ action in [Action::\"read\"] [POST], \
                 ✓ resource in Service::\"finance/ledger\" [finance/ledger]",
                "finance/search-reads: ✗ principal == Workload::\"internal-tools/search\" [finance/payments], \
                 ✗ action == Action::\"GET\" [POST], ✓ resource in Service::\"finance/ledger\" [finance/ledger], \
                 ✓ context.minute_of_day >= 480 [600 (10:00)], ✓ context.minute_of_day < 1080 [600 (10:00)], \
                 ✓ context.weekday <= 5 [1 (Monday)]",
            ][..],
        ),
        (
            "platform/ci GET finance/ledger /entries/{id}",
            20,
            &[
                "finance/finance-reads: ✗ principal in Domain::\"finance\" [platform], ✓ action in [Action::\"read\"] [GET], \
                 ✓ resource in Service::\"finance/ledger\" [finance/ledger]",
                "finance/search-reads: ✗ principal == Workload::\"internal-tools/search\" [platform/ci], \
                 ✓ action == Action::\"GET\" [GET], ✓ resource in Service::\"finance/ledger\" [finance/ledger], \
                 ✓ context.minute_of_day >= 480 [600 (10:00)], ✓ context.minute_of_day < 1080 [600 (10:00)], \
                 ✓ context.weekday <= 5 [1 (Monday)]",
            ],
        ),
        // nothing is for the route, so what the caller may otherwise is nearest
        (
            "hr/portal POST hr/payroll /runs",
            20,
            &[
                "hr/hr-keeps-people: ✓ principal in Domain::\"hr\" [hr], ✗ resource in Service::\"hr/people\" [hr/payroll]",
            ],
        ),
        (
            "nobody GET hr/payroll /runs/{id}",
            20,
            &["hr/payments-reads-runs: ✗ principal == Workload::\"finance/payments\" [nobody identified], \
               ✓ action == Action::\"GET\" [GET], ✓ resource == Route::\"hr/payroll GET /runs/{id}\" [hr/payroll GET /runs/{id}]"],
        ),
    ] {
        assert_eq!(nearest(&policies, words, risk), want, "{words} at {risk}");
    }
}

/// How the clauses of one policy stand for a call.
fn read(name: &str, words: &str, risk: u8, at: Timestamp) -> String {
    let id = PolicyId::new("finance", name);
    about(forms(), &Asked { words, risk, at }, |question| clauses(&forms().read(&id, question).expect("known").clauses))
}

#[test]
fn the_part_that_decides_is_the_clause() {
    const POST: &str = "finance/payments POST finance/ledger /entries";
    const GET: &str = "finance/ledger GET finance/ledger /entries/{id}";
    let conditions = |text: String| {
        let texts = text.split(", ").filter(|clause| clause.contains("context.") || clause.contains("unless"));
        texts.map(str::to_owned).collect::<Vec<_>>()
    };
    let saturday = NOON.plus_seconds(5 * 86_400);
    // of `when`, the first alternative that holds; of `unless`, each alternative is one
    assert_eq!(
        conditions(read("permit", POST, 20, NOON)),
        [
            "✓ context.risk < 60 [20]",
            "✓ context.weekday <= 5 [1 (Monday)]",
            "✓ context.minute_of_day >= 480 [600 (10:00)]",
            "✓ unless resource.template like \"*&&*\" [\"/entries\"]",
            "✓ unless context.risk == 7 [20]",
            "✓ unless context.risk > 98 [20]",
        ]
    );
    assert_eq!(conditions(read("permit", POST, 20, saturday))[1], "✓ context.weekday == 6 [6 (Saturday)]");
    // where no alternative holds, they are one clause
    let night = NOON.plus_seconds(14 * 3600);
    assert_eq!(
        read("permit", POST, 20, night).split(", ✓ unless").next().expect("a part").split("✗ ").last(),
        Some(
            "context.weekday == 6 || (context.weekday <= 5 && context.minute_of_day >= 480) \
             [context.weekday 2 (Tuesday), context.minute_of_day 0 (00:00)]"
        )
    );
    assert_eq!(
        conditions(read("permit", POST, 7, NOON))[4],
        "✗ unless context.risk == 7 && context.minute_of_day == 600 [context.risk 7"
    );
    // what was never asked has no value; what fails says why
    assert_eq!(conditions(read("address", GET, 20, NOON)), ["✗ context.ip.isInRange(ip(\"10.0.0.0/8\")) [192.0.2.7]"]);
    let failing = read("overflow", GET, 99, NOON);
    assert!(
        failing.contains("✓ context.risk == 99 [99], – context.risk * 9223372036854775807 > 0 [integer overflow"),
        "{failing}"
    );
    let spared = read("overflow", GET, 98, NOON);
    assert!(
        spared.contains("✗ context.risk == 99 [98], – context.risk * 9223372036854775807 > 0 []")
            || spared.contains("[98]"),
        "{spared}"
    );
}

#[test]
fn an_absent_value_is_named() {
    let policies = forms();
    let id = PolicyId::new("finance", "address");
    let told =
        about(policies, &Asked { words: "finance/ledger GET finance/ledger /entries/{id}", risk: 1, at: NOON }, |q| {
            clauses(&policies.read(&id, &Question { source: None, ..*q }).expect("known").clauses)
        });
    assert!(told.ends_with("✗ context has ip [no ip], – context.ip.isInRange(ip(\"10.0.0.0/8\")) []"), "{told}");
}

/// The leaves of a condition in Cedar's own tree, at `&&` and `||`.
fn leaves_of_cedar(body: &Value, leaves: &mut Vec<Value>) {
    for joint in ["&&", "||"] {
        if let Some(pair) = body.get(joint) {
            leaves_of_cedar(&pair["left"], leaves);
            leaves_of_cedar(&pair["right"], leaves);
            return;
        }
    }
    leaves.push(body.clone());
}

fn leaves<'p>(part: &'p Part<'_>, all: &mut Vec<&'p Part<'p>>) {
    match &part.shape {
        Shape::Leaf => all.push(part),
        Shape::All(parts) | Shape::Any(parts) => parts.iter().for_each(|part| leaves(part, all)),
    }
}

fn tree_of(condition: &str) -> Value {
    let text = format!("permit (principal, action, resource) when {{ {condition} }};");
    let json = cedar_policy::Policy::parse(None, &text).expect("a policy").to_json().expect("a tree");
    json["conditions"][0]["body"].clone()
}

/// Holds what was taken apart against Cedar's own reading of the policy.
fn assert_taken_apart_as_cedar_does(info: &PolicyInfo) {
    let parts = split::policy(info).expect("parts");
    let tree = cedar_policy::Policy::parse(None, &info.text).expect("a policy").to_json().expect("a tree");
    let conditions = tree["conditions"].as_array().expect("conditions");
    assert_eq!(conditions.len(), parts.conditions.len(), "{}", info.text);
    for (theirs, ours) in conditions.iter().zip(&parts.conditions) {
        assert_eq!(theirs["kind"] == "when", ours.wanted, "{}", info.text);
        let (mut want, mut found) = (Vec::new(), Vec::new());
        leaves_of_cedar(&theirs["body"], &mut want);
        leaves(&ours.body, &mut found);
        let found: Vec<_> = found.iter().map(|part| tree_of(&part.line())).collect();
        assert_eq!(found, want, "{}", info.text);
    }
    let constrained = ["principal", "action", "resource"].into_iter().filter(|slot| tree[slot]["op"] != "All");
    assert_eq!(parts.scope.len(), constrained.count(), "{}", info.text);
    for part in parts.scope.iter().chain(parts.conditions.iter().map(|condition| &condition.body)) {
        assert!(part.expression.is_some(), "{}", part.line());
        assert!(info.text.get(part.place()).is_some_and(|text| !text.is_empty()), "{}", info.text);
    }
}

#[test]
fn policies_are_taken_apart_as_cedar_does() {
    for policies in [&policies(), forms()] {
        policies.all().for_each(assert_taken_apart_as_cedar_does);
    }
}

/// Expressions that validate.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "context.risk < 50",
        "context.weekday == 1",
        "context.minute_of_day - 5 > 2",
        "principal in Domain::\"finance\"",
        "principal == Workload::\"internal-tools/search\"",
        "resource.effect == \"read\" // && \"\n",
        "resource.sensitivity >= 2",
        "[\"a && b\", \"(\"].contains(resource.template)",
        "if context.risk < 10 then resource.effect == \"write\" else context.weekday > 3",
        "context has ip && context.ip.isInRange(ip(\"192.0.2.0/24\"))",
    ]);
    leaf.prop_map(|text| format!("({text})")).prop_recursive(4, 24, 4, |inner| {
        let many = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            (many.clone(), any::<bool>())
                .prop_map(|(parts, all)| format!("({})", parts.join(if all { " && " } else { "||" }))),
            many.prop_map(|parts| parts.join(" && ")),
            inner.prop_map(|part| format!("!({part})")),
        ]
    })
}

fn callers() -> Vec<&'static str> {
    vec![
        "finance/payments",
        "finance/ledger",
        "hr/portal",
        "internal-tools/directory",
        "internal-tools/search",
        "platform/ci",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_is_written_nobody_is_told_wrongly(
        when in expression(),
        unless in expression(),
        forbid in expression(),
        principal in prop::sample::select(vec!["principal", "principal is Workload", "principal in Domain::\"finance\"", "principal == Workload::\"finance/payments\""]),
        calls in prop::collection::vec((prop::option::of(prop::sample::select(callers())), any::<prop::sample::Index>(), 0_u8..101, 0_u64..1_000_000), 24),
    ) {
        let text = format!(
            "@id(\"p\") @reason(\"x\") permit ({principal}, action, resource) when {{ {when} }} unless {{ {unless} }};
             @id(\"f\") @reason(\"x\") forbid (principal, action == Action::\"GET\", resource) when {{ {forbid} }};"
        );
        let (compiled, problems) = crate::compile(&std::sync::Arc::new(model()), &sources(&text, HR));
        let Some(policies) = compiled else { return Err(TestCaseError::reject(format!("{problems:?}"))) };
        policies.all().for_each(assert_taken_apart_as_cedar_does);
        let service = policies.model().service(&"finance/ledger".parse().expect("an id")).expect("known").clone();
        let survey = Survey::of(&policies, &label("finance"));
        for (caller, route, risk, minutes) in calls {
            let caller = caller.map(workload);
            let principal = caller.as_ref().map_or(Principal::Unidentified, Principal::Workload);
            let route = route.get(&service.routes);
            let method = route.id.call().expect("a listed route").0;
            let (source, at) = (Some("192.0.2.7".parse().expect("an address")), NOON.plus_seconds(minutes * 60));
            let question = Question { principal, method, route, source, risk, at };
            let verdict = policies.evaluate(&question);
            let access = survey.access(principal, method, route).expect("an answer");
            match &access {
                Access::Allowed(permits) => prop_assert!(verdict.reason.is_none() && !permits.is_empty(), "{question:?} {access:?} {verdict:?}"),
                Access::Refused(..) => prop_assert!(verdict.reason.is_some(), "{question:?} {access:?} {verdict:?}"),
                Access::Conditional { conditions, .. } => prop_assert!(!conditions.is_empty()),
            }
            // clauses hold exactly where Cedar says that the policy matches
            for id in ["p", "f"] {
                let id = PolicyId::new("finance", id);
                let reading = policies.read(&id, &question).expect("known");
                let holds = reading.clauses.iter().all(|clause| clause.holds == Some(true));
                let alone = policies.domains.get(&label("finance")).and_then(|set| set.policies.policy(&cedar_policy::PolicyId::new(id.as_str())));
                let alone = cedar_policy::PolicySet::from_policies([alone.expect("known").clone()]).expect("a set");
                let request = policies.request(&question).expect("a request");
                let response = policies.authorizer.is_authorized(&request, &alone, &policies.entities);
                prop_assert_eq!(holds, response.diagnostics().reason().next().is_some(), "{} {:?}", reading.policy.text, reading.clauses);
            }
        }
    }
}

fn access(policies: &Policies, words: &str) -> String {
    about(policies, &Asked { words, risk: 0, at: NOON }, |question| {
        let survey = Survey::of(policies, question.route.id.service().domain());
        let names = |ids: &[PolicyId]| ids.iter().map(PolicyId::to_string).collect::<Vec<_>>().join(", ");
        match survey.access(question.principal, question.method, question.route).expect("an answer") {
            Access::Allowed(permits) => format!("allowed by {}", names(&permits)),
            Access::Refused(reason, by) => format!("{reason} {}", names(&by)).trim_end().to_owned(),
            Access::Conditional { permits, conditions } => format!("{} if {}", names(&permits), conditions.join("; ")),
        }
    })
}

#[test]
fn who_can_is_exact_or_conditional_in_the_words_of_the_policies() {
    let guarded = policies();
    let without = policies_of(&Sources { guardrails: Vec::new(), ..sources(FINANCE, HR) });
    for (policies, words, want) in [
        (&without, "finance/ledger GET finance/ledger /entries/{id}", "allowed by finance/finance-reads"),
        (
            &without,
            "finance/payments POST finance/ledger /entries",
            "finance/payments-posts-entries if finance/payments-posts-entries: context.risk < 60",
        ),
        (
            &guarded,
            "finance/payments POST finance/ledger /entries",
            "finance/payments-posts-entries if finance/payments-posts-entries: context.risk < 60; org/nothing-above-risk-90: not context.risk >= 90",
        ),
        (&guarded, "finance/ledger POST finance/ledger /entries", "policy.no-permit"),
        (&guarded, "hr/portal DELETE hr/people *", "policy.forbidden org/no-deletes"),
        (&guarded, "platform/ci GET hr/people /people", "consent.provider hr/consent.accepts_from.people"),
        (
            &guarded,
            "finance/payments GET hr/people /people",
            "consent.provider hr/consent.accepts_from.people, hr/consent.calls.people",
        ),
        (&guarded, "nobody GET hr/people /people", "requires.identity hr/requires.identity"),
        (
            &without,
            "internal-tools/search GET finance/ledger /entries/{id}",
            "finance/search-reads if finance/search-reads: context.minute_of_day >= 480 && context.minute_of_day < 1080 && context.weekday <= 5",
        ),
        (
            forms(),
            "finance/ledger GET finance/ledger /entries/{id}",
            "finance/address, finance/branches, finance/finance-reads if finance/overflow: not (context.risk == 99 && context.risk * 9223372036854775807 > 0); \
          org/nothing-above-risk-90: not context.risk >= 90; finance/overflow: it can be evaluated",
        ),
    ] {
        assert_eq!(access(policies, words), want, "{words}");
    }
}

#[test]
fn a_policy_that_always_fails_refuses() {
    let broken = "@id(\"b\") @reason(\"x\") permit (principal, action, resource) when { resource.sensitivity * 9223372036854775807 > 0 };";
    let policies = policies_of(&sources(&format!("{FINANCE}{broken}"), HR));
    assert_eq!(access(&policies, "finance/ledger GET finance/ledger /entries/{id}"), "policy.error finance/b");
}
