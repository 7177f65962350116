//! What typical mistakes are told: `code [what is underlined] message | hint`.

use super::directory::{spoilt, told};

const ORG: &str = "countersign.yaml";
const FIN: &str = "domains/finance/domain.yaml";
const CASES: &str = "domains/finance/tests/ledger.yaml";
const HR: &str = "domains/hr/domain.yaml";

/// A file of the good directory, a text in it, what a slip makes of it, and everything that is said about that.
type Slip = (&'static str, &'static str, &'static str, &'static [&'static str]);

fn check(slips: &[Slip]) {
    let mut failed = Vec::new();
    for (path, old, new, want) in slips {
        let got = told(&spoilt(path, old, new));
        if got != *want {
            failed.push(format!("{new:?}:\n{got:#?}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn slips_of_spelling() {
    check(&[
        (FIN, "hosts:", "host:", &["yaml.unknown-key [host] unknown key `host` | did you mean `hosts`?"]),
        (
            HR,
            "unlisted_routes",
            "unlisted-routes",
            &["yaml.unknown-key [unlisted-routes] unknown key `unlisted-routes` | did you mean `unlisted_routes`?"],
        ),
        (
            HR,
            "domain: hr\n",
            "domain: hr\ntokens_from: [corp]\n",
            &[
                "yaml.unknown-key [tokens_from] unknown key `tokens_from` | a domain takes `domain`, `accepts_from`, `calls`, `requires`, `svid`, `mode`, `modes`, `when_stale`, `signals_stale`, `owners`, `services` and `workloads`",
            ],
        ),
        (
            FIN,
            "confidential",
            "confidental",
            &["value.unknown [confidental] unknown value `confidental` | did you mean `confidential`?"],
        ),
        (
            HR,
            "\"GET /people",
            "\"Get /people",
            &["route.method [\"Get /people/{id}\"] `Get` is not a method | did you mean `GET`?"],
        ),
        (
            HR,
            "\"GET /people/{id}\"",
            "\"GET /people/{id\"",
            &[
                "route.template [\"GET /people/{id\"] `/people/{id` is not a path template | a parameter is a whole segment such as `{id}`, named with letters, digits, dash or underscore",
            ],
        ),
        (
            FIN,
            "[hr/people]",
            "[hr/peolpe]",
            &["name.unknown-service [hr/peolpe] there is no service `hr/peolpe` | did you mean `hr/people`?"],
        ),
        (
            FIN,
            "[hr/people]",
            "[rh/people]",
            &["name.unknown-domain [rh/people] there is no domain `rh` | did you mean `hr`?"],
        ),
        (
            HR,
            "finance: [people]",
            "finance: [persons]",
            &[
                "name.unknown-service [persons] this domain has no service `persons` | the services are `people` and `jobs`",
            ],
        ),
        (
            FIN,
            "apis/ledger.yaml",
            "apis/ledger.yml",
            &[
                "api.missing [apis/ledger.yml] there is no API description `domains/finance/apis/ledger.yml` | did you mean `apis/ledger.yaml`?",
            ],
        ),
        (
            CASES,
            "finance/payments",
            "finance/payment",
            &[
                "name.unknown-workload [finance/payment] there is no workload `finance/payment` | did you mean `finance/payments`?",
            ],
        ),
        (
            CASES,
            "https://ledger.",
            "https://leger.",
            &[
                "name.unknown-host [POST https://leger.acme.internal/entries] no service claims the host `leger.acme.internal` | did you mean `ledger.acme.internal`?",
            ],
        ),
        (
            CASES,
            "expect: allow",
            "expect: allow\n  by: finance/payments-post-entries",
            &[
                "name.unknown-policy [finance/payments-post-entries] there is no policy `finance/payments-post-entries` | did you mean `finance/payments-posts-entries`?",
            ],
        ),
        (
            CASES,
            "expect: allow",
            "expect: deny\n  by: policy.nopermit",
            &["value.bad [policy.nopermit] `policy.nopermit` decides nothing | did you mean `policy.no-permit`?"],
        ),
    ]);
}

#[test]
fn slips_of_yaml() {
    check(&[
        (HR, "domain: hr\n", "domain: hr\n\tcalls: {}\n", &["yaml.syntax [h] a tab cannot indent | use spaces"]),
        (HR, "services:\n", "services\n", &["yaml.syntax [s] a key without its `:` | write `key: value`"]),
        (HR, "7202] }", "7202]", &["yaml.syntax [u] a `,` or `}` is expected here | the `{` before it is not closed"]),
        (
            HR,
            "    upstream: { urls: [http://127.0.0.1:7202] }",
            "    upstream:\n    urls: [http://127.0.0.1:7202]",
            &[
                "yaml.type [upstream] expected the keys of an upstream, found nothing | write its keys below it, indented, or `{}` if there are none",
                "yaml.unknown-key [urls] unknown key `urls` | a service takes `hosts`, `upstream`, `api`, `sensitivity`, `unlisted_routes`, `requires`, `routes` and `limits`",
            ],
        ),
        (
            HR,
            "  jobs:",
            "  people:",
            &["yaml.duplicate-key [people] the key `people` stands twice | it stands first in line 4"],
        ),
        (
            HR,
            "hosts: [hr.acme.internal]",
            "hosts: hr.acme.internal",
            &[
                "yaml.type [hr.acme.internal] expected a list of hosts, found the text `hr.acme.internal` | write `[hr.acme.internal]`",
            ],
        ),
        (
            FIN,
            "upstream: { urls: [http://127.0.0.1:7101] }",
            "upstream: { urls: [http://127.0.0.1:7101], insecure_plaintext: yes }",
            &["yaml.type [yes] expected `true` or `false`, found the text `yes` | write `true`"],
        ),
        (
            CASES,
            "name: payments books an entry",
            "name: 2026",
            &["yaml.type [2026] expected a text, found the number `2026` | put it in quotes: `\"2026\"`"],
        ),
    ]);
}

#[test]
fn slips_of_values() {
    check(&[
        (
            ORG,
            "acme.internal",
            "acme.internal\nrisk_unknown: 0x32",
            &["value.bad [0x32] `0x32` is not a whole number from 0 to 100 | use plain decimal digits"],
        ),
        (
            ORG,
            "acme.internal",
            "acme.internal\ntimezone: CET+1",
            &[
                "value.bad [CET+1] `CET+1` is not a time zone | a name of the IANA database such as `Europe/Berlin` or `UTC`",
            ],
        ),
        (
            ORG,
            "acme.internal",
            "acme.internal\nfloor: { svid: { ttl: 12h } }\ndefaults: { svid: { ttl: 24h } }",
            &[
                "settings.below-floor [24h] `svid.ttl` of 24h is weaker than the floor of 12h | at most 12h; the floor stands in countersign.yaml, or is 24h where it says nothing",
            ],
        ),
        (
            HR,
            "domain: hr\n",
            "domain: hr\nsvid: { ttl: 90 }\n",
            &[
                "value.bad [90] `90` is not a duration | a duration is a whole number with `ms`, `s`, `m`, `h` or `d`, such as `15m`",
            ],
        ),
        (
            HR,
            "domain: hr\n",
            "domain: hr\nsvid: { ttl: 8h }\n",
            &[
                "settings.weaker [8h] `svid.ttl` of 8h is weaker than the organisation's 1h | a stolen credential is good for as long",
            ],
        ),
        (
            HR,
            "unlisted_routes: judge",
            "unlisted_routes: judge\n    limits: { body: 10MB, total: never }",
            &[
                "value.bad [10MB] `10MB` is not a size | a size is a whole number with `B`, `KiB`, `MiB`, `GiB` or `TiB`, such as `1MiB`",
                "value.bad [never] `never` is not a duration | a duration is a whole number with `ms`, `s`, `m`, `h` or `d`, such as `15m`; or it is `none`",
            ],
        ),
        (
            FIN,
            "[ledger.acme.internal]",
            "[https://ledger.acme.internal/]",
            &[
                "value.bad [https://ledger.acme.internal/] `https://ledger.acme.internal/` is not a host | write it without the scheme: `ledger.acme.internal`",
            ],
        ),
        (
            FIN,
            "[ledger.acme.internal]",
            "['ledger.acme.internal:8443']",
            &[
                "value.bad ['ledger.acme.internal:8443'] `ledger.acme.internal:8443` is not a host | write it without a port: `ledger.acme.internal`",
            ],
        ),
        (
            FIN,
            "http://127.0.0.1:7101",
            "https://ledger.acme.internal",
            &[
                "value.bad [https://ledger.acme.internal] `https://ledger.acme.internal` is not the URL of an upstream | an upstream is `http://host:port`",
            ],
        ),
        (
            FIN,
            "http://127.0.0.1:7101",
            "http://10.0.0.7:7101",
            &[
                "upstream.plaintext [http://10.0.0.7:7101] `http://10.0.0.7:7101` is plain text beyond this machine | use a loopback address, or accept it with `insecure_plaintext: true` beside `urls`",
            ],
        ),
        (
            FIN,
            "http://127.0.0.1:7101",
            "http://127.0.0.1:7101/api",
            &[
                "value.bad [http://127.0.0.1:7101/api] `http://127.0.0.1:7101/api` is not the URL of an upstream | an upstream has no path: requests keep their own",
            ],
        ),
        (
            FIN,
            "{ unix: { uid: 1001 } }",
            "{ unix: {} }",
            &[
                "attest.empty [unix] a unix rule names at least one of path, uid, gid, groups and sha256 | without one of them every local process would be this workload",
            ],
        ),
        (
            FIN,
            "uid: 1001",
            "path: opt/payments",
            &[
                "value.bad [opt/payments] `opt/payments` is not the path of an executable | an absolute path such as `/opt/payments/bin`, or `$DATA/…` below the agent's data directory; without `.`, `..`, `//` or a slash at the end",
            ],
        ),
        (
            CASES,
            "https://",
            "http://",
            &[
                "value.bad [POST http://ledger.acme.internal/entries] `POST http://ledger.acme.internal/entries` is not a request | the URL starts with `https://`",
            ],
        ),
        (
            CASES,
            "risk: 20",
            "risk: 20, at: 2026-03-02 09:00",
            &[
                "value.bad [2026-03-02 09:00] `2026-03-02 09:00` is not a moment | a date, a time and an offset from UTC, from 1970 on, such as `2026-03-02T09:00:00Z`",
            ],
        ),
        (
            CASES,
            "internal/entries",
            "internal//entries",
            &[
                "value.bad [POST https://ledger.acme.internal//entries] `POST https://ledger.acme.internal//entries` is not a request | the path holds an empty segment: `//` means different things to different servers (PA-2)",
            ],
        ),
    ]);
}

#[test]
fn contradictions() {
    check(&[
        (
            HR,
            "hosts: [hr.acme.internal]",
            "hosts: [hr.acme.internal/people]",
            &[
                "host.claimed-twice [hr.acme.internal/people] the host `hr.acme.internal/people` is claimed twice | `hr/people` claims it too, in domains/hr/domain.yaml:5; give one of them a prefix: `hr.acme.internal/people/PATH`",
            ],
        ),
        (
            HR,
            "hosts: [hr.acme.internal]",
            "hosts: [ledger.acme.internal]",
            &[
                "host.two-domains [ledger.acme.internal] the host `ledger.acme.internal` is claimed by two domains, `finance` and `hr` | `finance/ledger` claims it in domains/finance/domain.yaml:5; a host has one certificate, so one domain",
            ],
        ),
        (
            HR,
            "domain: hr",
            "domain: human-resources",
            &[
                "domain.folder [human-resources] the domain `human-resources` lies in the folder `hr` | write `domain: hr`, or rename the folder",
            ],
        ),
        (
            HR,
            "\"GET /people/{id}\": {}",
            "\"GET /people/{id}\": {}\n      \"GET /people/{name}\": {}",
            &[
                "route.ambiguous [\"GET /people/{name}\"] `GET /people/{name}` and `GET /people/{id}` match the same paths | they differ only in the names of parameters; the other stands in domains/hr/domain.yaml:8: name it alike",
            ],
        ),
        (
            HR,
            "\"GET /people/{id}\": {}",
            "\"GET /people/{id}/x\": {}\n      \"GET /people/y/{b}\": {}",
            &[
                "route.ambiguous [\"GET /people/y/{b}\"] `GET /people/y/{b}` and `GET /people/{id}/x` match the same paths | neither is nearer where both match; the other stands in domains/hr/domain.yaml:8",
            ],
        ),
        (
            HR,
            "\"GET /people/{id}\": {}",
            "\"GET /{id}\": {}\n      \"GET /persons\": {}",
            &[
                "route.unreachable [\"GET /persons\"] `GET /persons` lies under no host of its service | a prefix of `hosts` is never stripped: write the route with it",
            ],
        ),
        (
            HR,
            "unlisted_routes: judge",
            "routes: { \"GET /people/7\": {} }",
            &[
                "route.shadowed [\"GET /people/7\"] `GET /people/7` never comes here: `hr/people` takes its paths | it claims `hr.acme.internal/people` in domains/hr/domain.yaml:5; the longest prefix wins",
            ],
        ),
        (
            HR,
            "    unlisted_routes: judge\n",
            "",
            &[
                "service.no-routes [jobs] the service `jobs` has no route: every call is refused | list some in `routes`, or name an OpenAPI description in `api`",
            ],
        ),
        (
            HR,
            "accepts_from: { finance: [people] }\n",
            "",
            &[
                "consent.one-sided [hr/people] `hr` does not accept calls of `finance/payments` to `hr/people`: they are refused | `accepts_from: { finance: [people] }` in domains/hr/domain.yaml would accept them",
            ],
        ),
        (
            FIN,
            "calls: { payments: [hr/people] }\n",
            "",
            &[
                "consent.one-sided [people] no workload of `finance` calls `hr/people` | add it to `calls` in domains/finance/domain.yaml, or leave it out here",
            ],
        ),
        (
            FIN,
            "payments: [hr/people]",
            "payments: [hr/people], ledger: [hr/people]",
            &[
                "workload.no-attest [ledger] nothing attests `ledger`: it will never hold a credential to call with | add `ledger: { attest: … }` to `workloads`",
            ],
        ),
        (
            FIN,
            "payments: [hr/people]",
            "payments: [hr/people, finance/ledger]",
            &[
                "consent.own-domain [finance/ledger] consent inside the own domain is implied | leave it out: inside a domain policies alone decide",
            ],
        ),
        (CASES, "entries }\n", "entires }\n", &[]),
        (
            CASES,
            "entries }\n  given: { risk: 20 }\n  expect: allow",
            "entires }\n  expect: deny",
            &[
                "test.unlisted [POST https://ledger.acme.internal/entires] `finance/ledger` lists no such route | correct the request, or say that this is meant: `by: route.unlisted`",
            ],
        ),
    ]);
}
