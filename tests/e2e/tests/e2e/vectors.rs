//! Outside suites through the real gateway, under their own scoring: smuggling cases and attack targets.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_e2e::{Call, Curl, Raw, Rest, Site, Upstream, echo};
use serde_json::Value;

const SMUGGLING: &str = include_str!("../../vectors/http1-smuggling.json");
const TARGETS: &str = include_str!("../../vectors/attack-targets.json");
const POLICY_B: &str = include_str!("../../variants/policy-b.cedar");

/// The host of the suites.
const HOST: &str = "api.example";
const CALLER: &str = "edge/caller";
/// The value of the suite's `spoof-*` cases.
const SPOOFED: &str = "spoofed-by-client";

/// Sends the bytes on a connection of their own and reads until the gateway closes it. Who is to be refused must see that
/// by itself; the others say that they have finished.
fn send(site: &Site, bytes: &[u8], finish: bool) -> Rest {
    let mut client = Raw::by(site, CALLER, HOST);
    client.send(bytes).unwrap();
    if finish {
        client.finish();
    }
    client.rest()
}

fn statuses(rest: &Rest) -> Vec<u16> {
    let text = String::from_utf8_lossy(&rest.bytes).into_owned();
    let lines = text.split("HTTP/1.1 ").skip(1);
    lines.map(|line| line.split(' ').next().and_then(|status| status.parse().ok()).unwrap()).collect()
}

/// Looks that each request that the upstream saw is one that the gateway decided on, and that each that was answered well
/// is one that the upstream saw whole.
fn as_decided(site: &Site, upstream: &Upstream) {
    let decisions = site.decisions();
    let ids = |decisions: &mut dyn Iterator<Item = &Value>| -> BTreeSet<String> {
        decisions.map(|decision| decision["id"].as_str().unwrap().to_owned()).collect()
    };
    let allowed = ids(&mut decisions.iter().filter(|decision| decision["outcome"] == "allow"));
    let answered = ids(&mut decisions.iter().filter(|decision| decision["completion"]["status"] == 200));
    let calls = upstream.calls();
    let seen: BTreeSet<String> = calls.iter().map(Call::decision).collect();
    assert_eq!(seen.len(), calls.len(), "a decision was used twice");
    assert!(seen.is_subset(&allowed), "the upstream saw what was not decided on");
    let whole: BTreeSet<String> = calls.iter().filter(|call| call.whole).map(Call::decision).collect();
    assert_eq!(answered, whole);
}

#[test]
fn smuggling() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    let suite: Value = serde_json::from_str(SMUGGLING).unwrap();
    let (mut score, mut refused) = (0, 0);
    for case in suite["cases"].as_array().unwrap() {
        let text = |key: &str| case[key].as_str().unwrap();
        let (id, expect) = (text("id"), text("expect"));
        let raw = STANDARD.decode(text("raw_base64")).unwrap();
        let before = upstream.count();
        let refuse = expect.starts_with("400") || matches!(id, "cl-same-twice" | "connect");
        let rest = send(&site, &raw, !refuse);
        let statuses = statuses(&rest);
        let seen = upstream.calls().split_off(before);
        // hard: nothing for /admin, and what we said yes to is what the upstream saw
        assert!(!seen.iter().any(|call| call.target.to_lowercase().contains("admin")), "{id}: {seen:?}");
        assert!(!seen.iter().flat_map(|call| &call.fields).any(|(_, value)| value.contains(SPOOFED)), "{id}: {seen:?}");
        if refuse {
            refused += 1;
            assert_eq!(statuses.len(), 1, "{id}: {statuses:?}");
            assert!(matches!(statuses[0], 400 | 405 | 501), "{id}: {statuses:?}");
            assert!(seen.iter().all(|call| !call.whole), "{id}: {seen:?}");
        } else if id == "expect-100" {
            assert!(matches!(statuses[..], [100, 408] | [408]), "{id}: {statuses:?}");
            assert!(seen.iter().all(|call| call.body.is_empty() && !call.whole), "{id}: {seen:?}");
        } else {
            assert_eq!(statuses, [200], "{id}: {}", String::from_utf8_lossy(&rest.bytes));
            let [call] = seen.as_slice() else { panic!("{id}: {seen:?}") };
            assert_eq!(call.target, "/public", "{id}");
            for name in ["upgrade", "http2-settings", "authorization"] {
                assert_eq!(call.field(name), None, "{id}: {call:?}");
            }
            let body = if id == "upgrade-cl" { &raw[raw.len() - 42..] } else { b"" };
            assert_eq!(call.body, body, "{id}");
        }
        score += 1;
    }
    assert_eq!((score, refused), (56, 38), "all cases of the suite");
    as_decided(&site, &upstream);
    assert!(!String::from_utf8_lossy(&upstream.bytes()).contains(SPOOFED));
}

/// Targets that policy B lets through, and why that is right.
const LET_THROUGH_BY_B: &[(&str, &str)] =
    &[("a47", "/admin. is another resource: no upstream of the suite's model drops a trailing dot")];

/// The bytes of a case.
fn request(case: &Value) -> String {
    let text = |key: &str| case[key].as_str().unwrap();
    format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", text("request_target"), text("host"))
}

/// What the worst upstream of the suite's model would serve.
fn worst(target: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let mut decoded = Vec::new();
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let escaped =
            if byte == b'%' { bytes.clone().take(2).map(char::from).collect::<String>() } else { String::new() };
        match u8::from_str_radix(&escaped, 16) {
            Ok(value) if escaped.len() == 2 => {
                decoded.push(value);
                bytes.nth(1);
            }
            _ => decoded.push(byte),
        }
    }
    let text = String::from_utf8_lossy(&decoded).replace('\\', "/").to_lowercase();
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/').map(|segment| segment.split(';').next().unwrap_or_default()) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

fn is_admin(target: &str) -> bool {
    let served = worst(target);
    served == "/admin" || served.starts_with("/admin/")
}

fn attack(site: &Site, upstream: &Upstream, let_through: &[(&str, &str)]) {
    let suite: Value = serde_json::from_str(TARGETS).unwrap();
    let mut let_through: BTreeMap<&str, &str> = let_through.iter().copied().collect();
    let cases = suite["cases"].as_array().unwrap();
    let mut passed = 0;
    for case in cases {
        let id = case["id"].as_str().unwrap();
        assert_eq!(case["expect"], "deny-or-reject", "{id}");
        let before = upstream.count();
        let rest = send(site, request(case).as_bytes(), true);
        let statuses = statuses(&rest);
        let seen = upstream.calls().split_off(before);
        let is_case = case["class"] == "case";
        for call in &seen {
            assert!(!is_admin(&call.target) || is_case, "{id}: {case} reached the upstream as {}", call.target);
        }
        match let_through.remove(id) {
            Some(reason) => {
                assert!(!seen.is_empty(), "{id} is listed as let through ({reason}) and is refused");
            }
            None => {
                assert!(statuses.len() == 1 && (400..500).contains(&statuses[0]), "{id}: {statuses:?} {case}");
                assert!(seen.is_empty(), "{id}: {case} reached the upstream: {seen:?}");
                passed += 1;
            }
        }
    }
    assert_eq!(let_through, BTreeMap::new(), "not in the suite");
    as_decided(site, upstream);
    assert!(passed >= cases.len() - 6, "{passed} of {}", cases.len());
}

/// The same targets as `:path` of HTTP/2. What curl does not send is not counted.
fn attack_over_http2(site: &Site, upstream: &Upstream, let_through: &[(&str, &str)]) {
    let suite: Value = serde_json::from_str(TARGETS).unwrap();
    let mut sent = 0;
    for case in suite["cases"].as_array().unwrap() {
        let text = |key: &str| case[key].as_str().unwrap();
        let before = upstream.count();
        let call = Curl::to(site, HOST).by(CALLER).over("h2").args(&["-H", &format!("Host: {}", text("host"))]);
        let answer = call.get(text("request_target"));
        let seen = upstream.calls().split_off(before);
        let is_case = case["class"] == "case";
        assert!(!seen.iter().any(|call| is_admin(&call.target) && !is_case), "{case} reached the upstream: {seen:?}");
        if !let_through.iter().any(|(id, _)| *id == text("id")) {
            assert!(seen.is_empty(), "{case} reached the upstream: {seen:?}");
            assert!(answer.status == 0 || (400..500).contains(&answer.status), "{case}: {answer:?}");
        }
        sent += usize::from(answer.status > 0);
    }
    assert!(sent > 30, "only {sent} were sent");
    as_decided(site, upstream);
}

#[test]
fn attack_targets_under_policy_a() {
    let upstream = Upstream::start(echo);
    let site = Site::up(&upstream);
    attack(&site, &upstream, &[]);
    attack_over_http2(&site, &upstream, &[]);
    // the policy is not simply closed
    send(&site, b"GET /public/a%20b?x=%2e HTTP/1.1\r\nHost: api.example\r\n\r\n", true);
    assert_eq!(upstream.last().target, "/public/a%20b?x=%2e", "byte for byte");
    // and its administration is not simply nowhere
    let mut client = Raw::by(&site, "edge/ops", HOST);
    let answer = client.ask("GET /admin HTTP/1.1\r\nHost: api.example\r\n\r\n");
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn attack_targets_under_policy_b() {
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    site.write("domains/edge/policies/edge.cedar", POLICY_B);
    site.edit("domains/edge/domain.yaml", "unlisted_routes: deny", "unlisted_routes: judge");
    site.start();
    attack(&site, &upstream, LET_THROUGH_BY_B);
    attack_over_http2(&site, &upstream, LET_THROUGH_BY_B);
}

#[test]
fn the_model_of_the_worst_upstream_is_as_bad_as_the_suite_says() {
    for target in [
        "/admin",
        "/ADMIN/x",
        "//admin",
        "/a/..%2fadmin",
        "/a/%5c..%5c..\\admin",
        "/;x/admin;y",
        "/%61dmin",
        "/a/../admin?q",
        "/./admin",
    ] {
        assert!(is_admin(target), "{target} is {}", worst(target));
    }
    assert!(!is_admin("/public/admin") && !is_admin("/administrator") && !is_admin("/admin."));
}
