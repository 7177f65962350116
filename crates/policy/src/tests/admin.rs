//! Administrative acts are denied until `admin.cedar` permits them.

use super::fixture::*;
use crate::{Act, Policies, Sources};

#[test]
fn nobody_impersonates_without_a_permit() {
    let policies = policies();
    for (operator, who, want, by) in [
        ("local", "finance/payments", "allow", &["org/admin.local"][..]),
        ("somebody", "finance/payments", "policy.no-permit", &[]),
        ("local\" || true", "finance/payments", "policy.no-permit", &[]),
        ("", "finance/payments", "policy.no-permit", &[]),
        ("local", "hr/portal", "policy.forbidden", &["org/admin.not-hr"]),
        ("local", "finance/absent", "identity.unknown-workload", &[]),
    ] {
        let verdict = policies.may_impersonate(operator, &workload(who));
        assert_eq!((word(&verdict), names(&verdict)), (want, by.to_vec()), "{operator} as {who}");
    }
    let without = policies_of(&Sources { admin: None, ..sources(FINANCE, HR) });
    let verdict = without.may_impersonate("local", &workload("finance/payments"));
    assert_eq!(word(&verdict), "policy.no-permit");
}

#[test]
fn admin_policies_are_checked_against_their_own_schema() {
    for (text, code) in [
        (r#"permit (principal == Operator::"local", action == Action::"impersonate", resource);"#, "cedar.id"),
        (
            r#"@id("a") @reason("a") permit (principal, action == Action::"impersonate", resource == Workload::"finance/paymets");"#,
            "cedar.unknown-literal",
        ),
        (r#"@id("a") @reason("a") permit (principal, action == Action::"GET", resource);"#, "cedar.validation"),
        (r#"@id("a") @reason("a") permit (principal == Nobody::"x", action, resource);"#, "cedar.validation"),
    ] {
        let admin = Some(file("admin.cedar", text));
        let (policies, problems) =
            crate::compile(&std::sync::Arc::new(model()), &Sources { admin, ..sources(FINANCE, HR) });
        assert!(policies.is_none() && problems.iter().any(|p| p.code == code), "{text}: {problems:#?}");
    }
}

/// ADMIN of the fixture and more.
fn with_admin(text: &str) -> Policies {
    policies_of(&Sources { admin: Some(file("admin.cedar", text)), ..sources(FINANCE, HR) })
}

/// Every act, on the organisation, on a workload of finance and on one of hr; `A` allowed, `f` forbidden, `.` no permit.
fn table(policies: &Policies, operator: &str) -> String {
    let (payments, portal) = (workload("finance/payments"), workload("hr/portal"));
    let [of_finance, of_hr] = [&payments, &portal].map(Some);
    let acts = [Act::Publish, Act::Rollback, Act::Login, Act::Impersonate(&payments), Act::Impersonate(&portal)];
    let signals = [None, of_finance, of_hr].into_iter().flat_map(|about| [Act::Revoke(about), Act::Restore(about)]);
    let cells = acts.into_iter().chain(signals).map(|act| match word(&policies.may(operator, act)) {
        "allow" => 'A',
        "policy.forbidden" => 'f',
        "policy.no-permit" => '.',
        "policy.error" => 'e',
        _ => '?',
    });
    cells.collect()
}

#[test]
fn every_act_of_every_operator() {
    let without = policies_of(&Sources { admin: None, ..sources(FINANCE, HR) });
    let oncall = with_admin(
        r#"
        @id("oncall") @reason("Who is on call in HR takes trust away from HR's workloads.")
        permit (principal == Operator::"oncall", action in [Action::"revoke", Action::"restore"], resource in Domain::"hr");
        @id("release") @reason("The pipeline publishes.")
        permit (principal == Operator::"ci", action == Action::"publish", resource == Organisation::"acme.internal");
        @id("nobody-rolls-back") @reason("Roll forward.")
        forbid (principal, action == Action::"rollback", resource);
    "#,
    );
    for (policies, operator, want) in [
        (&without, "local", "AAA..AAAAAA"),
        (&without, "ci", "..........."),
        (&policies(), "local", "AAAAfAAAAAA"),
        (&oncall, "local", "AfA..AAAAAA"),
        (&oncall, "oncall", ".f.......AA"),
        (&oncall, "ci", "Af........."),
        (&oncall, "", ".f........."),
    ] {
        assert_eq!(table(policies, operator), want, "{operator}");
    }
    assert_eq!(names(&without.may("local", Act::Publish)), ["org/admin.default.local"]);
    let unknown = workload("finance/absent");
    assert_eq!(word(&without.may("local", Act::Revoke(Some(&unknown)))), "identity.unknown-workload");
    assert_eq!(oncall.may("ci", Act::Login).note, "admin.cedar permits operator `ci` no `login`");
}

#[test]
fn an_error_in_an_admin_policy_denies() {
    let broken = with_admin(
        r#"@id("odd") @reason("Overflows.") forbid (principal, action == Action::"publish", resource)
           when { 9223372036854775807 + 1 > 0 };"#,
    );
    assert_eq!(table(&broken, "local"), "eAA..AAAAAA");
}

#[test]
fn an_organisation_in_admin_cedar_is_this_one() {
    let text = r#"@id("a") @reason("a") permit (principal, action == Action::"publish", resource == Organisation::"acme.interna");"#;
    let sources = Sources { admin: Some(file("admin.cedar", text)), ..sources(FINANCE, HR) };
    let problems = crate::compile(&std::sync::Arc::new(model()), &sources).1;
    let problem = problems.iter().find(|problem| problem.path == "admin.cedar").expect("a problem");
    assert_eq!(problem.message, "there is no organisation `acme.interna`");
    assert_eq!(problem.hint.as_deref(), Some("did you mean `acme.internal`?"));
}
