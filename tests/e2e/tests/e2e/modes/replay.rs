//! The example organisation's calls under shadow, then the same calls under enforcement: what was listed is what is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use countersign_e2e::{Identity, Raw, Site, Upstream, echo, say, wait_for};
use serde_json::Value;

use super::acme;

/// A call of the mix.
#[derive(Clone, Debug)]
struct Call {
    caller: String,
    host: String,
    method: String,
    target: String,
    times: usize,
}

/// (caller, service, method, template)
type Route = (String, String, String, String);

fn domains(site: &Site) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(site.dir().join("domains"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The example, with every service behind one upstream, and one mode for everything.
fn prepared(upstream: &Upstream) -> Site {
    let site = Site::of(acme());
    for name in domains(&site) {
        let path = site.dir().join(format!("domains/{name}/domain.yaml"));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, to_upstream(&without_modes(&text), upstream.port())).unwrap();
        let tests = site.dir().join(format!("domains/{name}/tests"));
        if tests.exists() {
            fs::remove_dir_all(tests).unwrap();
        }
    }
    let node = "name: acme\nlisteners:\n  - { name: gateway, kind: gateway, address: 127.0.0.1:0 }\nadmin: { address: 127.0.0.1:0 }\n";
    site.write("node.yaml", node);
    site
}

fn to_upstream(text: &str, port: u16) -> String {
    let mut rest = text;
    let mut changed = String::new();
    while let Some((before, after)) = rest.split_once("http://127.0.0.1:") {
        changed.push_str(before);
        changed.push_str(&format!("http://127.0.0.1:{port}"));
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    changed + rest
}

/// Without `mode` and `modes` of the domain's own.
fn without_modes(text: &str) -> String {
    let mut kept = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let is_indented = line.starts_with(' ');
        inside =
            (inside && (is_indented || line.is_empty())) || line.starts_with("modes:") || line.starts_with("mode:");
        if !inside {
            kept.push(line);
        }
    }
    kept.join("\n") + "\n"
}

fn in_mode(site: &Site, mode: &str) -> PathBuf {
    let dir = site.copy_as(mode);
    for name in domains(site) {
        let path = dir.join(format!("domains/{name}/domain.yaml"));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen(&format!("domain: {name}\n"), &format!("domain: {name}\nmode: {mode}\n"), 1))
            .unwrap();
    }
    dir
}

/// Every caller with every route that there is, some that there are not, each a few times.
fn mix(site: &Site) -> Vec<Call> {
    let (_, map) = site.ask_admin("GET", "/v1/map", "").unwrap();
    let mut callers = Vec::new();
    let mut routes = Vec::new();
    for domain in map.as_array().unwrap() {
        let name = domain["name"].as_str().unwrap();
        let services = domain["services"].as_array().unwrap();
        let own = services.iter().map(|service| &service["name"]).chain(domain["workloads"].as_array().unwrap());
        callers.extend(own.map(|own| format!("{name}/{}", own.as_str().unwrap())));
        for service in services {
            let host = service["hosts"][0].as_str().unwrap();
            let listed = service["routes"].as_array().unwrap().iter().map(|route| route.as_str().unwrap());
            for route in listed.chain(["GET /not/listed", "POST /neither"]) {
                let (method, template) = route.split_once(' ').unwrap();
                let (host, prefix) =
                    host.split_once('/').map_or((host, String::new()), |(host, prefix)| (host, format!("/{prefix}")));
                routes.push((host.to_owned(), method.to_owned(), prefix + &filled(template)));
            }
        }
    }
    callers.sort();
    callers.dedup();
    let mut calls = Vec::new();
    for (number, caller) in callers.iter().enumerate() {
        for (at, (host, method, target)) in routes.iter().enumerate().filter(|(_, (_, method, _))| method != "*") {
            let times = 1 + (number + at) % 3;
            calls.push(Call {
                caller: caller.clone(),
                host: host.clone(),
                method: method.clone(),
                target: target.clone(),
                times,
            });
        }
    }
    calls
}

/// A path for a template.
fn filled(template: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "p1".to_owned() } else { part.to_owned() };
    template.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// Makes every call of the mix, and gives the decisions in the order of the calls.
fn play(site: &Site, calls: &[Call]) -> Vec<String> {
    let mut identities: BTreeMap<&str, Identity> = BTreeMap::new();
    let mut open: BTreeMap<(&str, &str), Raw> = BTreeMap::new();
    let mut ids = Vec::new();
    for call in calls {
        let (domain, name) = call.caller.split_once('/').unwrap();
        let identity = identities.entry(&call.caller).or_insert_with(|| {
            site.authority(domain).svid(site.root(), &format!("spiffe://{domain}.acme.internal/{name}"))
        });
        let client = open
            .entry((&call.caller, &call.host))
            .or_insert_with(|| Raw::open(site, Some(identity), &call.host).unwrap());
        for _ in 0..call.times {
            let Call { method, target, host, .. } = call;
            let answer = client.ask(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"));
            ids.push(answer.decision());
        }
    }
    ids
}

/// A route as both sides name it. What is unlisted is judged as `*` of its service, and refused before there is a route.
fn route(one: &Value) -> Route {
    let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
    (text("caller"), text("service"), text("method"), text("template").replace('*', ""))
}

/// What `decisions --counts` says of one answer, by route and check.
fn counted(site: &Site, answer: &str) -> BTreeMap<(Route, String), u64> {
    let counts = site.json(&["decisions", "--counts", "--since", "1d", "--outcome", answer, "--json"]);
    let mut found = BTreeMap::new();
    for one in counts {
        *found.entry((route(&one), check_of(&one))).or_default() += one["count"].as_u64().unwrap();
    }
    found
}

/// The check, or the reason of what has none.
fn check_of(one: &Value) -> String {
    let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
    if text("check").is_empty() { text("reason") } else { text("check") }
}

/// The records of these decisions, in their order.
fn records(site: &Site, ids: &[String]) -> Vec<Value> {
    let records: BTreeMap<String, Value> = wait_for("every decision", || {
        let known: BTreeMap<String, Value> =
            site.decisions().into_iter().map(|one| (one["id"].as_str().unwrap().to_owned(), one)).collect();
        ids.iter().all(|id| known.contains_key(id)).then_some(known)
    });
    ids.iter().map(|id| records[id].clone()).collect()
}

/// The checks that would have refused a call, each once: a call without anybody's consent lacks that of both sides.
fn noted(record: &Value) -> Vec<String> {
    let mut checks: Vec<String> = record["noted"].as_array().unwrap().iter().map(check_of).collect();
    checks.sort();
    checks.dedup();
    checks
}

/// The check that was noted for the reason for which the same call is refused.
fn check_for(shadowed: &Value, enforced: &Value) -> String {
    let noted = shadowed["noted"].as_array().unwrap();
    let found = noted.iter().find(|noted| noted["reason"] == enforced["reason"]);
    check_of(found.unwrap_or_else(|| panic!("refused for what was not listed: {shadowed:#} {enforced:#}")))
}

#[test]
fn the_list_of_would_denies_is_what_enforcement_then_refuses() {
    let upstream = Upstream::start(echo);
    let mut site = prepared(&upstream);
    let (shadow, enforce) = (in_mode(&site, "shadow"), in_mode(&site, "enforce"));
    site.start();
    site.publish(&shadow, "watch");
    let calls = mix(&site);
    let watched = play(&site, &calls);
    assert!(upstream.count() == watched.len(), "under shadow everything is forwarded");
    let shadowed = records(&site, &watched);
    site.publish(&enforce, "enforce");
    let before = upstream.count();
    let judged = play(&site, &calls);
    let enforced = records(&site, &judged);

    let (mut one, mut several) = (0, 0);
    for (shadowed, enforced) in shadowed.iter().zip(&enforced) {
        assert_eq!(route(shadowed), route(enforced), "{shadowed:#} {enforced:#}");
        assert_eq!(shadowed["host"], enforced["host"], "{shadowed:#} {enforced:#}");
        assert_eq!(shadowed["outcome"], "allow", "{shadowed:#}");
        let checks = noted(shadowed);
        let is_refused = enforced["outcome"] == "deny";
        assert_eq!(is_refused, !checks.is_empty(), "listed {checks:?}: {shadowed:#} {enforced:#}");
        if is_refused {
            check_for(shadowed, enforced);
            *(if checks.len() == 1 { &mut one } else { &mut several }) += 1;
        }
    }
    let refused = one + several;
    assert_eq!(upstream.count() - before, enforced.len() - refused, "what is refused is not forwarded");
    listings_are_the_same(&site, &shadowed, &enforced);
    counts_are_the_same(&site, &shadowed, &enforced);
    say(&format!(
        "{} calls of {}: {refused} would-denies, and the same {refused} refused ({several} for more than one reason)",
        enforced.len(),
        acme_name(acme()),
    ));
    assert!(one > 100 && several > 100 && refused < enforced.len(), "{one} {several} {}", enforced.len());
}

fn acme_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// `decisions --outcome would-deny` then, and `--outcome deny` now: the same callers and routes, as often.
fn listings_are_the_same(site: &Site, shadowed: &[Value], enforced: &[Value]) {
    let listed = |outcome: &str| {
        let mut found: BTreeMap<Route, u64> = BTreeMap::new();
        for one in site.json(&["decisions", "--since", "1d", "--outcome", outcome, "--json"]) {
            if one["kind"] == "decision" {
                *found.entry(route(&one)).or_default() += 1;
            }
        }
        found
    };
    let (would, did) = (listed("would-deny"), listed("deny"));
    assert_eq!(would, did);
    let of = |records: &[Value], outcome: &str| records.iter().filter(|one| one["outcome"] == outcome).count() as u64;
    assert_eq!(did.values().sum::<u64>(), of(enforced, "deny"));
    assert_eq!(shadowed.iter().filter(|one| !noted(one).is_empty()).count() as u64, of(enforced, "deny"));
}

/// `decisions --counts`, exactly: each check of each route of each caller.
fn counts_are_the_same(site: &Site, shadowed: &[Value], enforced: &[Value]) {
    // what each call must be counted as
    let (mut would, mut did) = (BTreeMap::new(), BTreeMap::new());
    for one in shadowed {
        for check in noted(one) {
            *would.entry((route(one), check)).or_default() += 1_u64;
        }
    }
    for (shadowed, enforced) in shadowed.iter().zip(enforced).filter(|(_, enforced)| enforced["outcome"] == "deny") {
        *did.entry((route(enforced), check_for(shadowed, enforced))).or_default() += 1_u64;
    }
    let total = |counts: &BTreeMap<(Route, String), u64>| counts.values().sum::<u64>();
    wait_for("every call to be counted", || {
        (total(&counted(site, "would-deny")) >= total(&would) && total(&counted(site, "deny")) >= total(&did))
            .then_some(())
    });
    assert_eq!(counted(site, "would-deny"), would, "what would be refused, by caller, route and check");
    let counted_did = counted(site, "deny");
    assert_eq!(total(&counted_did), total(&did));
    for ((route, check), count) in &counted_did {
        let of_route = |counts: &BTreeMap<(Route, String), u64>| {
            counts.iter().filter(|((other, _), _)| other == route).map(|(_, count)| *count).sum::<u64>()
        };
        assert_eq!(of_route(&counted_did), of_route(&did), "{route:?}");
        // a refusal that a check made was listed for that check, as often or more often
        let listed = would.get(&(route.clone(), check.clone())).copied().unwrap_or_default();
        assert!(listed >= *count, "{route:?} {check}: refused {count}, listed {listed}");
    }
}
