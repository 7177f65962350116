//! Observe, shadow, enforce: what each relaxes, what none of them ever does, and that the list of would-denies is what
//! enforcement then refuses.

mod replay;

use std::path::{Path, PathBuf};

use countersign_e2e::{
    Answer, Authority, Browser, Curl, Drip, Identity, Raw, Refused, Site, Upstream, closed_port, echo, edit, now,
    wait_for, wait_until,
};
use serde_json::{Value, json};

use crate::{API, CALLER, PROTOCOLS};

const ALPHA: &str = "domains/alpha/domain.yaml";
const BETA: &str = "domains/beta/domain.yaml";
/// A guest of another domain that one side only consents to.
const BULK: &str = "bulk.e2e.internal";
/// Who is not identified may read one item where that is relaxed; and one forbid, beside the one that is there.
const MORE: &str = "\n@id(\"anybody-reads-items\")\n@reason(\"Reading items is harmless.\")\n\
    permit (principal is Unidentified, action, resource == Route::\"alpha/api GET /items/{id}\");\n\n\
    @id(\"nobody-deletes\")\n@reason(\"Nothing is deleted.\")\n\
    forbid (principal, action == Action::\"DELETE\", resource);\n\n\
    @id(\"guests-use-bulk\")\n@reason(\"What consent lets through.\")\n\
    permit (principal in Domain::\"beta\", action, resource in Service::\"alpha/bulk\");\n";

/// The site with what the modes need to be seen.
fn prepared(upstream: &Upstream) -> Site {
    let site = Site::prepare(upstream);
    let path = site.dir().join("domains/alpha/policies/alpha.cedar");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, text + MORE).unwrap();
    site.edit(BETA, "calls: { guest: [alpha/api] }", "calls: { guest: [alpha/api, alpha/bulk] }");
    site
}

/// The trust directory with these lines at the head of the domains.
fn with_modes(site: &Site, name: &str, alpha: &str, beta: &str) -> PathBuf {
    let dir = site.copy_as(name);
    edit(&dir, ALPHA, "domain: alpha\n", &format!("domain: alpha\n{alpha}"));
    edit(&dir, BETA, "domain: beta\n", &format!("domain: beta\n{beta}"));
    dir
}

/// A check: how `modes` names it and in which domain, the call that it refuses, and the reason.
struct Check {
    name: &'static str,
    domain: &'static str,
    caller: &'static str,
    host: &'static str,
    method: &'static str,
    target: &'static str,
    reason: &'static str,
    status: u16,
    policy: &'static str,
}

const CHECKS: [Check; 6] = [
    Check {
        name: "consent",
        domain: "alpha",
        caller: "beta/guest",
        host: BULK,
        method: "GET",
        target: "/files/a",
        reason: "consent.provider",
        status: 403,
        policy: "consent",
    },
    Check {
        name: "consent",
        domain: "beta",
        caller: "beta/stranger",
        host: API,
        method: "GET",
        target: "/items",
        reason: "consent.consumer",
        status: 403,
        policy: "consent",
    },
    Check {
        name: "routes.unlisted",
        domain: "alpha",
        caller: CALLER,
        host: API,
        method: "GET",
        target: "/nowhere",
        reason: "route.unlisted",
        status: 404,
        policy: "",
    },
    Check {
        name: "permit",
        domain: "alpha",
        caller: CALLER,
        host: API,
        method: "GET",
        target: "/unpermitted",
        reason: "policy.no-permit",
        status: 403,
        policy: "",
    },
    Check {
        name: "policy.frozen-is-frozen",
        domain: "alpha",
        caller: CALLER,
        host: API,
        method: "GET",
        target: "/frozen",
        reason: "policy.forbidden",
        status: 403,
        policy: "alpha/frozen-is-frozen",
    },
    Check {
        name: "policy.nobody-deletes",
        domain: "alpha",
        caller: CALLER,
        host: API,
        method: "DELETE",
        target: "/items/1",
        reason: "policy.forbidden",
        status: 403,
        policy: "alpha/nobody-deletes",
    },
];

impl Check {
    fn call(&self, site: &Site, protocol: &str) -> Answer {
        Curl::to(site, self.host).by(self.caller).over(protocol).send(self.method, self.target)
    }

    fn relaxed(&self, mode: &str) -> [String; 2] {
        let line = format!("modes: {{ {}: {mode} }}\n", self.name);
        if self.domain == "alpha" { [line, String::new()] } else { [String::new(), line] }
    }
}

/// Looks that a call was let through, and that its record says what would have refused it.
fn tolerated(site: &Site, answer: &Answer, caller: &str, mode: &str, check: &str, reason: &str) -> Value {
    assert_eq!((answer.status, answer.broken.as_str()), (200, ""), "{check} in {mode}: {answer:?}");
    let record = site.record(&answer.decision());
    assert_eq!(
        (&record["outcome"], &record["reason"], &record["caller"]),
        (&"allow".into(), &"".into(), &caller.into()),
        "{record:#}"
    );
    let noted = record["noted"].as_array().cloned().unwrap_or_default();
    let found = noted
        .iter()
        .find(|noted| noted["check"] == check)
        .unwrap_or_else(|| panic!("{check} is not noted: {record:#}"));
    assert_eq!((&found["mode"], &found["reason"]), (&mode.into(), &reason.into()), "{record:#}");
    let is_listed = |filter: &str| {
        let listed = site.json(&["decisions", "--since", "1d", "--outcome", filter, "--json"]);
        listed.iter().any(|one| one["id"] == record["id"])
    };
    assert_eq!((is_listed("would-deny"), is_listed("allow")), (mode == "shadow", mode == "observe"), "{record:#}");
    assert!(!is_listed("deny"), "{record:#}");
    site.explained(&record);
    record
}

#[test]
fn each_check_refuses_in_enforce_lets_pass_in_shadow_and_observe_and_says_so() {
    let upstream = Upstream::start(echo);
    let mut site = prepared(&upstream);
    site.start();
    let plain = site.copy_as("plain");
    for (number, check) in CHECKS.iter().enumerate() {
        let what = format!("{} of {}", check.name, check.domain);
        site.publish(&plain, "enforce");
        for mode in ["enforce", "shadow", "observe"] {
            let [alpha, beta] = check.relaxed(mode);
            let dir = with_modes(&site, &format!("{mode}-{number}"), &alpha, &beta);
            site.publish(&dir, &format!("{what} in {mode}"));
            for protocol in PROTOCOLS {
                let answer = check.call(&site, protocol);
                if mode == "enforce" {
                    let want = Refused { status: check.status, reason: check.reason, caller: check.caller };
                    let record = site.refused(&answer, want);
                    assert_eq!(record["noted"], json!([]), "{what}: {record:#}");
                } else {
                    let record = tolerated(&site, &answer, check.caller, mode, check.name, check.reason);
                    let noted = record["noted"].as_array().unwrap();
                    assert_eq!(noted.len(), 1, "{what}: nothing else was against it: {record:#}");
                    assert!(noted[0]["policy"].as_str().unwrap().contains(check.policy), "{what}: {record:#}");
                }
            }
            // every other check refuses as before
            for other in CHECKS.iter().filter(|other| (other.name, other.domain) != (check.name, check.domain)) {
                let want = Refused { status: other.status, reason: other.reason, caller: other.caller };
                site.refused(&other.call(&site, "h2"), want);
            }
        }
    }
}

#[test]
fn identity_in_enforce_shadow_and_observe() {
    let upstream = Upstream::start(echo);
    let mut site = prepared(&upstream);
    site.start();
    let nobody = |protocol: &str, target: &str| Curl::to(&site, API).over(protocol).get(target);
    assert_eq!(nobody("h2", "/items/1").status, 0);
    site.refused_at_tls("identity.missing");
    for mode in ["shadow", "observe"] {
        let dir = with_modes(&site, mode, &format!("modes: {{ requires.identity: {mode} }}\n"), "");
        site.publish(&dir, mode);
        for protocol in PROTOCOLS {
            let record =
                tolerated(&site, &nobody(protocol, "/items/1"), "", mode, "requires.identity", "requires.identity");
            assert!(record["identity"]["unidentified"].is_object(), "{record:#}");
            let seen = upstream.last();
            assert!(seen.fields.iter().all(|(name, _)| !name.to_lowercase().contains("cert")), "{seen:?}");
            // what is enforced beside it is enforced, and what is noted stands beside it
            let refused = nobody(protocol, "/unpermitted");
            let record = site.refused(&refused, Refused { status: 403, reason: "policy.no-permit", caller: "" });
            assert_eq!(record["noted"][0]["check"], "requires.identity", "{record:#}");
            // a certificate is still looked at, and an identity that is there still counts
            let answer = Curl::to(&site, API).by(CALLER).over(protocol).get("/items/1");
            assert_eq!(site.ended_well(&answer, CALLER)["noted"], json!([]));
        }
        // another domain of the same listener asks as before
        assert_eq!(Curl::to(&site, "people.e2e.internal").get("/people").status, 0);
        site.refused_at_tls("identity.missing");
    }
    site.publish(&site.dir(), "enforce again");
    assert_eq!(nobody("h2", "/items/1").status, 0);
    site.refused_at_tls("identity.missing");
}

#[test]
fn an_enforced_check_is_never_weakened_by_a_shadowed_one() {
    let upstream = Upstream::start(echo);
    let mut site = prepared(&upstream);
    // one call, two refusals: no consent, and no permit for the route
    site.edit(ALPHA, "\"GET /frozen\": {}", "\"GET /frozen\": {}\n      \"GET /both\": {}");
    site.edit(
        "domains/alpha/policies/alpha.cedar",
        "resource == Route::\"alpha/api GET /unpermitted\"",
        "resource == Route::\"alpha/api GET /unpermitted\" || resource == Route::\"alpha/api GET /both\"",
    );
    let forbids = "\n@id(\"first-no\")\n@reason(\"One.\")\nforbid (principal, action, resource == Route::\"alpha/api GET /both\");\n\
        @id(\"second-no\")\n@reason(\"Two.\")\nforbid (principal, action, resource == Route::\"alpha/api GET /both\");\n";
    let path = site.dir().join("domains/alpha/policies/alpha.cedar");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, text + forbids).unwrap();
    site.start();
    // every subset of three checks that all refuse the same call
    let checks = ["permit", "policy.first-no", "policy.second-no"];
    for relaxed in 0..8_usize {
        let is_relaxed = |at: usize| relaxed & (1 << at) != 0;
        let mode = |at: usize| format!("{}: {}", checks[at], if is_relaxed(at) { "shadow" } else { "enforce" });
        let modes = format!("modes: {{ {} }}\n", (0..3).map(mode).collect::<Vec<_>>().join(", "));
        let dir = with_modes(&site, &format!("subset-{relaxed}"), &modes, "");
        site.publish(&dir, &modes);
        let answer = Curl::to(&site, API).by(CALLER).get("/both");
        let record = if relaxed == 7 {
            tolerated(&site, &answer, CALLER, "shadow", "permit", "policy.no-permit")
        } else {
            let forbidden = !is_relaxed(1) || !is_relaxed(2);
            let reason = if forbidden { "policy.forbidden" } else { "policy.no-permit" };
            site.refused(&answer, Refused { status: 403, reason, caller: CALLER })
        };
        let noted: Vec<&str> =
            record["noted"].as_array().unwrap().iter().map(|noted| noted["check"].as_str().unwrap()).collect();
        for (at, check) in checks.iter().enumerate().filter(|(at, _)| *at > 0 || relaxed == 7) {
            assert_eq!(noted.contains(check), is_relaxed(at), "{modes}: {check}: {record:#}");
        }
        for (at, policy) in [(1, "alpha/first-no"), (2, "alpha/second-no")] {
            let is_named = record["determining"].as_array().unwrap().iter().any(|named| *named == policy);
            assert!(!(is_named && is_relaxed(at)), "{modes}: {policy} determines and does not enforce: {record:#}");
        }
    }
}

/// A mixture of relaxations: its name, and what stands at the head of each domain.
fn mixtures() -> Vec<(String, String)> {
    let mut found = vec![
        ("all observe".to_owned(), "mode: observe\n".to_owned()),
        ("all shadow".to_owned(), "mode: shadow\n".to_owned()),
        ("all observe, one enforced".to_owned(), "mode: observe\nmodes: { permit: enforce }\n".to_owned()),
    ];
    for check in ["requires.identity", "consent", "routes.unlisted", "permit"] {
        found.push((format!("{check} in observe"), format!("modes: {{ {check}: observe }}\n")));
    }
    let four = "modes: { requires.identity: shadow, consent: observe, routes.unlisted: shadow, permit: observe }\n";
    found.push(("a bit of everything".to_owned(), four.to_owned()));
    found
}

/// What no mode ever lets pass: what is tried, and how it ends.
fn never(site: &Site, revoked: &Identity) -> Vec<(&'static str, Answer, u16, &'static str)> {
    let raw = |request: String| {
        let mut client = Raw::by(site, CALLER, API);
        client.ask(request)
    };
    let head = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\nHost: {API}\r\n{fields}\r\n");
    let alpha = site.authority("alpha");
    let id = "spiffe://alpha.e2e.internal/caller";
    let svid = |id: &str| alpha.svid(site.root(), id);
    let expired = alpha.sign(site.root(), id, |params| params.not_after = now() - std::time::Duration::from_secs(5));
    let foreign = Authority::pretending("alpha.e2e.internal").svid(site.root(), id);
    let get = |identity: &Identity| Curl::to(site, API).with(identity).get("/items/1");
    vec![
        (
            "two lengths",
            raw(head("PUT /items/1", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n")),
            400,
            "parse.framing",
        ),
        ("an unknown coding", raw(head("PUT /items/1", "Transfer-Encoding: gzip\r\n")), 400, "parse.framing"),
        ("an empty segment", raw(head("GET /items//1", "")), 400, "parse.empty-segment"),
        ("a dot segment", raw(head("GET /items/../admin", "")), 400, "parse.dot-segment"),
        ("an encoded slash", raw(head("GET /items/%2fx", "")), 400, "parse.encoded-slash"),
        ("TRACE", raw(head("TRACE /items", "")), 405, "parse.method"),
        (
            "another host than the server name",
            raw("GET /items HTTP/1.1\r\nHost: people.e2e.internal\r\n\r\n".to_owned()),
            421,
            "route.server-name-mismatch",
        ),
        ("an unknown host", raw("GET /items HTTP/1.1\r\nHost: unknown.e2e.internal\r\n\r\n".to_owned()), 421, "route."),
        ("no host", raw("GET /items HTTP/1.1\r\n\r\n".to_owned()), 400, "parse.host"),
        (
            "an unknown server name",
            Curl::to(site, "unknown.e2e.internal").by(CALLER).get("/items"),
            0,
            "accept.server-name",
        ),
        ("a revoked caller", get(revoked), 403, "signals.revoked"),
        ("an expired certificate", get(&expired), 0, "identity.expired"),
        ("a foreign authority", get(&foreign), 0, "identity.untrusted"),
        ("another domain's authority", get(&site.authority("beta").svid(site.root(), id)), 0, "identity.untrusted"),
        ("its own signature", get(&Authority::self_signed(site.root(), id)), 0, "identity.untrusted"),
        ("nobody's workload", get(&svid("spiffe://alpha.e2e.internal/unregistered")), 403, "identity.unknown-workload"),
        ("a gateway's identity", get(&svid("spiffe://alpha.e2e.internal/_gateway/e2e")), 403, "identity.not-a-caller"),
    ]
}

#[test]
fn what_is_never_relaxable_stays_refused_under_every_mixture() {
    let upstream = Upstream::start(echo);
    let mut site = prepared(&upstream);
    site.start();
    let revoked = site.authority("alpha").svid(site.root(), "spiffe://alpha.e2e.internal/other");
    site.json(&["revoke", "alpha/other", "--reason", "for the table", "--json"]);
    for (number, (name, head)) in mixtures().into_iter().enumerate() {
        let dir = with_modes(&site, &format!("mixture-{number}"), &head, &head);
        site.publish(&dir, &name);
        let forwarded = upstream.count();
        for (what, answer, status, reason) in never(&site, &revoked) {
            assert_eq!(answer.status, status, "{what} under {name}: {answer:?}");
            if status == 0 {
                let told = wait_for(&format!("{what} under {name} to be recorded"), || {
                    let mut decisions = site.decisions();
                    decisions.retain(|one| one["revision"] == site.revision().as_str() || one["revision"].is_null());
                    decisions.into_iter().rev().find(|one| one["reason"] == reason)
                });
                assert_eq!(told["outcome"], "deny", "{what} under {name}: {told:#}");
            } else {
                assert!(answer.reason().starts_with(reason), "{what} under {name}: {answer:?}");
                let record = site.record(&answer.decision());
                assert_eq!(record["outcome"], "deny", "{what} under {name}: {record:#}");
            }
        }
        assert_eq!(upstream.count(), forwarded, "{name}: something was forwarded");
        // and the mixture is what it says
        assert_eq!(Curl::to(&site, API).by(CALLER).get("/items/1").status, 200, "{name}");
    }
}

#[test]
fn nothing_is_forwarded_without_its_record_even_where_everything_is_observed() {
    let upstream = Upstream::start(echo);
    let mut site = Site::prepare(&upstream);
    site.edit("node.yaml", "max_size: 1GiB", "max_size: 64MiB");
    for domain in ["alpha", "beta", "edge"] {
        site.edit(
            &format!("domains/{domain}/domain.yaml"),
            &format!("domain: {domain}\n"),
            &format!("domain: {domain}\nmode: observe\n"),
        );
    }
    site.start();
    let mut client = Raw::by(&site, CALLER, API);
    let answered = crate::faults::fill(&site, &mut client);
    for _ in 0..20 {
        let refused = client.ask(format!("GET /items/1 HTTP/1.1\r\nHost: {API}\r\n\r\n"));
        assert_eq!((refused.status, refused.reason().as_str()), (503, "record.full"), "{refused:?}");
    }
    assert_eq!(upstream.count(), answered);
}

/// Callers of a share: each of them with an SVID of its own.
fn crowd(site: &Site, size: usize) -> Vec<(String, Identity)> {
    let alpha = site.authority("alpha");
    let member = |number| {
        let name = format!("w{number:02}");
        let id = format!("spiffe://alpha.e2e.internal/{name}");
        (format!("alpha/{name}"), alpha.svid(site.root(), &id))
    };
    (0..size).map(member).collect()
}

#[test]
fn a_share_of_callers_is_enforced_and_sticks_to_them() {
    const SIZE: usize = 60;
    let upstream = Upstream::start(echo);
    let mut site = prepared(&upstream);
    let members: Vec<String> = (0..SIZE)
        .map(|number| {
            format!("  w{number:02}: {{ attest: {{ any: [{{ unix: {{ path: $DATA/bin/w{number:02} }} }}] }} }}\n")
        })
        .collect();
    site.edit(ALPHA, "workloads:\n", &format!("workloads:\n{}", members.concat()));
    site.edit(
        "domains/alpha/policies/alpha.cedar",
        "principal == Workload::\"alpha/caller\",",
        "principal in Domain::\"alpha\",",
    );
    site.start();
    let crowd = crowd(&site, SIZE);
    let refused = |site: &Site| -> Vec<bool> {
        let ask = |(name, identity): &(String, Identity)| {
            let mut client = Raw::open(site, Some(identity), API).unwrap();
            let answers = [(); 3].map(|()| client.ask(format!("GET /frozen HTTP/1.1\r\nHost: {API}\r\n\r\n")).status);
            assert!(
                answers.iter().all(|status| *status == answers[0]),
                "{name} is not told the same twice: {answers:?}"
            );
            answers[0] == 403
        };
        crowd.iter().map(ask).collect()
    };
    let share = |percent: u32| {
        let line = format!("modes: {{ policy.frozen-is-frozen: {{ mode: shadow, enforce_for: {percent}% }} }}\n");
        let dir = with_modes(&site, &format!("share-{percent}"), &line, "");
        site.publish(&dir, &line);
        refused(&site)
    };
    let (few, half, most) = (share(10), share(50), share(90));
    let count = |refused: &[bool]| refused.iter().filter(|refused| **refused).count();
    assert!(
        count(&few) < SIZE / 3 && (SIZE / 4..=3 * SIZE / 4).contains(&count(&half)) && count(&most) > 2 * SIZE / 3,
        "{} {} {}",
        count(&few),
        count(&half),
        count(&most)
    );
    for at in 0..SIZE {
        assert!(!few[at] || half[at], "{} was refused at 10 % and is not at 50 %", crowd[at].0);
        assert!(!half[at] || most[at], "{} was refused at 50 % and is not at 90 %", crowd[at].0);
    }
    // who is not of the share is a would-deny
    let spared = most.iter().position(|refused| !refused).or_else(|| half.iter().position(|refused| !refused)).unwrap();
    let again = share_of_half(&site);
    assert_eq!(again, refused(&site));
    assert_eq!(again, half, "the same callers as before");
    let answer = Curl::to(&site, API).with(&crowd[spared].1).get("/frozen");
    tolerated(&site, &answer, &crowd[spared].0, "shadow", "policy.frozen-is-frozen", "policy.forbidden");
    site.kill();
    site.start();
    assert_eq!(refused_by(&site, &crowd), half, "the same callers after a restart");
}

/// Half of the callers again, on fresh connections.
fn share_of_half(site: &Site) -> Vec<bool> {
    site.publish(&site.root().join("share-50"), "half again");
    refused_by(site, &crowd(site, 60))
}

fn refused_by(site: &Site, crowd: &[(String, Identity)]) -> Vec<bool> {
    crowd.iter().map(|(_, identity)| Curl::to(site, API).with(identity).get("/frozen").status == 403).collect()
}

#[test]
fn an_open_route_asks_for_nothing_and_stays_within_its_route() {
    let upstream = Upstream::start(echo);
    let mut site = prepared(&upstream);
    site.edit(ALPHA, "\"GET /items\": {}", "\"GET /items\": {}\n      \"GET /healthz\": { insecure_open: true }\n      \"DELETE /healthz\": { insecure_open: true }");
    site.start();
    let relaxed = site.run(["check", &site.dir().display().to_string()]);
    assert!(relaxed.stdout.contains("/healthz"), "`check` lists what is open: {relaxed:#?}");
    site.json(&["revoke", "alpha/other", "--reason", "not even there", "--json"]);
    let alpha = site.authority("alpha");
    let id = "spiffe://alpha.e2e.internal/caller";
    for protocol in PROTOCOLS {
        let call = || Curl::to(&site, API).over(protocol);
        let answer = call().get("/healthz");
        assert_eq!(answer.status, 200, "{answer:?}");
        let record = site.ended_well(&answer, "");
        assert_eq!(record["noted"], json!([]), "nothing is against it: {record:#}");
        // a caller of a domain that nobody consented to, too
        site.ended_well(&call().by("beta/stranger").get("/healthz"), "beta/stranger");
        // and nothing else is open
        for (method, target, reason) in [
            ("GET", "/items/1", "requires.identity"),
            ("GET", "/nowhere", "route.unlisted"),
            ("GET", "/healthz/x", "route.unlisted"),
        ] {
            let answer = call().send(method, target);
            assert!(
                [reason, "requires.identity", "identity.missing"].contains(&answer.reason().as_str()),
                "{target}: {answer:?}"
            );
            assert_eq!(site.record(&answer.decision())["outcome"], "deny");
        }
        // other forbids hold
        let answer = call().send("DELETE", "/healthz");
        assert_eq!((answer.status, answer.reason().as_str()), (403, "policy.forbidden"), "{answer:?}");
        // a credential that is there must be good
        let expired =
            alpha.sign(site.root(), id, |params| params.not_after = now() - std::time::Duration::from_secs(5));
        assert_eq!(call().with(&expired).get("/healthz").status, 0);
        let answer = call().with(&alpha.svid(site.root(), "spiffe://alpha.e2e.internal/other")).get("/healthz");
        site.refused(&answer, Refused { status: 403, reason: "signals.revoked", caller: "alpha/other" });
    }
    // the other domains ask as before
    assert_eq!(Curl::to(&site, "people.e2e.internal").get("/people").status, 0);
    site.refused_at_tls("identity.missing");
}

#[test]
fn a_plaintext_listener_serves_only_what_has_identity_relaxed() {
    let upstream = Upstream::start(echo);
    let mut site = prepared(&upstream);
    let port = closed_port();
    site.edit(
        "node.yaml",
        "listeners:\n",
        &format!(
            "listeners:\n  - {{ name: old, kind: gateway, address: 127.0.0.1:{port}, insecure_plaintext: true }}\n"
        ),
    );
    site.edit("node.yaml", "- { name: gateway", "- { name: gateway");
    site.edit(ALPHA, "domain: alpha\n", "domain: alpha\nmodes: { requires.identity: shadow }\n");
    site.start();
    let plain = |host: &str, target: &str| plain(port, host, target);
    let answer = plain(API, "/items/1");
    let record = tolerated(&site, &answer, "", "shadow", "requires.identity", "requires.identity");
    assert_eq!((&record["listener"], &record["source"]), (&"old".into(), &"127.0.0.1".into()), "{record:#}");
    let answer = plain(API, "/unpermitted");
    site.refused(&answer, Refused { status: 403, reason: "policy.no-permit", caller: "" });
    let answer = plain("people.e2e.internal", "/people");
    let record = site.refused(&answer, Refused { status: 403, reason: "identity.plaintext", caller: "" });
    assert_eq!(record["listener"], "old", "{record:#}");
    let answer = plain("unknown.e2e.internal", "/");
    assert_eq!((answer.status, answer.reason().as_str()), (421, "route.unknown-host"), "{answer:?}");
    // a certificate in a header is nothing
    let told = plain_with(
        port,
        API,
        "/unpermitted",
        "X-Forwarded-Client-Cert: URI=spiffe://alpha.e2e.internal/caller\r\nClient-Cert: x\r\n",
    );
    assert_eq!(told.status, 403, "{told:?}");
    let doctor = site.run(["doctor"]);
    assert!(doctor.stdout.contains("plaintext"), "doctor counts who still needs it: {doctor:#?}");
    // once identity is enforced, nobody gets in there any more
    let dir = site.copy_as("enforced");
    edit(&dir, ALPHA, "modes: { requires.identity: shadow }\n", "");
    site.publish(&dir, "enforced");
    let answer = plain(API, "/items/1");
    site.refused(&answer, Refused { status: 403, reason: "identity.plaintext", caller: "" });
    assert!(
        site.process().stdout().contains("plaintext") || site.process().stderr().contains("plaintext"),
        "a start says so"
    );
}

fn plain(port: u16, host: &str, target: &str) -> Answer {
    plain_with(port, host, target, "")
}

/// One request without TLS.
fn plain_with(port: u16, host: &str, target: &str, fields: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}\r\n");
    countersign_e2e::plain(port, &request)
}

/// A stream that is open only because a check is relaxed is judged again when it is not.
#[test]
fn what_was_tolerated_is_cut_when_it_is_enforced() {
    let upstream = Drip::start(std::time::Duration::from_millis(20));
    let mut site = Site::before(upstream.port());
    site.edit(ALPHA, "domain: alpha\n", "domain: alpha\nmodes: { permit: shadow }\n");
    site.start();
    let other = site.authority("alpha").svid(site.root(), "spiffe://alpha.e2e.internal/other");
    let streams = countersign_e2e::Streams::default();
    let open: Vec<_> = PROTOCOLS
        .iter()
        .flat_map(|protocol| {
            let dial = countersign_e2e::Dial::with(&site, &other, BULK, protocol);
            streams.open(&dial, &[format!("/files/{}", protocol.replace('/', "-"))])
        })
        .collect();
    wait_until("both streams", || open.iter().all(|stream| stream.bytes() > 2));
    let dir = site.copy_as("enforced");
    edit(&dir, ALPHA, "modes: { permit: shadow }\n", "");
    let published = site.publish(&dir, "enforced");
    for stream in open {
        wait_until("a stream to be cut", || stream.is_over());
        let record = site.record(&stream.seen().decision);
        let end = &record["completion"];
        assert_eq!(
            (&end["reason"], &end["revision"]),
            (&"policy.no-permit".into(), &published["revision"]),
            "{record:#}"
        );
    }
}

/// What a node relaxes is named where an operator looks.
#[test]
fn what_is_relaxed_is_named_to_whoever_looks() {
    let upstream = Upstream::start(echo);
    let mut site = prepared(&upstream);
    site.edit(ALPHA, "domain: alpha\n", "domain: alpha\nmodes: { consent: shadow, policy.nobody-deletes: observe }\n");
    let checked = site.run(["check", &site.dir().display().to_string()]);
    assert_eq!(checked.code, Some(0), "{checked:#?}");
    for line in ["consent: shadow", "policy.nobody-deletes: observe"] {
        assert!(checked.stdout.contains(line) || checked.stderr.contains(line), "{line}: {checked:#?}");
    }
    site.start();
    let doctor = site.run(["doctor"]);
    assert!(doctor.stdout.contains("consent"), "{doctor:#?}");
    let map = Browser::logged_in(&site).get("/map").text();
    assert!(map.contains("consent: shadow"), "{map}");
    // weaker than the organisation's floor is an error
    edit(&site.dir(), "countersign.yaml", "floor:\n", "floor:\n  mode: shadow\n");
    let refused = site.run(["check", &site.dir().display().to_string()]);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(
        refused.stderr.contains("weaker than the floor") || refused.stdout.contains("weaker than the floor"),
        "{refused:#?}"
    );
}

/// The files of the example organisation.
fn acme() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/acme"))
}
