//! The table of every role, every administrative act and what it is about, against a checked-in copy (STYLE 31).

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use super::fixture::*;
use crate::{Act, Model, Policies, Role, SourceFile, Sources, compile};

const WANT: &str = include_str!("roles.txt");

/// The fixture with an operator for each role, one with all of them and one with none.
fn staffed() -> Model {
    let mut model = model();
    for role in Role::ALL {
        model.operators.insert(label(role.as_str()), BTreeSet::from([role]));
    }
    model.operators.insert(label("all"), Role::ALL.into());
    model.operators.insert(label("none"), BTreeSet::new());
    model
}

fn compiled(admin: Option<&str>) -> (Policies, Vec<String>) {
    let admin: Option<SourceFile> = admin.map(|text| file("admin.cedar", text));
    let (policies, problems) = compile(&Arc::new(staffed()), &Sources { admin, ..sources(FINANCE, HR) });
    let told = problems
        .iter()
        .filter(|p| p.path == "admin.cedar")
        .map(|p| format!("{} {} | {}", p.code, p.message, p.hint.as_deref().unwrap_or("-")));
    let told = told.collect();
    (policies.unwrap_or_else(|| panic!("{problems:#?}")), told)
}

const WHO: [&str; 8] = ["local", "viewer", "operator", "owner", "security", "all", "none", "stranger"];

fn table(policies: &Policies) -> String {
    let payments = workload("finance/payments");
    let organisation = [
        Act::View,
        Act::Login,
        Act::Publish,
        Act::Rollback,
        Act::Approve,
        Act::Revoke(None),
        Act::Restore(None),
        Act::JoinToken,
        Act::Retire,
        Act::Certify,
        Act::Rotate,
    ];
    let of_workload = [Act::Revoke(Some(&payments)), Act::Restore(Some(&payments)), Act::Impersonate(&payments)];
    let acts = organisation.map(|act| (act, "organisation")).into_iter();
    let acts = acts.chain(of_workload.map(|act| (act, "workload")));
    let mut text = String::from("A allowed, f forbidden, . no permit; admin.cedar says nothing\n\n");
    writeln!(text, "{:<26}{}", "", WHO.join(" ")).expect("writing to a string");
    for (act, about) in acts {
        let cells = WHO.map(|who| {
            let cell = match word(&policies.may(who, act)) {
                "allow" => "A",
                "policy.forbidden" => "f",
                "policy.no-permit" => ".",
                other => other,
            };
            format!("{cell:<width$}", width = who.len())
        });
        writeln!(text, "{:<12}{about:<14}{}", act.as_str(), cells.join(" ").trim_end()).expect("as above");
    }
    text
}

#[test]
fn every_role_and_every_act() {
    let table = table(&compiled(None).0);
    assert_eq!(table, WANT, "the table changed; if it is meant, replace src/tests/roles.txt with:\n{table}");
}

#[test]
fn a_role_permits_by_a_policy_that_is_named_and_described() {
    let (policies, _) = compiled(None);
    for (who, act, by) in [
        ("viewer", Act::View, "org/admin.default.viewer.view"),
        ("owner", Act::Publish, "org/admin.default.owner.publish"),
        ("operator", Act::JoinToken, "org/admin.default.operator.join"),
        ("security", Act::Approve, "org/admin.default.security.approve"),
        ("local", Act::Certify, "org/admin.default.local"),
    ] {
        let verdict = policies.may(who, act);
        assert_eq!(names(&verdict), [by]);
        let info = policies.describe(&verdict.determining[0]).expect("described");
        assert!(info.generated && info.path.is_none(), "{info:?}");
    }
    let note = policies.may("viewer", Act::Publish).note;
    assert_eq!(note, "admin.cedar permits operator `viewer` no `publish`");
}

#[test]
fn admin_cedar_adds_to_roles_and_takes_from_them() {
    let (policies, problems) = compiled(Some(
        r#"
        @id("viewers-approve") @reason("All eyes.")
        permit (principal in Role::"viewer", action == Action::"approve", resource);
        @id("no-login") @reason("No console.")
        forbid (principal in Role::"owner", action == Action::"login", resource);
        @id("hr-by-operators") @reason("HR is left alone.")
        forbid (principal in Role::"operator", action == Action::"revoke", resource in Domain::"hr");
        @id("own") @reason("Who has no role may look.")
        permit (principal == Operator::"none", action == Action::"view", resource);
    "#,
    ));
    assert_eq!(problems, [""; 0]);
    let may = |who: &str, act| word(&policies.may(who, act));
    let (portal, payments) = (workload("hr/portal"), workload("finance/payments"));
    for (who, act, want) in [
        ("viewer", Act::Approve, "allow"),
        ("operator", Act::Approve, "policy.no-permit"),
        ("owner", Act::Login, "policy.forbidden"),
        ("all", Act::Login, "policy.forbidden"),
        ("security", Act::Login, "allow"),
        ("operator", Act::Revoke(Some(&portal)), "policy.forbidden"),
        ("operator", Act::Revoke(Some(&payments)), "allow"),
        ("security", Act::Revoke(Some(&portal)), "allow"),
        ("none", Act::View, "allow"),
        ("stranger", Act::View, "policy.no-permit"),
    ] {
        assert_eq!(may(who, act), want, "{who} {act:?}");
    }
}

#[test]
fn names_of_roles_and_operators_are_checked() {
    let permit = |principal: &str| {
        format!("@id(\"a\") @reason(\"r\") permit (principal {principal}, action == Action::\"view\", resource);")
    };
    for (principal, want) in [
        (r#"in Role::"owner""#, vec![]),
        (r#"== Operator::"viewer""#, vec![]),
        (r#"== Operator::"local""#, vec![]),
        (
            r#"== Operator::"veiwer""#,
            vec![
                "cedar.unknown-operator there is no operator `veiwer`: nobody can act under this name | did you mean `viewer`?",
            ],
        ),
        (
            r#"== Operator::"pipeline""#,
            vec![
                "cedar.unknown-operator there is no operator `pipeline`: nobody can act under this name | add it to `operators` in countersign.yaml",
            ],
        ),
    ] {
        assert_eq!(compiled(Some(&permit(principal))).1, want, "{principal}");
    }
    for (role, hint) in [("ownr", "did you mean `owner`?"), ("admin", "a role is written like `owner`")] {
        let admin = Some(file("admin.cedar", &permit(&format!("in Role::\"{role}\""))));
        let (policies, problems) = compile(&Arc::new(staffed()), &Sources { admin, ..sources(FINANCE, HR) });
        assert!(policies.is_none());
        let problem = problems.iter().find(|problem| problem.path == "admin.cedar").expect("told");
        assert_eq!(
            (problem.code, problem.message.as_str()),
            ("cedar.unknown-literal", &*format!("there is no role `{role}`"))
        );
        assert_eq!(problem.hint.as_deref(), Some(hint));
    }
}

/// Policies of calls know no operators: being one opens no service.
#[test]
fn policies_of_calls_cannot_name_operators() {
    for literal in [r#"Operator::"local""#, r#"Role::"owner""#] {
        let text = format!("@id(\"a\")\n@reason(\"r\")\npermit (principal == {literal}, action, resource);");
        let problems = problems_of(&text);
        assert!(problems.iter().any(|problem| problem.severity == crate::Severity::Error), "{literal}: {problems:#?}");
    }
}
