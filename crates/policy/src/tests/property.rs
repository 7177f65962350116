//! Properties: evaluation never panics, and nothing is allowed that no permit allows.

use std::sync::OnceLock;

use proptest::prelude::*;
use types::facts::Outcome;
use types::{Method, Timestamp};

use super::fixture::*;
use crate::{Lost, Policies, PolicyEffect, Principal, Question, Sources, check_incomplete, compile};

fn with_permits() -> &'static Policies {
    static POLICIES: OnceLock<Policies> = OnceLock::new();
    POLICIES.get_or_init(policies)
}

/// The same without a single permit.
fn without_permits() -> &'static Policies {
    static POLICIES: OnceLock<Policies> = OnceLock::new();
    POLICIES.get_or_init(|| policies_of(&Sources { domains: Default::default(), ..sources("", "") }))
}

proptest! {
    #[test]
    fn nothing_is_allowed_without_a_permit(
        caller in prop::option::of(prop::sample::select(vec!["finance/payments", "finance/ledger", "hr/portal", "internal-tools/directory", "platform/ci", "no/body"])),
        service in prop::sample::select(vec!["finance/ledger", "hr/people", "hr/payroll"]),
        pick in any::<prop::sample::Index>(),
        method in prop::sample::select(Method::ALL.to_vec()),
        source in any::<Option<std::net::IpAddr>>(),
        risk in any::<u8>(),
        at in prop_oneof![any::<u64>(), 0..4_000_000_000_000_000_u64],
    ) {
        let caller = caller.map(workload);
        let principal = caller.as_ref().map_or(Principal::Unidentified, Principal::Workload);
        for policies in [with_permits(), without_permits()] {
            let service = policies.model().service(&service.parse().expect("an id")).expect("known").clone();
            let routes: Vec<_> = service.all_routes().cloned().collect();
            let route = pick.get(&routes);
            let verdict = policies.evaluate(&Question { principal, method, route, source, risk, at: Timestamp::from_micros(at) });
            let infos: Vec<_> = verdict.determining.iter().filter_map(|id| policies.describe(id)).collect();
            if verdict.outcome == Outcome::Deny {
                prop_assert!(verdict.reason.is_some());
                continue;
            }
            prop_assert!(verdict.reason.is_none() && !infos.is_empty());
            prop_assert!(infos.iter().all(|info| info.effect == PolicyEffect::Permit));
            prop_assert!(caller.is_some() && risk < 90 && !core::ptr::eq(policies, without_permits()));
        }
    }
}

proptest! {
    // Compiling takes some milliseconds, so this one runs fewer cases.
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_text_panics_the_compiler(text in "(@id\\(\"a\"\\)|@reason\\(\"b\"\\)|permit|forbid|when|if|true|[(){};,=!&|\\[\\]\".? \n]|principal|resource|action|context|Route::\"a/b\"|//|\\PC){0,40}") {
        let sources = sources(&text, HR);
        let (policies, problems) = compile(&std::sync::Arc::new(model()), &sources);
        let failed = problems.iter().any(|problem| problem.severity == crate::Severity::Error);
        prop_assert_eq!(policies.is_none(), failed);
        for problem in problems.iter().chain(&check_incomplete(&model(), &sources, &Lost::default()).1) {
            if let Some(span) = problem.span.clone().filter(|_| problem.path.contains("finance")) {
                prop_assert!(span.start <= span.end && span.end <= text.len(), "{:?}", problem);
            }
        }
    }
}
