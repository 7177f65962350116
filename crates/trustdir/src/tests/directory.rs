//! A small good directory that tests spoil, and how they look at problems.

use crate::*;

pub(super) const GOOD: [(&str, &str); 6] = [
    ("countersign.yaml", "organisation: acme.internal\n"),
    (
        "domains/finance/domain.yaml",
        "domain: finance
calls: { payments: [hr/people] }
services:
  ledger:
    hosts: [ledger.acme.internal]
    upstream: { urls: [http://127.0.0.1:7101] }
    api: [apis/ledger.yaml]
    sensitivity: confidential
workloads:
  payments: { attest: { any: [ { unix: { uid: 1001 } } ] } }
",
    ),
    (
        "domains/finance/apis/ledger.yaml",
        "openapi: 3.0.3
paths:
  /entries:
    get: {}
    post: { x-sensitivity: restricted }
  /entries/{id}:
    get: {}
",
    ),
    (
        "domains/finance/policies/ledger.cedar",
        "@id(\"payments-posts-entries\")
@reason(\"Payments books every settled payment.\")
permit (principal == Workload::\"finance/payments\", action == Action::\"POST\", resource == Route::\"finance/ledger POST /entries\")
when { context.risk < 60 };
",
    ),
    (
        "domains/finance/tests/ledger.yaml",
        "- name: payments books an entry
  call: { as: finance/payments, request: POST https://ledger.acme.internal/entries }
  given: { risk: 20 }
  expect: allow
",
    ),
    (
        "domains/hr/domain.yaml",
        "domain: hr
accepts_from: { finance: [people] }
services:
  people:
    hosts: [hr.acme.internal/people]
    upstream: { urls: [http://127.0.0.1:7201] }
    routes:
      \"GET /people/{id}\": {}
  jobs:
    hosts: [hr.acme.internal]
    upstream: { urls: [http://127.0.0.1:7202] }
    unlisted_routes: judge
",
    ),
];

/// The good directory.
pub(super) fn good() -> MemoryFiles {
    MemoryFiles::new(GOOD)
}

/// The good directory with one text replaced in one file.
pub(super) fn spoilt(path: &str, old: &str, new: &str) -> MemoryFiles {
    let mut files = good();
    let content = String::from_utf8(files.remove(path).expect(path)).expect("text");
    assert!(content.contains(old), "{path} does not hold {old:?}");
    files.insert(path, content.replacen(old, new, 1));
    files
}

/// `error yaml.unknown-key domains/hr/domain.yaml:7`, for each problem in order; without a line where it has no place.
pub(super) fn listed(files: &impl Files) -> Vec<String> {
    let loaded = load(files);
    loaded.problems.iter().map(|problem| brief(problem, &loaded)).collect()
}

fn brief(problem: &Problem, loaded: &Loaded) -> String {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let line = match (&problem.span, loaded.sources.get(&problem.path)) {
        (Some(span), Some(text)) => format!(":{}", line_column(text, span.start).0),
        _ => String::new(),
    };
    format!("{severity} {} {}{line}", problem.code, problem.path)
}

/// Code, underlined text, message and hint of every problem.
pub(super) fn told(files: &impl Files) -> Vec<String> {
    let loaded = load(files);
    let tell = |problem: &Problem| {
        let text = loaded.sources.get(&problem.path).map(String::as_str).unwrap_or_default();
        let under = problem.span.clone().and_then(|span| text.get(span)).unwrap_or_default();
        let hint = problem.hint.as_deref().unwrap_or("-");
        format!("{} [{under}] {} | {hint}", problem.code, problem.message)
    };
    loaded.problems.iter().map(tell).collect()
}
