//! Administrative acts are denied until `admin.cedar` permits them.

use super::fixture::*;
use crate::Sources;

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
