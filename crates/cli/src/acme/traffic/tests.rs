//! The table of calls against the trust directory and the services: what it says is allowed is, and is answered well.

use std::{collections::BTreeSet, fmt::Write};

use trustdir::{MemoryFiles, TestResult, load, run_tests};

use super::{Dice, SCRIPTS, client::Asked, intruder, script::Step};
use crate::acme::{
    catalogue::{ORGANISATION, PROBER, SERVICES, WORKLOADS},
    files::FILES,
    tests::{Running, call},
};

/// A working day, a Sunday night, the close of a month, the days between the years.
const MOMENTS: [&str; 4] =
    ["2026-11-25T10:00:00Z", "2026-11-29T02:30:00Z", "2026-12-01T09:00:00Z", "2026-12-28T03:00:00Z"];

fn domain_of(name: &str) -> &'static str {
    let services = SERVICES.iter().map(|service| (service.domain, service.name));
    services.chain(WORKLOADS.iter().copied()).find(|(_, known)| *known == name).map(|(domain, _)| domain).unwrap()
}

fn asked(step: &Step) -> Asked {
    step.fill(&mut Dice::new())
}

/// What policies say of calls, by caller: the same way as tests that stand in a trust directory.
fn judged<'a>(calls: impl IntoIterator<Item = (&'a str, Asked)>, expect: &str) -> Vec<TestResult> {
    let mut yaml = String::new();
    for (caller, asked) in calls {
        for at in MOMENTS {
            let (method, host, target) = (asked.method, &asked.host, &asked.target);
            writeln!(yaml, "- name: \"{caller} {method} https://{host}{target} at {at}\"").unwrap();
            writeln!(yaml, "  call: {{ as: {caller}, request: \"{method} https://{host}{target}\" }}").unwrap();
            writeln!(yaml, "  given: {{ risk: 50, at: {at} }}\n  expect: {expect}").unwrap();
        }
    }
    let path = "domains/finance/tests/traffic.yaml";
    let loaded = load(&MemoryFiles::new(FILES.iter().copied().chain([(path, yaml.as_str())])));
    // that an intruder asks for what is not there is no mistake of the test
    let wrong: Vec<_> = loaded.problems.iter().filter(|problem| problem.code != "test.unlisted").collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    run_tests(&loaded.revision.unwrap()).into_iter().filter(|result| result.file == path).collect()
}

fn caller_of(name: &str) -> String {
    if name == PROBER { "nobody".to_owned() } else { format!("{}/{name}", domain_of(name)) }
}

/// The calls that only shadow lets pass.
fn is_shadowed(name: &str, step: &Step) -> bool {
    let shadowed = [
        ("payments", "GET", "/reports?colleague=$colleague"),
        ("portal", "PUT", "/colleagues/$colleague"),
        ("intranet", "GET", "/colleagues/$colleague/vcard"),
    ];
    shadowed.contains(&(name, step.method, step.target))
}

#[test]
fn everything_that_is_called_is_allowed_at_any_hour_or_would_be_denied_as_intended() {
    for (shadow, expect) in [(false, "allow"), (true, "would-deny")] {
        let steps = SCRIPTS.iter().flat_map(|script| script.steps.iter().map(move |step| (script.name, step)));
        let calls: Vec<(String, Asked)> = steps
            .filter(|(name, step)| is_shadowed(name, step) == shadow)
            .map(|(name, step)| (caller_of(name), asked(step)))
            .collect();
        assert!(calls.len() >= if shadow { 3 } else { 50 });
        let results = judged(calls.iter().map(|(caller, asked)| (caller.as_str(), asked.clone())), expect);
        assert_eq!(results.len(), calls.len() * MOMENTS.len());
        let wrong: Vec<_> = results.iter().filter(|result| !result.passed).map(|r| (&r.name, &r.note)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[test]
fn whatever_the_intruder_tries_with_its_certificate_is_refused_at_any_hour() {
    let calls: Vec<Asked> = intruder::wants().collect();
    assert!(calls.len() >= 10);
    let results = judged(calls.iter().map(|asked| ("platform/ci", asked.clone())), "deny");
    let wrong: Vec<_> = results.iter().filter(|result| !result.passed).map(|r| (&r.name, &r.note)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn callers_are_of_the_catalogue_and_each_has_one_script() {
    let names: BTreeSet<&str> = SCRIPTS.iter().map(|script| script.name).collect();
    assert_eq!(names.len(), SCRIPTS.len());
    for name in names.iter().filter(|name| **name != PROBER) {
        domain_of(name);
    }
    let workloads: BTreeSet<&str> = WORKLOADS.iter().map(|(_, name)| *name).collect();
    assert_eq!(workloads.difference(&names).count(), 0, "everyone who only calls does call");
}

#[test]
fn a_few_calls_a_second_in_all() {
    let rate: f64 = SCRIPTS.iter().map(|script| 1.0 / script.pause().as_secs_f64()).sum();
    assert!((2.0..4.0).contains(&rate), "{rate}");
}

#[tokio::test]
async fn every_call_is_one_that_its_service_answers_well() {
    for service in SERVICES {
        let running = Running::start(service.name).await;
        for step in SCRIPTS.iter().flat_map(|script| script.steps).filter(|step| step.service == service.name) {
            let asked = asked(step);
            assert_eq!(asked.host, format!("{}.{ORGANISATION}", service.name));
            assert!(!asked.target.contains('$') && !asked.body.contains('$'), "{asked:?}");
            let (status, answer) = call(running.address, asked.method, &asked.target, Some(&asked.body)).await;
            assert!((200..300).contains(&status), "{asked:?}: {status} {answer}");
        }
        running.stop().await;
    }
}

#[test]
fn chance_stays_within_its_bounds() {
    let mut dice = Dice::new();
    let thrown: BTreeSet<usize> = (0..200).map(|_| dice.below(6)).collect();
    assert_eq!(thrown, (0..6).collect());
    assert_eq!(dice.below(0), 0);
    let second = std::time::Duration::from_secs(1);
    for _ in 0..100 {
        let about = dice.about(second).as_millis();
        assert!((600..1400).contains(&about), "{about}");
        assert!(dice.part_of(second) < second);
    }
}
