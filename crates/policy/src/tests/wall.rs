//! Promise 6: a domain is a wall.

use super::fixture::*;

const PERMIT_ALL: &str = r#"@id("all") @reason("A mistake.") permit (principal, action, resource);"#;
const FORBID_ALL: &str = r#"@id("none") @reason("A mistake.") forbid (principal, action, resource);"#;

const CALLS: [&str; 7] = [
    "finance/payments POST finance/ledger /entries",
    "finance/payments GET finance/ledger /entries/{id}",
    "internal-tools/search GET finance/ledger /entries/{id}",
    "internal-tools/directory GET finance/ledger /entries/{id}",
    "hr/portal POST finance/ledger /entries",
    "platform/ci GET finance/ledger /entries/{id}",
    "nobody POST finance/ledger /entries",
];

#[test]
fn a_domain_is_a_wall() {
    let usual = policies();
    let open = policies_of(&sources(FINANCE, &format!("{HR}{PERMIT_ALL}")));
    let shut = policies_of(&sources(FINANCE, &format!("{HR}{FORBID_ALL}")));
    for words in CALLS {
        for risk in [0, 20, 60, 95] {
            let call = Call { risk, ..call(words) };
            let verdict = ask(&usual, call);
            assert_eq!(ask(&open, call), verdict, "{words} at {risk} with permit-all in hr");
            assert_eq!(ask(&shut, call), verdict, "{words} at {risk} with forbid-all in hr");
        }
    }
    // The same policies do decide at home, so that the test above can fail.
    let home = call("hr/portal GET hr/payroll /runs/{id}");
    assert_eq!(word(&ask(&usual, home)), "policy.no-permit");
    assert_eq!(word(&ask(&open, home)), "allow");
    assert_eq!(word(&ask(&shut, home)), "policy.forbidden");
}

#[test]
fn a_permit_of_one_domain_does_not_open_another() {
    let open = policies_of(&sources(FINANCE, &format!("{HR}{PERMIT_ALL}")));
    assert_eq!(word(&ask(&open, call("internal-tools/search POST finance/ledger /entries"))), "policy.no-permit");
    // Nor does it replace consent, which platform never got.
    assert_eq!(word(&ask(&open, call("platform/ci GET hr/people /people"))), "consent.provider");
}
