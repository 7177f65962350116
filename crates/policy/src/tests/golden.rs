//! The table of every caller and every route, against a checked-in copy (STYLE 31).

use std::fmt::Write as _;

use types::Method;

use super::fixture::*;
use crate::{Policies, Principal, Question};

const WANT: &str = include_str!("golden.txt");

#[test]
fn every_caller_on_every_route() {
    let table = table(&policies());
    assert_eq!(table, WANT, "the table changed; if it is meant, replace src/tests/golden.txt with:\n{table}");
}

fn table(policies: &Policies) -> String {
    let mut text = String::from(
        "risk 20, Monday 10:00; A allow, p consent.provider, c consent.consumer, i requires.identity,\nf policy.forbidden, . policy.no-permit\n\n",
    );
    let callers = policies.model().domains.values();
    let callers: Vec<_> = callers
        .flat_map(|domain| domain.workloads.iter().map(|name| workload(&format!("{}/{name}", domain.name))))
        .collect();
    for (index, caller) in callers.iter().enumerate() {
        writeln!(text, "{index} {caller}").expect("writing to a string");
    }
    writeln!(text, "- nobody\n\n{}-", (0..callers.len()).map(|i| i.to_string()).collect::<String>()).expect("as above");
    for service in policies.model().domains.values().flat_map(|domain| domain.services.values()) {
        for route in service.all_routes() {
            let methods = route.id.call().map_or(Method::ALL.to_vec(), |(method, _)| vec![*method]);
            for method in methods {
                let principals = callers.iter().map(Principal::Workload).chain([Principal::Unidentified]);
                let cells = principals.map(|principal| {
                    let question = Question { principal, method, route, source: None, risk: 20, at: NOON };
                    cell(word(&policies.evaluate(&question)))
                });
                writeln!(text, "{} {method} {}", cells.collect::<String>(), route.id).expect("as above");
            }
        }
    }
    text
}

fn cell(word: &str) -> char {
    match word {
        "allow" => 'A',
        "consent.provider" => 'p',
        "consent.consumer" => 'c',
        "requires.identity" => 'i',
        "policy.forbidden" => 'f',
        "policy.no-permit" => '.',
        _ => '?',
    }
}
