//! A table of bad directories and everything that must be found in each, in order.

use super::directory::{good, listed, spoilt};
use crate::*;

const ORG: &str = "countersign.yaml";
const FIN: &str = "domains/finance/domain.yaml";
const API: &str = "domains/finance/apis/ledger.yaml";
const CEDAR: &str = "domains/finance/policies/ledger.cedar";
const CASES: &str = "domains/finance/tests/ledger.yaml";
const HR: &str = "domains/hr/domain.yaml";

/// The good directory with files put in place of others, or beside them.
fn with(changes: &[(&str, &str)]) -> MemoryFiles {
    let mut files = good();
    changes.iter().for_each(|(path, content)| files.insert(*path, *content));
    files
}

fn without(path: &str) -> MemoryFiles {
    let mut files = good();
    files.remove(path).expect(path);
    files
}

/// A bad directory and what must be found in it.
type Case = (&'static str, MemoryFiles, &'static [&'static str]);

fn check(cases: Vec<Case>) {
    let mut failed = Vec::new();
    for (name, files, want) in cases {
        let got = listed(&files);
        if got != want {
            failed.push(format!("{name}:\n  want {want:#?}\n  got {got:#?}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn files_that_do_not_belong() {
    let large = "#".repeat(4 * 1024 * 1024 + 1);
    check(vec![
        ("nothing at all", MemoryFiles::default(), &["error organisation.missing countersign.yaml"]),
        ("no organisation", without(ORG), &["error organisation.missing countersign.yaml"]),
        ("no domain.yaml", without(HR), &["error name.unknown-domain domains/finance/domain.yaml:2"]),
        ("no domain", MemoryFiles::new([GOOD_ORG]), &["warning organisation.no-domains countersign.yaml"]),
        ("no description", without(API), &["error api.missing domains/finance/domain.yaml:7"]),
        (
            "strangers",
            with(&[
                ("LICENSE", ""),
                ("countersign.yml", ""),
                ("domains/stray.yaml", ""),
                ("domains/Hr/domain.yaml", ""),
                ("domains/hr/domain.yml", ""),
                ("domains/hr/policies/deep/x.cedar", ""),
                ("domains/hr/tests/x.json", ""),
                ("policies/x.txt", ""),
                ("../outside", ""),
                ("/etc/passwd", ""),
            ]),
            &[
                "error file.unexpected ../outside",
                "error file.unexpected /etc/passwd",
                "error file.unexpected LICENSE",
                "error file.unexpected countersign.yml",
                "error file.unexpected domains/Hr/domain.yaml",
                "error file.unexpected domains/hr/domain.yml",
                "error file.unexpected domains/hr/policies/deep/x.cedar",
                "error file.unexpected domains/hr/tests/x.json",
                "error file.unexpected domains/stray.yaml",
                "error file.unexpected policies/x.txt",
            ],
        ),
        ("too large", with(&[(HR, &large)]), &["error file.too-large domains/hr/domain.yaml"]),
        (
            "an unused description",
            with(&[("domains/hr/apis/old.json", "{}")]),
            &["warning api.unused domains/hr/apis/old.json"],
        ),
        (
            "reserved names",
            with(&[("domains/org/domain.yaml", "domain: org\n"), ("domains/system/domain.yaml", "domain: system\n")]),
            &["error domain.reserved domains/org/domain.yaml:1", "error domain.reserved domains/system/domain.yaml:1"],
        ),
    ]);
}

const GOOD_ORG: (&str, &str) = (ORG, "organisation: acme.internal\n");

#[test]
fn settings_of_the_organisation() {
    check(vec![
        (
            "everything wrong",
            with(&[(
                ORG,
                "organisation: Acme\ntimezone: Mars/Base\nrisk_unknown: 101\ndefaults: { requires: { identity: optional }, svid: { ttl: 1 } }\nfloor: { svid: { tll: 1h }, modes: enforce }\nowners: []\n",
            )]),
            &[
                "error value.bad countersign.yaml:1",
                "error value.bad countersign.yaml:2",
                "error value.bad countersign.yaml:3",
                "error value.unknown countersign.yaml:4",
                "error value.bad countersign.yaml:4",
                "error yaml.unknown-key countersign.yaml:5",
                "error yaml.unknown-key countersign.yaml:5",
                "error value.empty countersign.yaml:6",
            ],
        ),
        (
            "weaker than the floor",
            with(&[(ORG, "organisation: acme.internal\ndefaults: { svid: { ttl: 48h } }\n")]),
            &["error settings.below-floor countersign.yaml:2"],
        ),
        (
            "odd names",
            with(&[(ORG, "organisation: acme..internal\nrisk_unknown: 050\n")]),
            &["error value.bad countersign.yaml:1", "error value.bad countersign.yaml:2"],
        ),
        ("a list", with(&[(ORG, "- organisation: acme.internal\n")]), &["error yaml.type countersign.yaml:1"]),
        (
            "weaker than the defaults",
            spoilt(FIN, "domain: finance\n", "domain: finance\nsvid: { ttl: 2h }\n"),
            &["warning settings.weaker domains/finance/domain.yaml:2"],
        ),
        (
            "exactly the floor",
            spoilt(FIN, "domain: finance\n", "domain: finance\nsvid: { ttl: 24h }\n"),
            &["warning settings.weaker domains/finance/domain.yaml:2"],
        ),
        (
            "a domain below the floor",
            spoilt(FIN, "domain: finance\n", "domain: finance\nsvid: { ttl: 2d }\n"),
            &["error settings.below-floor domains/finance/domain.yaml:2"],
        ),
        (
            "too short",
            spoilt(FIN, "domain: finance\n", "domain: finance\nsvid: { ttl: 59s }\n"),
            &["error value.bad domains/finance/domain.yaml:2"],
        ),
    ]);
}

#[test]
fn domains_and_consent() {
    check(vec![
        (
            "another folder",
            spoilt(HR, "domain: hr", "domain: human-resources"),
            &["error domain.folder domains/hr/domain.yaml:1"],
        ),
        (
            "unknown names",
            spoilt(HR, "{ finance: [people] }", "{ finanse: [people], finance: [peple] }"),
            &[
                "error name.unknown-domain domains/hr/domain.yaml:2",
                "error name.unknown-service domains/hr/domain.yaml:2",
            ],
        ),
        (
            "unknown called service",
            spoilt(FIN, "[hr/people]", "[hr/peeple, legal/cases, people]"),
            &[
                "error name.unknown-service domains/finance/domain.yaml:2",
                "error name.unknown-domain domains/finance/domain.yaml:2",
                "error value.bad domains/finance/domain.yaml:2",
            ],
        ),
        (
            "unknown calling workload",
            spoilt(FIN, "payments: [hr", "payment: [hr"),
            &["error name.unknown-workload domains/finance/domain.yaml:2"],
        ),
        (
            "one side says nothing",
            spoilt(HR, "accepts_from: { finance: [people] }\n", ""),
            &["warning consent.one-sided domains/finance/domain.yaml:2"],
        ),
        (
            "the other side says nothing",
            spoilt(FIN, "calls: { payments: [hr/people] }\n", ""),
            &["warning consent.one-sided domains/hr/domain.yaml:2"],
        ),
        (
            "a slip in a key does not make its names unknown",
            spoilt(HR, "services:", "service:"),
            &["error yaml.unknown-key domains/hr/domain.yaml:3"],
        ),
        (
            "nor the descriptions that it names unused",
            spoilt(FIN, "services:", "service:"),
            &["error yaml.unknown-key domains/finance/domain.yaml:3"],
        ),
        (
            "the own domain",
            spoilt(FIN, "{ payments: [hr/people] }", "{ payments: [hr/people, finance/ledger] }"),
            &["warning consent.own-domain domains/finance/domain.yaml:2"],
        ),
        (
            "a caller without attestation",
            spoilt(FIN, "{ payments: [hr/people] }", "{ payments: [hr/people], ledger: [hr/people] }"),
            &["warning workload.no-attest domains/finance/domain.yaml:2"],
        ),
        (
            "empty and repeated",
            spoilt(HR, "{ finance: [people] }", "{ finance: [people, people], legal: [] }"),
            &[
                "error value.duplicate domains/hr/domain.yaml:2",
                "error name.unknown-domain domains/hr/domain.yaml:2",
                "error value.empty domains/hr/domain.yaml:2",
            ],
        ),
        (
            "a domain that cannot be read is not held against others",
            with(&[(HR, "domain: hr\n\tservices: {}\n")]),
            &["error yaml.syntax domains/hr/domain.yaml:1"],
        ),
    ]);
}

#[test]
fn services_and_hosts() {
    check(vec![
        (
            "service keys",
            spoilt(FIN, "    hosts: [ledger.acme.internal]\n", "    host: [ledger.acme.internal]\n    owners: []\n"),
            &[
                "error yaml.unknown-key domains/finance/domain.yaml:5",
                "error yaml.unknown-key domains/finance/domain.yaml:6",
            ],
        ),
        (
            "hosts that are none",
            spoilt(
                FIN,
                "[ledger.acme.internal]",
                "[https://ledger.acme.internal/, ledger.acme.internal:8443, 10.0.0.1, '*.acme.internal', -a.internal, a_b.internal, ok.internal/a/, 'ok.internal/{a}', ok.internal//a]",
            ),
            &[
                "error value.bad domains/finance/domain.yaml:5",
                "error value.bad domains/finance/domain.yaml:5",
                "error value.bad domains/finance/domain.yaml:5",
                "error value.bad domains/finance/domain.yaml:5",
                "error value.bad domains/finance/domain.yaml:5",
                "error value.bad domains/finance/domain.yaml:5",
                "error value.bad domains/finance/domain.yaml:5",
                "error value.bad domains/finance/domain.yaml:5",
                "error value.bad domains/finance/domain.yaml:5",
            ],
        ),
        (
            "claimed twice",
            spoilt(HR, "[hr.acme.internal]", "[hr.acme.internal, hr.acme.internal/people, HR.acme.internal]"),
            &["error host.claimed-twice domains/hr/domain.yaml:10", "error value.duplicate domains/hr/domain.yaml:10"],
        ),
        (
            "claimed by two domains",
            spoilt(HR, "[hr.acme.internal]", "[hr.acme.internal, ledger.acme.internal/jobs]"),
            &["error host.two-domains domains/hr/domain.yaml:10"],
        ),
        (
            "claimed by two domains as a whole",
            spoilt(HR, "[hr.acme.internal]", "[ledger.acme.internal]"),
            &["error host.two-domains domains/hr/domain.yaml:10"],
        ),
        (
            "upstreams",
            spoilt(
                FIN,
                "{ urls: [http://127.0.0.1:7101] }",
                "{ urls: [https://127.0.0.1:7101, http://10.0.0.1:80, http://ledger.internal, http://127.0.0.1:7101/, http://127.0.0.1:0, http://a@localhost, http://127.1, 'http://[::1]:7101', http://localhost:1] }",
            ),
            &[
                "error value.bad domains/finance/domain.yaml:6",
                "error upstream.plaintext domains/finance/domain.yaml:6",
                "error upstream.plaintext domains/finance/domain.yaml:6",
                "error value.bad domains/finance/domain.yaml:6",
                "error value.bad domains/finance/domain.yaml:6",
                "error value.bad domains/finance/domain.yaml:6",
                "error value.bad domains/finance/domain.yaml:6",
            ],
        ),
        (
            "accepted plain text",
            spoilt(FIN, "7101] }", "7101, http://10.0.0.1], insecure_plaintext: true }"),
            &["warning settings.insecure domains/finance/domain.yaml:6"],
        ),
        (
            "needless",
            spoilt(FIN, "7101] }", "7101], insecure_plaintext: true }"),
            &["warning settings.insecure domains/finance/domain.yaml:6"],
        ),
        (
            "no upstream",
            spoilt(FIN, "{ urls: [http://127.0.0.1:7101] }", "{ urls: [] }"),
            &["error value.empty domains/finance/domain.yaml:6"],
        ),
        (
            "service values",
            spoilt(
                FIN,
                "sensitivity: confidential",
                "sensitivity: secret\n    unlisted_routes: allow\n    limits: { body: 1MB, first_byte: 15, idle: 0s, total: never, per_caller: 1/s }\n    requires: { token: never }",
            ),
            &[
                "error value.unknown domains/finance/domain.yaml:8",
                "error value.unknown domains/finance/domain.yaml:9",
                "error value.bad domains/finance/domain.yaml:10",
                "error value.bad domains/finance/domain.yaml:10",
                "error value.bad domains/finance/domain.yaml:10",
                "error value.bad domains/finance/domain.yaml:10",
                "error yaml.unknown-key domains/finance/domain.yaml:10",
                "error yaml.unknown-key domains/finance/domain.yaml:11",
            ],
        ),
        (
            "no routes",
            spoilt(HR, "    unlisted_routes: judge\n", ""),
            &["warning service.no-routes domains/hr/domain.yaml:9"],
        ),
    ]);
}

#[test]
fn routes_and_descriptions() {
    let routes = |text| spoilt(HR, "\"GET /people/{id}\": {}", text);
    check(vec![
        (
            "route names",
            routes(
                "\"get /people\": {}\n      /people/a: {}\n      \"GET people\": {}\n      \"GET /people/{a}/{a}\": {}\n      \"CONNECT /people\": {}",
            ),
            &[
                "error route.method domains/hr/domain.yaml:8",
                "error route.name domains/hr/domain.yaml:9",
                "error route.template domains/hr/domain.yaml:10",
                "error route.template domains/hr/domain.yaml:11",
                "error route.method domains/hr/domain.yaml:12",
            ],
        ),
        (
            "route values",
            routes(
                "\"GET /people/{id}\": { effect: raed, sensitivity: 2, insecure_opn: true }\n      \"PUT /people/{id}\":",
            ),
            &[
                "error value.unknown domains/hr/domain.yaml:8",
                "error yaml.type domains/hr/domain.yaml:8",
                "error yaml.unknown-key domains/hr/domain.yaml:8",
                "error yaml.type domains/hr/domain.yaml:9",
            ],
        ),
        (
            "parameters named differently",
            routes("\"GET /people/{id}\": {}\n      \"GET /people/{name}\": {}"),
            &["error route.ambiguous domains/hr/domain.yaml:9"],
        ),
        (
            "crossed",
            routes("\"GET /people/{id}/x\": {}\n      \"GET /people/y/{b}\": {}"),
            &["error route.ambiguous domains/hr/domain.yaml:9"],
        ),
        ("under no host", routes("\"GET /persons\": {}"), &["warning route.unreachable domains/hr/domain.yaml:8"]),
        (
            "shadowed",
            spoilt(HR, "unlisted_routes: judge", "routes: { \"GET /people/7\": {}, \"GET /{any}\": {} }"),
            &["warning route.shadowed domains/hr/domain.yaml:12"],
        ),
        (
            "described differently",
            spoilt(FIN, "sensitivity: confidential", "routes: { \"GET /entries/{entry}\": { effect: read } }"),
            &["error route.ambiguous domains/finance/domain.yaml:8"],
        ),
        (
            "not there",
            spoilt(FIN, "[apis/ledger.yaml]", "[apis/leger.yaml, ../hr/domain.yaml, domain.yaml]"),
            &[
                "error api.missing domains/finance/domain.yaml:7",
                "error api.missing domains/finance/domain.yaml:7",
                "error api.missing domains/finance/domain.yaml:7",
            ],
        ),
        (
            "described twice",
            {
                let mut files = spoilt(FIN, "[apis/ledger.yaml]", "[apis/ledger.yaml, apis/more.json]");
                files.insert(
                    "domains/finance/apis/more.json",
                    "{ \"openapi\": \"3.1.0\",\n  \"paths\": { \"/entries\": { \"get\": {} } } }",
                );
                files
            },
            &["error route.listed-twice domains/finance/apis/more.json:2"],
        ),
        (
            "swagger",
            with(&[(API, "swagger: '2.0'\npaths: {}\n")]),
            &["error openapi.version domains/finance/apis/ledger.yaml:1"],
        ),
        (
            "not a description",
            with(&[(API, "hello: world\n")]),
            &["error openapi.version domains/finance/apis/ledger.yaml:1"],
        ),
        (
            "another version",
            with(&[(API, "openapi: 4.0.0\npaths: {}\n")]),
            &["error openapi.version domains/finance/apis/ledger.yaml:1"],
        ),
        (
            "no paths",
            with(&[(API, "openapi: 3.1.0\n")]),
            &["error openapi.no-paths domains/finance/apis/ledger.yaml:1"],
        ),
        (
            "broken JSON",
            with(&[(API, "{ \"openapi\": \"3.1.0\", \"paths\": { \"/a\": { \"get\": {} }\n")]),
            &["error yaml.syntax domains/finance/apis/ledger.yaml:1"],
        ),
        (
            "paths",
            with(&[(
                API,
                "openapi: 3.1\npaths:\n  /a/{id}.json: { get: {} }\n  b: { get: {} }\n  /c: { gte: {}, GET: {}, trace: {}, $ref: './x.yaml', x-ours: {}, parameters: [] }\n  /d: { get: [], put: { x-sensitivity: secret } }\n  x-more: 1\n",
            )]),
            &[
                "error route.template domains/finance/apis/ledger.yaml:3",
                "error route.template domains/finance/apis/ledger.yaml:4",
                "error yaml.unknown-key domains/finance/apis/ledger.yaml:5",
                "error yaml.unknown-key domains/finance/apis/ledger.yaml:5",
                "warning openapi.trace domains/finance/apis/ledger.yaml:5",
                "error openapi.ref domains/finance/apis/ledger.yaml:5",
                "error yaml.type domains/finance/apis/ledger.yaml:6",
                "error value.unknown domains/finance/apis/ledger.yaml:6",
            ],
        ),
    ]);
}

#[test]
fn workloads() {
    let attest = |text| spoilt(FIN, "{ attest: { any: [ { unix: { uid: 1001 } } ] } }", text);
    check(vec![
        ("no attestation", attest("{}"), &["error yaml.missing-key domains/finance/domain.yaml:10"]),
        ("no rule", attest("{ attest: { any: [] } }"), &["error attest.empty domains/finance/domain.yaml:10"]),
        (
            "an empty rule",
            attest("{ attest: { any: [ { unix: {} }, {}, { cgroup: {} } ] } }"),
            &[
                "error attest.empty domains/finance/domain.yaml:10",
                "error attest.empty domains/finance/domain.yaml:10",
                "error attest.empty domains/finance/domain.yaml:10",
            ],
        ),
        (
            "rule values",
            attest("{ attest: { any: [ { unix: { uid: root, gid: 4294967295, path: bin/x, sha256: abc } } ] } }"),
            &[
                "error yaml.type domains/finance/domain.yaml:10",
                "error value.bad domains/finance/domain.yaml:10",
                "error value.bad domains/finance/domain.yaml:10",
                "error value.bad domains/finance/domain.yaml:10",
            ],
        ),
        (
            "other attestors",
            attest("{ attest: { any: [ { oidc: { issuer: ci } } ], all: [] }, runs_on: [vm] }"),
            &[
                "error yaml.unknown-key domains/finance/domain.yaml:10",
                "error yaml.unknown-key domains/finance/domain.yaml:10",
                "error name.unknown-group domains/finance/domain.yaml:10",
            ],
        ),
        (
            "the same rule twice",
            attest(
                "{ attest: { any: [ { unix: { uid: 1 } }, { unix: { uid: 1 } } ] } }\n  other: { attest: { any: [ { unix: { uid: 1 } } ] } }",
            ),
            &[
                "error value.duplicate domains/finance/domain.yaml:10",
                "warning attest.same-rule domains/finance/domain.yaml:11",
            ],
        ),
        (
            "workload names",
            attest(
                "{ attest: { any: [ { unix: { uid: 1 } } ] } }\n  _gateway: { attest: { any: [ { unix: { uid: 2 } } ] } }\n  Payments: { attest: {} }",
            ),
            &[
                "error value.name domains/finance/domain.yaml:11",
                "error value.name domains/finance/domain.yaml:12",
                "error yaml.missing-key domains/finance/domain.yaml:12",
            ],
        ),
    ]);
}

#[test]
fn policies_are_checked_too() {
    check(vec![
        (
            "unknown literal",
            spoilt(CEDAR, "finance/payments\"", "finance/payment\""),
            &["error cedar.unknown-literal domains/finance/policies/ledger.cedar:3"],
        ),
        (
            "no reason, and a slip in a domain",
            {
                let mut files = spoilt(CEDAR, "@reason(\"Payments books every settled payment.\")\n", "");
                files.insert(HR, "domain: hr\nservice: {}\n");
                files
            },
            &[
                "error cedar.reason domains/finance/policies/ledger.cedar:1",
                "error yaml.unknown-key domains/hr/domain.yaml:2",
            ],
        ),
        (
            "a contradiction of hosts hides no policy problem",
            {
                let mut files = spoilt(CEDAR, "finance/payments\"", "finance/payment\"");
                files.insert(ORG, "organisation: acme.internal\ndefaults: { svid: { ttl: 48h } }\n");
                files
            },
            &[
                "error settings.below-floor countersign.yaml:2",
                "error cedar.unknown-literal domains/finance/policies/ledger.cedar:3",
            ],
        ),
        (
            "syntax",
            with(&[(CEDAR, "permit (principal, action resource);\n")]),
            &["error cedar.syntax domains/finance/policies/ledger.cedar:1"],
        ),
    ]);
}

#[test]
fn tests_name_what_is_there() {
    let case = |text: &str| with(&[(CASES, text)]);
    check(vec![
        ("not a list", case("name: x\n"), &["error yaml.type domains/finance/tests/ledger.yaml:1"]),
        ("empty", case("[]\n"), &["error value.empty domains/finance/tests/ledger.yaml:1"]),
        (
            "case keys",
            case("- nam: x\n  call: { as: finance/payments }\n  given: { risc: 1 }\n  expect: maybe\n"),
            &[
                "error yaml.unknown-key domains/finance/tests/ledger.yaml:1",
                "error yaml.missing-key domains/finance/tests/ledger.yaml:2",
                "error yaml.unknown-key domains/finance/tests/ledger.yaml:3",
                "error value.unknown domains/finance/tests/ledger.yaml:4",
            ],
        ),
        (
            "case values",
            case(
                "- name: 7\n  call: { as: payments, request: GET http://ledger.acme.internal/ }\n  given: { risk: 101, at: tomorrow }\n  expect: allow\n  by: nothing\n",
            ),
            &[
                "error yaml.type domains/finance/tests/ledger.yaml:1",
                "error value.bad domains/finance/tests/ledger.yaml:2",
                "error value.bad domains/finance/tests/ledger.yaml:2",
                "error value.bad domains/finance/tests/ledger.yaml:3",
                "error value.bad domains/finance/tests/ledger.yaml:3",
                "error value.bad domains/finance/tests/ledger.yaml:5",
            ],
        ),
        (
            "requests",
            case(
                "- { name: a, call: { as: nobody, request: get https://ledger.acme.internal/entries }, expect: deny }\n- { name: b, call: { as: nobody, request: https://ledger.acme.internal/entries }, expect: deny }\n- { name: c, call: { as: nobody, request: GET https://ledger.acme.internal//entries }, expect: deny }\n",
            ),
            &[
                "error value.bad domains/finance/tests/ledger.yaml:1",
                "error value.bad domains/finance/tests/ledger.yaml:2",
                "error value.bad domains/finance/tests/ledger.yaml:3",
            ],
        ),
        (
            "unknown things",
            case(
                "- { name: a, call: { as: finance/payment, request: GET https://leger.acme.internal/entries }, expect: deny, by: finance/payments-post-entries }\n",
            ),
            &[
                "error name.unknown-workload domains/finance/tests/ledger.yaml:1",
                "error name.unknown-host domains/finance/tests/ledger.yaml:1",
                "error name.unknown-policy domains/finance/tests/ledger.yaml:1",
            ],
        ),
        (
            "no such route",
            case(
                "- { name: a, call: { as: nobody, request: GET https://ledger.acme.internal/entires }, expect: deny }\n- { name: b, call: { as: nobody, request: GET https://ledger.acme.internal/entires }, expect: deny, by: route.unlisted }\n",
            ),
            &["warning test.unlisted domains/finance/tests/ledger.yaml:1"],
        ),
        (
            "names twice",
            case(
                "- { name: a, call: { as: nobody, request: GET https://hr.acme.internal/x }, expect: deny }\n- { name: a, call: { as: nobody, request: GET https://hr.acme.internal/x }, expect: allow, by: policy.no-permit }\n",
            ),
            &[
                "error value.duplicate domains/finance/tests/ledger.yaml:2",
                "error test.by domains/finance/tests/ledger.yaml:2",
            ],
        ),
    ]);
}
