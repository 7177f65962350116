//! Every problem is found in one run: none hides another that stands elsewhere, and none is told that would vanish once
//! another is mended.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use super::directory::{good, listed};
use super::slips::{SLIPS, Slip};
use crate::*;

/// The good directory with more in it for policies and tests to speak of.
pub(super) fn wide() -> MemoryFiles {
    let mut files = good();
    MORE.iter().for_each(|(path, text)| files.insert(*path, *text));
    files
}

const MORE: [(&str, &str); 7] = [
    (
        "domains/hr/policies/people.cedar",
        "@id(\"payments-reads-people\")
@reason(\"Payments looks up whom it pays.\")
permit (principal == Workload::\"finance/payments\", action == Action::\"GET\", resource == Route::\"hr/people GET /people/{id}\");
",
    ),
    (
        "domains/hr/tests/people.yaml",
        "- name: payments looks a person up
  call: { as: finance/payments, request: GET https://hr.acme.internal/people/7 }
  expect: allow
  by: hr/payments-reads-people
- name: nobody looks jobs up
  call: { as: nobody, request: GET https://hr.acme.internal/jobs }
  expect: deny
",
    ),
    (
        "domains/legal/domain.yaml",
        "domain: legal
services:
  cases:
    hosts: [legal.acme.internal]
    upstream: { urls: [http://127.0.0.1:7301] }
    api: [apis/cases.yaml]
workloads:
  clerk: { attest: { any: [ { unix: { uid: 1003 } } ] } }
",
    ),
    ("domains/legal/apis/cases.yaml", "openapi: 3.1.0\npaths:\n  /cases/{id}:\n    get: {}\n"),
    (
        "domains/legal/policies/cases.cedar",
        "@id(\"clerk-reads-cases\")
@reason(\"The clerk reads what is filed.\")
permit (principal == Workload::\"legal/clerk\", action, resource == Route::\"legal/cases GET /cases/{id}\");
",
    ),
    (
        "domains/legal/tests/cases.yaml",
        "- name: the clerk reads a case
  call: { as: legal/clerk, request: GET https://legal.acme.internal/cases/1 }
  expect: allow
  by: legal/clerk-reads-cases
- name: payments reads no case
  call: { as: finance/payments, request: GET https://legal.acme.internal/cases/1 }
  expect: deny
  by: legal/consent.accepts_from.cases
",
    ),
    (
        "policies/guard.cedar",
        "@id(\"no-clerks-in-ledgers\")
@reason(\"Who files cases does not book.\")
forbid (principal == Workload::\"legal/clerk\", action, resource in Service::\"finance/ledger\");
",
    ),
];

/// Severity, code, file, what is underlined and the message of every problem.
fn problems(files: &MemoryFiles) -> BTreeSet<String> {
    let loaded = load(files);
    let tell = |problem: &Problem| {
        let text = loaded.sources.get(&problem.path).map(String::as_str).unwrap_or_default();
        let under = problem.span.clone().and_then(|span| text.get(span)).unwrap_or_default();
        format!("{:?} {} {} [{under}] {}", problem.severity, problem.code, problem.path, problem.message)
    };
    loaded.problems.iter().map(tell).collect()
}

/// Makes slips in the wide directory; `None` where two of them stand in the same place.
fn with(slips: &[&Slip]) -> Option<MemoryFiles> {
    let mut files = wide();
    let untouched = |path: &str, text: &str| wide().iter().any(|(own, bytes)| own == path && bytes == text.as_bytes());
    for (path, old, new) in slips.iter().flat_map(|slip| slip.edits) {
        let content = files.remove(path).map(|bytes| String::from_utf8(bytes).expect("text"));
        match content {
            Some(text) if !old.is_empty() && text.contains(old) => files.insert(*path, text.replacen(old, new, 1)),
            Some(text) if old.is_empty() && new.is_empty() && untouched(path, &text) => {}
            None if old.is_empty() && !new.is_empty() => files.insert(*path, *new),
            _ => return None,
        }
    }
    Some(files)
}

#[test]
fn the_wide_directory_is_good() {
    let loaded = load(&wide());
    assert_eq!(loaded.problems, []);
    let results = run_tests(&loaded.revision.expect("good"));
    assert!(results.iter().all(|result| result.passed), "{results:#?}");
}

#[test]
fn each_slip_is_told_and_nothing_else() {
    for slip in SLIPS {
        let files = with(&[slip]).unwrap_or_else(|| panic!("{}: not there", slip.name));
        let told: Vec<String> =
            listed(&files).iter().map(|line| line.split(':').next().unwrap_or(line).to_owned()).collect();
        assert_eq!(told, slip.told, "{}: {:#?}", slip.name, problems(&files));
    }
}

/// What each slip is told when it is the only one.
static ALONE: LazyLock<HashMap<&str, BTreeSet<String>>> =
    LazyLock::new(|| SLIPS.iter().map(|slip| (slip.name, problems(&with(&[slip]).expect(slip.name)))).collect());

/// Looks that of several slips each is told as it is told alone, unless another loses what it speaks of: then it waits
/// until that one is mended. Never is anything told that none of them would be told for alone.
fn check(slips: &[&Slip], failed: &mut Vec<String>) {
    let is_hidden = |slip: &Slip| slips.iter().any(|other| other.hides(slip));
    let want: BTreeSet<String> =
        slips.iter().filter(|slip| !is_hidden(slip)).flat_map(|slip| &ALONE[slip.name]).cloned().collect();
    let got = problems(&with(slips).expect("apart"));
    let names: Vec<_> = slips.iter().map(|slip| slip.name).collect();
    let differences = got.symmetric_difference(&want);
    let differences = differences.map(|told| (if want.contains(told) { "hidden" } else { "too much" }, told));
    failed.extend(differences.map(|difference| format!("{names:?}: {difference:#?}")));
}

#[test]
fn a_slip_that_loses_names_hides_only_what_speaks_of_them() {
    let mut failed = Vec::new();
    for slip in SLIPS.iter().filter(|slip| !slip.is_harmless()) {
        let mut slips = vec![slip];
        for other in SLIPS.iter().filter(|other| other.is_harmless()) {
            slips.push(other);
            if with(&slips).is_none() {
                slips.pop();
            }
        }
        assert!(slips.len() > 20, "{}: only {} others stand elsewhere", slip.name, slips.len() - 1);
        check(&slips, &mut failed);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn slips_that_lose_names_hide_only_what_speaks_of_them() {
    let mut failed = Vec::new();
    let losing: Vec<_> = SLIPS.iter().filter(|slip| !slip.is_harmless()).collect();
    let are_related = |a: &Slip, b: &Slip| a.hides(b) || b.hides(a);
    for (at, slip) in losing.iter().enumerate() {
        let mut unrelated = vec![*slip];
        for other in losing.iter().cycle().skip(at + 1).take(losing.len() - 1) {
            let has_related = unrelated.iter().any(|slip| are_related(slip, other));
            unrelated.push(other);
            if has_related || with(&unrelated).is_none() {
                unrelated.pop();
            }
        }
        check(&unrelated, &mut failed);
        let related = losing.iter().skip(at + 1).filter(|other| are_related(slip, other));
        let pairs = related.map(|other| [*slip, *other]).filter(|pair| with(pair).is_some());
        pairs.for_each(|pair| check(&pair, &mut failed));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// One problem of every kind, in files that lose nothing or only what nobody else speaks of.
#[test]
fn one_problem_of_every_kind_is_found_in_one_run() {
    let files = with(&SLIPS.iter().filter(|slip| slip.is_in_the_whole).collect::<Vec<_>>()).expect("apart");
    assert_eq!(
        listed(&files),
        [
            "error value.bad countersign.yaml:2",
            "warning consent.one-sided domains/finance/domain.yaml:2",
            "error value.bad domains/finance/domain.yaml:10",
            "error cedar.foreign-resource domains/finance/policies/g.cedar:3",
            "error name.unknown-workload domains/finance/tests/l.yaml:1",
            "error value.bad domains/finance/tests/ledger.yaml:3",
            "error name.unknown-policy domains/finance/tests/p.yaml:1",
            "error yaml.unknown-key domains/hr/domain.yaml:2",
            "error route.ambiguous domains/hr/domain.yaml:10",
            "error host.claimed-twice domains/hr/domain.yaml:12",
            "error cedar.reason domains/hr/policies/a.cedar:1",
            "error cedar.validation domains/hr/policies/d.cedar:3",
            "error cedar.unknown-literal domains/hr/policies/e.cedar:3",
            "error cedar.unknown-literal domains/hr/policies/h.cedar:3",
            "error yaml.syntax domains/legal/apis/cases.yaml:2",
            "error name.unknown-operator domains/legal/domain.yaml:2",
            "error settings.below-floor domains/legal/domain.yaml:3",
            "error name.unknown-group domains/legal/domain.yaml:10",
            "error cedar.id domains/legal/policies/q.cedar:1",
        ]
    );
}
