//! What is said of policies where something that they speak about is lost.

use std::collections::BTreeSet;

use types::PolicyId;

use super::fixture::*;
use crate::{Lost, check_incomplete};

fn forbid(name: &str, scope: &str) -> String {
    format!("@id(\"{name}\")\n@reason(\"r\")\nforbid ({scope});\n")
}

/// The code of every error in the finance file, with the line of each.
fn told(text: &str, lost: &Lost) -> Vec<(usize, &'static str)> {
    let problems = check_incomplete(&model(), &sources(text, HR), lost).1.into_iter();
    let of_finance = problems.filter(|problem| problem.path.contains("finance"));
    let line = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    of_finance.map(|problem| (line(problem.span.expect("a place").start), problem.code)).collect()
}

#[test]
fn literals_that_may_be_lost_are_not_held_against_policies() {
    let unknown = |literal: &str| forbid("x", &format!("principal, action, resource in {literal}"));
    let names = Lost { names: BTreeSet::from([label("hr")]), ..Lost::default() };
    let routes = Lost { routes: BTreeSet::from(["hr/people".parse().expect("an id")]), ..Lost::default() };
    let domains = Lost { domains: true, ..Lost::default() };
    for (literal, may_be) in [
        ("Service::\"hr/peeple\"", Some(&names)),
        ("Route::\"hr/peeple GET /people\"", Some(&names)),
        ("Route::\"hr/people GET /peeple\"", Some(&routes)),
        ("Route::\"hr/people *x\"", Some(&routes)),
        ("Domain::\"sales\"", Some(&domains)),
        ("Service::\"sales/orders\"", Some(&domains)),
        ("Service::\"finance/leger\"", None),
        ("Service::\"people\"", None),
        ("Domain::\"Sales\"", None),
    ] {
        let text = unknown(literal);
        for lost in [&names, &routes, &domains, &Lost::default()] {
            let is_hidden = may_be == Some(lost);
            assert_eq!(told(&text, lost).is_empty(), is_hidden, "{literal} {lost:?}");
        }
    }
    let text = forbid("x", "principal == Workload::\"hr/portl\", action, resource");
    assert_eq!(told(&text, &names), []);
    assert_eq!(told(&text, &routes), [(3, "cedar.unknown-literal")]);
}

#[test]
fn what_is_known_to_be_anothers_is_told_unless_the_folder_is_in_doubt() {
    let text = forbid("x", "principal, action, resource in Service::\"hr/people\"");
    let names = Lost { names: BTreeSet::from([label("hr"), label("finance")]), ..Lost::default() };
    assert_eq!(told(&text, &names), [(3, "cedar.foreign-resource")]);
    let owners = Lost { owners: BTreeSet::from([label("finance")]), ..Lost::default() };
    assert_eq!(told(&text, &owners), []);
}

#[test]
fn a_permit_is_not_called_useless_where_consent_may_be_lost() {
    let text = "@id(\"x\")\n@reason(\"r\")\npermit (principal == Workload::\"platform/ci\", action, resource in Service::\"finance/ledger\");\n";
    let consent = |of, about: Option<&str>| {
        let pair = (label(of), about.map(label));
        Lost { consent: BTreeSet::from([pair]), ..Lost::default() }
    };
    let never = [(3, "cedar.never-allows")];
    assert_eq!(told(text, &Lost::default()), never);
    assert_eq!(told(text, &consent("finance", Some("hr"))), never);
    assert_eq!(told(text, &consent("hr", None)), never);
    for lost in [consent("finance", None), consent("finance", Some("platform")), consent("platform", Some("finance"))] {
        assert_eq!(told(text, &lost), [], "{lost:?}");
    }
}

#[test]
fn a_policy_without_name_or_reason_is_checked_all_the_same() {
    let slip = "(principal == Workload::\"hr/portl\", action, resource) when { context.rsk > 1 };\n";
    for (head, code) in [
        ("@reason(\"r\")", "cedar.id"),
        ("@id(\"x\")", "cedar.reason"),
        ("@id(\"X\")\n@reason(\"r\")", "cedar.id"),
        ("@di(\"x\")\n@reason(\"r\")", "cedar.annotation"),
        ("@id(\"x\")\n@raeson(\"r\")", "cedar.annotation"),
        ("@id(\"y\")\n@reason(\"r\")", "cedar.duplicate-id"),
    ] {
        let text = format!("{}{head}\nforbid {slip}", forbid("y", "principal, action, resource"));
        let codes: BTreeSet<_> = told(&text, &Lost::default()).into_iter().map(|(_, code)| code).collect();
        assert_eq!(codes, BTreeSet::from([code, "cedar.unknown-literal", "cedar.validation"]), "{text}");
    }
}

#[test]
fn names_are_known_as_far_as_they_could_be_read() {
    let names = |text: &str, lost: &Lost| check_incomplete(&model(), &sources(text, HR), lost).0;
    let holds = |text: &str, lost: &Lost| {
        let ids =
            [("finance", "x"), ("finance", "y"), ("finance", "consent.calls.z"), ("hr", "y"), ("org", "no-deletes")];
        let names = names(text, lost);
        ids.map(|(scope, name)| names.may_hold(&PolicyId::new(scope, name)))
    };
    let rule = forbid("x", "principal, action, resource");
    let nothing = Lost::default();
    assert_eq!(holds(&rule, &nothing), [true, false, false, false, true]);
    assert_eq!(holds("forbid (;", &nothing), [true, true, false, false, true]);
    assert_eq!(holds(&rule.replace("@id(\"x\")", ""), &nothing), [true, true, false, false, true]);
    assert_eq!(holds(&format!("{rule}{rule}"), &nothing), [true, true, false, false, true]);
    let services = Lost { names: BTreeSet::from([label("finance")]), ..Lost::default() };
    assert_eq!(holds(&rule, &services), [true, false, true, false, true]);
    assert_eq!(holds(&rule, &Lost { policies: true, ..Lost::default() }), [true; 5]);
}
