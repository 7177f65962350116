//! Tests of who can and what can, on the example organisation.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use types::Timestamp;

use super::*;
use crate::DirFiles;

fn acme() -> &'static Arc<Revision> {
    static ACME: OnceLock<Arc<Revision>> = OnceLock::new();
    ACME.get_or_init(|| {
        let files = DirFiles::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/acme"));
        trustdir::load(&files).revision.expect("the example")
    })
}

/// `caller: result conditions reason by`, the callers that may and those that may not for another reason than consent.
fn said(lines: Vec<Access>, by: impl Fn(&Access) -> &str) -> Vec<String> {
    let told = |line: &Access| {
        let words = match line.result {
            AccessResult::Allowed => format!("allowed by {}", line.policies.join(", ")),
            AccessResult::Conditional => format!("if {}", line.conditions.join("; ")),
            AccessResult::Refused => format!("{} {}", line.reason, line.policies.join(", ")),
        };
        format!("{} {}", by(line), words.trim_end())
    };
    lines.iter().filter(|line| !line.reason.starts_with("consent.")).map(told).collect()
}

#[test]
fn a_route_is_found_by_its_name_and_by_its_url() {
    let by_name = who_can(acme(), "finance/ledger POST /entries").expect("a route");
    assert_eq!(by_name, who_can(acme(), "POST https://ledger.acme.internal/entries").expect("a route"));
    assert_eq!(by_name.len(), acme().workloads().len(), "one line for every workload, none for everyone");
    let can: Vec<_> = said(by_name, |line| &line.caller).into_iter().filter(|line| line.contains(" if ")).collect();
    assert_eq!(
        can,
        ["finance/payments if finance/payments-posts-entries: context.risk < 60; \
          org/look-but-do-not-touch-above-risk-75: not context.risk >= 75; org/nothing-above-risk-90: not context.risk >= 90"]
    );
    let salaries = who_can(acme(), "hr/payroll PUT /salaries/{id}").expect("a route");
    let can: Vec<_> = said(salaries, |line| &line.caller).into_iter().filter(|line| line.contains(" if ")).collect();
    assert_eq!(
        can,
        ["hr/compensation if hr/compensation-keeps-salaries: context.risk < 60; \
          hr/salaries-change-in-office-hours: context.weekday <= 5 && context.minute_of_day >= 480 && context.minute_of_day < 1080; \
          org/look-but-do-not-touch-above-risk-75: not context.risk >= 75; org/nothing-above-risk-90: not context.risk >= 90"]
    );
}

#[test]
fn the_pseudo_route_is_answered_by_method() {
    for name in ["platform/status *", "platform/status GET *", "GET https://status.acme.internal/incidents/2/updates"] {
        let lines = who_can(acme(), name).expect(name);
        let portal: Vec<_> = lines
            .iter()
            .filter(|line| line.caller == "hr/portal")
            .map(|line| (line.route.as_str(), line.result))
            .collect();
        let reads = if name.contains("GET") { "platform/status GET *" } else { "platform/status GET,HEAD,OPTIONS *" };
        assert_eq!(portal[0], (reads, AccessResult::Conditional), "{name}");
        assert_eq!(portal.get(1).map(|(_, result)| *result), (!name.contains("GET")).then_some(AccessResult::Refused));
    }
}

#[test]
fn what_a_workload_can_call_is_told_route_by_route() {
    let lines = what_can(acme(), "platform/access").expect("a workload");
    let by_id = what_can(acme(), "spiffe://platform.acme.internal/access").expect("a workload");
    assert_eq!(lines, by_id);
    let can: Vec<_> =
        lines.iter().filter(|line| line.result != AccessResult::Refused).map(|line| line.route.as_str()).collect();
    assert!(can.contains(&"hr/people GET /people/{id}") && !can.contains(&"hr/people POST /people"), "{can:?}");
    assert!(lines.iter().all(|line| line.caller == "platform/access"));
}

#[test]
fn what_is_not_there_is_answered_with_what_was_meant() {
    for (route, hint) in [
        ("finance/ledger POST /entires", "did you mean `finance/ledger POST /entries`?"),
        ("finance/leger POST /entries", "did you mean `finance/ledger POST /entries`?"),
        ("finance/leger POST /something/else", "did you mean a route of `finance/ledger`?"),
        ("finance/ledger DELETE /completely/other/things", "the routes are finance/ledger GET /accounts, "),
        ("POST https://leger.acme.internal/entries", "did you mean `ledger.acme.internal`?"),
        ("DELETE https://ledger.acme.internal/entries/17", "did you mean `finance/ledger GET /entries/{id}`?"),
        ("https://ledger.acme.internal/entries", "write it like `POST https://ledger.acme.internal/entries`"),
        ("GET https://ledger.acme.internal/a/../b", "the path holds a dot segment; write it like"),
        ("GET https://", "write it like"),
        ("", "the services are "),
    ] {
        let failure = who_can(acme(), route).expect_err(route);
        assert_eq!(failure.code, FailureCode::NotFound, "{route}");
        assert!(failure.hint.contains(hint), "{route}: {}", failure.hint);
    }
    for (caller, hint) in [
        ("finance/paymnets", "did you mean `finance/payments`?"),
        ("payments", "did you mean `finance/payments`?"),
        ("\u{1b}[2J", "the workloads are finance/"),
    ] {
        let failure = what_can(acme(), caller).expect_err(caller);
        assert!(failure.hint.contains(hint), "{caller}: {}", failure.hint);
    }
}

proptest! {
    #[test]
    fn the_judge_never_contradicts_it(
        caller in any::<prop::sample::Index>(),
        route in any::<prop::sample::Index>(),
        method in prop::sample::select(Method::ALL.to_vec()),
        risk in 0_u8..=100,
        at in 1_760_000_000_u64..1_830_000_000,
        source in any::<Option<std::net::IpAddr>>(),
    ) {
        let model = acme().model();
        let callers = workloads(model);
        let mut principals: Vec<_> = callers.iter().map(Principal::Workload).collect();
        principals.push(Principal::Unidentified);
        let routes: Vec<_> = model.domains.values().flat_map(|domain| domain.services.values()).flat_map(|service| service.all_routes()).collect();
        let (principal, route) = (*caller.get(&principals), *route.get(&routes));
        let method = route.id.call().map_or(method, |(method, _)| *method);
        let at = Timestamp::from_seconds(at);
        let question = policy::Question { principal, method, route, source, risk, at };
        let verdict = acme().policies().evaluate(&question);
        let noted = &verdict.noted;
        match Survey::of(acme().policies(), route.id.service().domain()).access(principal, method, route).expect("an answer") {
            policy::Access::Allowed(_) => prop_assert!(verdict.reason.is_none() && noted.is_empty(), "{:?}", question),
            // where a mode is relaxed, what will refuse once it is enforced is noted
            policy::Access::Refused(reason, by) => {
                prop_assert!(verdict.reason.is_some() || !noted.is_empty(), "{:?}", question);
                let named = |id| verdict.determining.contains(id) || noted.iter().any(|noted| noted.policy() == Some(id));
                prop_assert!(by.iter().all(named), "{:?} {:?}", question, by);
                let first = noted.iter().map(|noted| noted.reason()).chain(verdict.reason).min();
                prop_assert!(first <= Some(reason) || reason == types::Reason::PolicyNoPermit, "{:?}", question);
            }
            policy::Access::Conditional { permits, .. } => {
                let permitted = verdict.reason.is_none();
                prop_assert!(verdict.determining.iter().all(|id| !permitted || permits.contains(id)), "{:?}", question);
            }
        }
    }
}
