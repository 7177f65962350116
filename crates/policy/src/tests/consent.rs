//! Both sides must consent, each in its own configuration, and the note says which does not.

use super::fixture::*;

#[test]
fn a_call_between_domains_takes_both_sides() {
    let open = r#"@id("all") @reason("All.") permit (principal, action, resource);"#;
    let policies = policies_of(&sources(open, open));
    let (accepts, calls) = ("consent.provider", "consent.consumer");
    for (words, want, by, note) in [
        ("internal-tools/directory GET hr/people /people", "allow", &["hr/all"][..], ""),
        ("finance/payments GET hr/payroll /runs/{id}", "allow", &["hr/all"], ""),
        ("hr/portal GET hr/payroll /runs/{id}", "allow", &["hr/all"], ""),
        (
            "platform/ci GET hr/people /people",
            accepts,
            &["hr/consent.accepts_from.people"],
            "hr accepts internal-tools for people; platform is not among them",
        ),
        (
            "finance/payments GET hr/people /people",
            accepts,
            &["hr/consent.accepts_from.people", "hr/consent.calls.people"],
            "hr accepts finance for payroll; people is not among them; \
             finance/payments calls hr/payroll; hr/people is not among them",
        ),
        (
            "internal-tools/search GET hr/people /people",
            calls,
            &["hr/consent.calls.people"],
            "internal-tools/search calls finance/ledger; hr/people is not among them",
        ),
        (
            "internal-tools/directory POST hr/payroll /runs",
            calls,
            &["hr/consent.calls.payroll"],
            "internal-tools/directory calls hr/people; hr/payroll is not among them",
        ),
        (
            "finance/ledger GET hr/payroll /runs/{id}",
            calls,
            &["hr/consent.calls.payroll"],
            "`calls` of finance lists nothing for ledger",
        ),
    ] {
        let verdict = ask(&policies, call(words));
        assert_eq!((word(&verdict), names(&verdict), verdict.note.as_str()), (want, by.to_vec(), note), "{words}");
    }
}

#[test]
fn nobody_is_asked_for_identity_not_for_consent() {
    let verdict = ask(&policies(), call("nobody GET hr/people /people"));
    assert_eq!((word(&verdict), names(&verdict)), ("requires.identity", vec!["hr/requires.identity"]));
    assert_eq!(verdict.note, "the call has no verified identity");
}

#[test]
fn generated_policies_are_described_as_such() {
    let policies = policies();
    let id = types::PolicyId::new("hr", "consent.accepts_from.payroll");
    let info = policies.describe(&id).expect("generated");
    assert!(info.generated && info.path.is_none() && info.text.contains("forbid"), "{info:?}");
    assert_eq!(info.reason, "hr accepts finance and internal-tools for payroll");
    let written = policies.describe(&types::PolicyId::new("finance", "finance-reads")).expect("written");
    assert_eq!((written.line, written.generated), (Some(10), false));
    assert!(written.text.starts_with("@id(\"finance-reads\")") && written.text.ends_with(';'), "{}", written.text);
    assert_eq!(policies.describe(&types::PolicyId::new("finance", "absent")), None);
}
