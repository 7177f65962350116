//! Requests that are well formed and refused: by identity, host, route, consent or policy, over both protocols.

use countersign_e2e::{Curl, Identity, Refused, Site, Upstream, echo};

use crate::{API, CALLER, PROTOCOLS};

/// A call and why it is refused.
struct Case<'a> {
    by: &'a str,
    host: &'a str,
    method: &'a str,
    target: &'a str,
    arguments: &'a [&'a str],
    status: u16,
    reason: &'a str,
}

const PLAIN: Case<'_> =
    Case { by: CALLER, host: API, method: "GET", target: "/items", arguments: &[], status: 403, reason: "" };

const CASES: &[Case<'_>] = &[
    Case { target: "/unpermitted", reason: "policy.no-permit", ..PLAIN },
    Case { target: "/frozen", reason: "policy.forbidden", ..PLAIN },
    Case { by: "alpha/other", reason: "policy.no-permit", ..PLAIN },
    Case { by: "beta/guest", method: "POST", arguments: &["-d", "x"], reason: "policy.no-permit", ..PLAIN },
    Case { by: "beta/stranger", reason: "consent.consumer", ..PLAIN },
    Case { host: "ledger.e2e.internal", target: "/entries", reason: "consent.provider", ..PLAIN },
    Case { by: "edge/caller", reason: "consent.provider", ..PLAIN },
    Case { target: "/nowhere", status: 404, reason: "route.unlisted", ..PLAIN },
    Case { target: "/", status: 404, reason: "route.unlisted", ..PLAIN },
    Case { target: "/items/1/2", status: 404, reason: "route.unlisted", ..PLAIN },
    Case { target: "/items/", status: 404, reason: "route.unlisted", ..PLAIN },
    Case { target: "/ITEMS", status: 404, reason: "route.unlisted", ..PLAIN },
    Case { method: "DELETE", status: 404, reason: "route.unlisted", ..PLAIN },
    Case { method: "OPTIONS", status: 404, reason: "route.unlisted", ..PLAIN },
    Case { method: "TRACE", status: 405, reason: "parse.method", ..PLAIN },
    Case { method: "PROPFIND", status: 405, reason: "parse.method", ..PLAIN },
    Case { method: "get", status: 405, reason: "parse.method", ..PLAIN },
    Case { arguments: &["-H", "Host: bulk.e2e.internal"], status: 421, reason: "route.server-name-mismatch", ..PLAIN },
    Case {
        arguments: &["-H", "Host: unknown.e2e.internal"],
        status: 421,
        reason: "route.server-name-mismatch",
        ..PLAIN
    },
    Case { arguments: &["-H", "Host: api.e2e.internal:9"], status: 421, reason: "route.unknown-host", ..PLAIN },
    Case { arguments: &["-H", "Host: api.e2e.internal:"], status: 400, reason: "parse.host", ..PLAIN },
    Case { arguments: &["-H", "Host: api.e2e.internal:99999"], status: 400, reason: "parse.host", ..PLAIN },
];

#[test]
fn each_refusal_is_answered_recorded_and_explained_and_nothing_is_forwarded() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let mut count = 0;
    for case in CASES {
        for protocol in PROTOCOLS {
            let call = Curl::to(&site, case.host).by(case.by).over(protocol).args(case.arguments);
            let answer = call.send(case.method, case.target);
            let record = site.refused(&answer, Refused { status: case.status, reason: case.reason, caller: case.by });
            assert_eq!(record["protocol"], protocol, "{record:#}");
            count += 1;
            if case.status == 405 {
                assert_eq!(answer.field("allow"), Some("GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE"));
            }
            if case.status == 403 {
                assert!(
                    !record["determining"].is_null() && record["revision"] == site.status()["revision"],
                    "{record:#}"
                );
                for told in ["alpha", "beta", "frozen", "caller", "consent", "Workload"] {
                    assert!(!answer.problem()["title"].to_string().contains(&format!("{told}/")), "{answer:?}");
                }
            }
        }
    }
    assert_eq!(site.decisions().len(), count);
    assert_eq!(upstream.bytes(), b"");
}

#[test]
fn the_operator_learns_what_the_caller_does_not() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let answer = Curl::to(&site, API).by(CALLER).get("/frozen");
    let record = site.refused(&answer, Refused { status: 403, reason: "policy.forbidden", caller: CALLER });
    assert_eq!(record["determining"], serde_json::json!(["alpha/frozen-is-frozen"]));
    let story = site.explained(&record);
    for told in [
        "alpha/frozen-is-frozen",
        "Nobody reads the frozen item, whoever permits it.",
        "domains/alpha/policies/alpha.cedar",
    ] {
        assert!(story.contains(told), "`{told}` is missing:\n{story}");
        assert!(!answer.text().contains(told), "{answer:?}");
    }
    let answer = Curl::to(&site, API).by("beta/stranger").get("/items");
    let record = site.refused(&answer, Refused { status: 403, reason: "consent.consumer", caller: "beta/stranger" });
    let story = site.explained(&record);
    assert!(story.contains("domains/beta/domain.yaml"), "{story}");
}

#[test]
fn a_valid_certificate_of_somebody_who_may_not_call_is_refused() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let alpha = site.authority("alpha");
    let sign = |path: &str| -> Identity { alpha.svid(site.root(), &format!("spiffe://alpha.e2e.internal/{path}")) };
    for (path, reason, caller) in [
        ("ghost", "identity.unknown-workload", "alpha/ghost"),
        ("caller/more", "identity.unknown-workload", "spiffe://alpha.e2e.internal/caller/more"),
        ("_gateway/e2e", "identity.not-a-caller", "spiffe://alpha.e2e.internal/_gateway/e2e"),
        ("_gateway/another", "identity.not-a-caller", "spiffe://alpha.e2e.internal/_gateway/another"),
    ] {
        let identity = sign(path);
        for protocol in PROTOCOLS {
            let answer = Curl::to(&site, API).with(&identity).over(protocol).get("/items");
            site.refused(&answer, Refused { status: 403, reason, caller });
        }
    }
    assert_eq!(upstream.bytes(), b"");
}

#[test]
fn a_host_may_name_the_port_of_the_listener_or_of_https() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let port = site.gateway().port();
    for host in [format!("{API}:443"), format!("{API}:{port}"), "API.e2e.internal".to_owned(), format!("{API}.")] {
        for protocol in PROTOCOLS {
            let answer =
                Curl::to(&site, API).by(CALLER).over(protocol).args(&["-H", &format!("Host: {host}")]).get("/items");
            assert_eq!(answer.status, 200, "{host}: {answer:?}");
            assert_eq!(upstream.last().field("host"), Some(API), "{host}");
        }
    }
}
