use std::collections::BTreeMap;

use ::wire::content::Holdings;
use api::admin::Severity;
use api::issuance::HeldSvid;
use types::Clock;

use super::*;
use crate::fixture::{Folder, LOG_BYTES, NOW, World};
use crate::store::{Joined, Last, Place};

const STOREFRONT: &str = "spiffe://shop.example.internal/storefront";

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(NOW + seconds)
}

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

fn svid(id: &str, ends: u64, failures: u32) -> HeldSvid {
    HeldSvid { spiffe_id: SpiffeId::parse(id).unwrap(), serial: format!("{ends:x}"), not_after: at(ends), failures }
}

/// Somebody who joined, connected or not.
fn join(world: &World, role: Role, name: &str, domains: Option<Vec<Label>>, connected: bool) -> crate::peers::Name {
    let group = (role == Role::Agent).then(|| label("vms"));
    let place = Place { role, name: label(name), group, domains };
    let joined = Joined { place: place.clone(), key: [7; 32], joined: world.clock.now(), last: Last::default() };
    let peers = &world.control.hub.peers;
    peers.add(joined);
    let line = peers.connect(&place, false, None, world.clock.now()).unwrap();
    let name = (role, label(name));
    peers.pulse(&name, line.id, 0, None, world.clock.now());
    if connected {
        Box::leak(Box::new(line));
    } else {
        peers.disconnect(&name, line.id, world.clock.now(), "");
    }
    name
}

fn say(world: &World, name: &crate::peers::Name, held: Vec<HeldSvid>, more: u64) {
    world.control.hub.heard.holdings(&world.control.hub.peers, name, Holdings { held, more });
}

fn doctor(world: &World, subject: &str) -> Vec<(Severity, String)> {
    let all = world.admin().doctor();
    all.into_iter().filter(|one| one.subject == subject).map(|one| (one.severity, one.message)).collect()
}

#[test]
fn who_may_have_an_identity_stands_beside_who_holds_one() {
    let world = World::new();
    let none = world.admin().identities().unwrap();
    let storefront = none.iter().find(|one| one.spiffe_id == STOREFRONT).unwrap_or_else(|| panic!("{none:?}"));
    assert_eq!((storefront.workload.as_str(), storefront.ttl_seconds), ("shop/storefront", 3_600));
    assert!(!storefront.rules.is_empty() && storefront.held.is_empty() && !storefront.revoked, "{storefront:?}");
    assert!(none.iter().all(|one| !one.rules.is_empty()), "nobody can be who has no rule: {none:?}");
    let (here, away) = (join(&world, Role::Agent, "vm-1", None, true), join(&world, Role::Agent, "vm-2", None, false));
    say(&world, &here, vec![svid(STOREFRONT, 1_800, 0)], 0);
    say(&world, &away, vec![svid(STOREFRONT, 900, 3)], 0);
    let revoke = api::admin::Revoke { subject: "shop/storefront".into(), reason: "x".into(), seconds: Some(60) };
    world.admin().revoke("local", &revoke).unwrap();
    let all = world.admin().identities().unwrap();
    let storefront = all.iter().find(|one| one.spiffe_id == STOREFRONT).unwrap();
    let held: Vec<_> = storefront
        .held
        .iter()
        .map(|held| (held.node.as_str(), held.not_after, held.failures, held.connected))
        .collect();
    assert_eq!(held, [("vm-1", at(1_800), 0, true), ("vm-2", at(900), 3, false)]);
    assert!(storefront.revoked);
    world.clock.advance(61);
    let all = world.admin().identities().unwrap();
    assert!(!all.iter().any(|one| one.revoked), "a revocation with an end ends");
}

#[test]
fn the_node_of_this_process_is_called_so() {
    let world = World::new();
    let place = Place { role: Role::Agent, name: label("local"), group: None, domains: None };
    let _line = world.control.hub.peers.connect(&place, true, None, world.clock.now()).unwrap();
    say(&world, &(Role::Agent, label("local")), vec![svid(STOREFRONT, 1_800, 0)], 0);
    let all = world.admin().identities().unwrap();
    let held = all.iter().flat_map(|one| &one.held).map(|held| held.node.as_str()).collect::<Vec<_>>();
    assert_eq!(held, [IN_PROCESS]);
    assert_eq!(world.admin().budget().unwrap().first[0].node, IN_PROCESS);
}

#[test]
fn the_budget_names_the_first_twelve_and_counts_all() {
    let world = World::new();
    let empty = world.admin().budget().unwrap();
    assert_eq!((empty.first_failure, empty.seconds, empty.counted, empty.at), (None, None, 0, at(0)));
    for node in 0..20_u64 {
        let name = join(&world, Role::Agent, &format!("vm-{node}"), None, true);
        say(&world, &name, vec![svid(STOREFRONT, 3_000 - node * 60, 0)], 0);
    }
    let budget = world.admin().budget().unwrap();
    assert_eq!((budget.first_failure, budget.seconds, budget.counted), (Some(at(1_860)), Some(1_860), 20));
    assert_eq!(budget.first.len(), 12);
    let nodes: Vec<&str> = budget.first.iter().map(|line| line.node.as_str()).collect();
    assert_eq!((nodes[0], nodes[11]), ("vm-19", "vm-8"));
    assert!(budget.unknown.is_empty(), "{budget:?}");
    let text = world.admin().metrics();
    for line in [
        "countersign_identity_outage_budget_seconds 1860\n",
        "countersign_identity_held 20\n",
        "countersign_identity_renewals_failing 0\n",
        "countersign_rotation_phase{domain=\"shop\",keys=\"jwt\"} 0\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!World::new().admin().metrics().contains("outage_budget_seconds "), "no figure where nothing is held");
}

#[test]
fn what_nobody_would_renew_is_not_counted() {
    let world = World::new();
    let name = join(&world, Role::Agent, "vm-1", None, true);
    let gone = "spiffe://shop.example.internal/gone";
    say(&world, &name, vec![svid(gone, 60, 0), svid(STOREFRONT, 1_800, 0)], 0);
    assert_eq!(world.admin().budget().unwrap().seconds, Some(1_800), "it is not registered");
    let revoke = api::admin::Revoke { subject: "shop/storefront".into(), reason: "x".into(), seconds: None };
    world.admin().revoke("local", &revoke).unwrap();
    assert_eq!(world.admin().budget().unwrap().seconds, None, "its trust is gone");
}

#[test]
fn what_nodes_hold_that_are_not_trusted_any_more_is_not_counted() {
    let world = World::new();
    let (thief, silent) =
        (join(&world, Role::Agent, "thief", None, true), join(&world, Role::Agent, "mute", None, false));
    let edge = join(&world, Role::Proxy, "edge", None, true);
    let good = join(&world, Role::Agent, "vm-1", None, true);
    say(&world, &thief, vec![svid(STOREFRONT, 60, 0)], 0);
    say(&world, &good, vec![svid(STOREFRONT, 1_800, 0)], 0);
    say(&world, &edge, vec![svid("spiffe://shop.example.internal/_gateway/edge", 90, 0)], 0);
    let before = world.admin().budget().unwrap();
    assert_eq!((before.seconds, before.counted, before.unknown.len()), (Some(60), 3, 1), "{before:?}");
    for (role, name) in [thief, silent, edge] {
        let subject = format!("node:{}/{name}", role.as_str());
        let revoke = api::admin::Revoke { subject, reason: "stolen".into(), seconds: None };
        world.admin().revoke("local", &revoke).unwrap();
    }
    let after = world.admin().budget().unwrap();
    assert_eq!((after.seconds, after.counted, after.unknown), (Some(1_800), 1, Vec::new()));
}

#[test]
fn each_of_several_identities_on_a_node_counts() {
    let world = World::new();
    let name = join(&world, Role::Agent, "vm-1", None, true);
    say(&world, &name, vec![svid(STOREFRONT, 900, 0), svid(STOREFRONT, 1_200, 0), svid(STOREFRONT, 3_000, 0)], 0);
    let budget = world.admin().budget().unwrap();
    let ends: Vec<u64> = budget.first.iter().map(|line| line.seconds).collect();
    assert_eq!((budget.counted, ends), (3, vec![900, 1_200, 3_000]));
    let all = world.admin().identities().unwrap();
    assert_eq!(all.iter().find(|one| one.spiffe_id == STOREFRONT).unwrap().held.len(), 3);
}

#[test]
fn a_clock_that_is_apart_lets_the_figure_shrink_and_never_grow() {
    let world = World::new();
    let name = join(&world, Role::Agent, "slow", None, true);
    // its agent thinks that there is an hour left, and renews by its own clock
    say(&world, &name, vec![svid(STOREFRONT, 60, 0)], 0);
    world.clock.advance(120);
    let budget = world.admin().budget().unwrap();
    assert_eq!((budget.seconds, budget.counted), (Some(0), 1), "it is connected and has run out");
    assert_eq!(doctor(&world, "outage budget")[0].0, Severity::Problem);
}

#[test]
fn what_the_figure_cannot_know_is_said() {
    let world = World::new();
    join(&world, Role::Agent, "silent", None, true);
    let (long, away) = (join(&world, Role::Agent, "long", None, true), join(&world, Role::Agent, "away", None, false));
    say(&world, &long, vec![svid(STOREFRONT, 1_800, 0)], 7);
    say(&world, &away, vec![svid(STOREFRONT, 10, 0), svid(STOREFRONT, 1_900, 0)], 0);
    world.clock.advance(20);
    let budget = world.admin().budget().unwrap();
    assert_eq!((budget.seconds, budget.counted), (Some(1_780), 2), "what ran out on a node that is away is over");
    assert_eq!(
        budget.unknown,
        [
            "away is not connected, and 1 identity that it held has run out",
            "long holds 7 more than it listed",
            "silent has not said what it holds since control began; it is connected",
        ]
    );
    let (severity, message) = doctor(&world, "outage budget").remove(0);
    assert_eq!(severity, Severity::Warning);
    assert!(message.contains("away is not connected") && message.ends_with("and 2 other nodes"), "{message}");
}

#[test]
fn gateways_count_too() {
    let world = World::new();
    let gateway = |name: &str, ends| svid(&format!("spiffe://shop.example.internal/_gateway/{name}"), ends, 0);
    for (name, ends) in [("one", 900), ("all", 800)] {
        let peer = join(&world, Role::Proxy, name, None, true);
        say(&world, &peer, vec![gateway(name, ends)], 0);
    }
    let here = Place { role: Role::Proxy, name: label("local"), group: None, domains: None };
    let _here = world.control.hub.peers.connect(&here, true, None, world.clock.now()).unwrap();
    let last = svid("spiffe://system.example.internal/proxy/local", 10, 0);
    say(&world, &(Role::Proxy, label("local")), vec![gateway("local", 1_000), gateway("one", 20), last], 0);
    let budget = world.admin().budget().unwrap();
    let first: Vec<_> = budget.first.iter().map(|line| (line.spiffe_id.as_str(), line.node.as_str())).collect();
    assert_eq!(
        first,
        [
            ("spiffe://shop.example.internal/_gateway/all", "all"),
            ("spiffe://shop.example.internal/_gateway/one", "one"),
            ("spiffe://shop.example.internal/_gateway/local", IN_PROCESS),
        ]
    );
}

#[test]
fn the_doctor_tells_a_short_budget_from_one_that_shrinks() {
    let told = |ends: u64, failures: u32| {
        let world = World::new();
        let name = join(&world, Role::Agent, "vm-1", None, true);
        say(&world, &name, vec![svid(STOREFRONT, ends, failures)], 0);
        (doctor(&world, "outage budget").remove(0), doctor(&world, "renewals"))
    };
    let ((severity, message), renewals) = told(1_800, 0);
    assert_eq!(severity, Severity::Good);
    assert_eq!(message, format!("if issuance stopped now, {STOREFRONT} (vm-1) would be the first to fail, in 30 min"));
    assert!(renewals.is_empty(), "{renewals:?}");
    assert_eq!(told(1_439, 0).0.0, Severity::Warning, "it should have been renewed at the half");
    assert_eq!(told(899, 0).0.0, Severity::Problem);
    let (_, renewals) = told(1_200, 2);
    let words =
        format!("1 identity is not renewed; first to end is {STOREFRONT} (vm-1), in 20 min, after 2 failed attempts");
    assert_eq!(renewals, [(Severity::Problem, words)]);
    let world = World::new();
    assert_eq!(doctor(&world, "outage budget"), [(Severity::Good, "no identity is held".to_owned())]);
}

#[test]
fn lives_that_are_short_by_choice_are_no_problem() {
    let short = |text: String| format!("{text}\nsvid: {{ ttl: 5m }}\n");
    let files = crate::fixture::with("domains/shop/domain.yaml", short);
    let world = World::with(&files, Folder::Own(tempfile::tempdir().unwrap()), LOG_BYTES);
    let name = join(&world, Role::Agent, "vm-1", None, true);
    say(&world, &name, vec![svid(STOREFRONT, 140, 0)], 0);
    assert_eq!(doctor(&world, "outage budget")[0].0, Severity::Warning);
    say(&world, &name, vec![svid(STOREFRONT, 60, 0)], 0);
    assert_eq!(doctor(&world, "outage budget")[0].0, Severity::Problem, "it should have been renewed");
}

#[test]
fn the_bundle_of_a_domain_is_a_document_that_is_read_back() {
    let world = World::new();
    let bundle = world.admin().bundle("shop").unwrap();
    assert_eq!(bundle.trust_domain, "shop.example.internal");
    assert_eq!(world.admin().bundle("shop.example.internal").unwrap(), bundle, "by its full name too");
    let domain = types::TrustDomain::parse("shop.example.internal").unwrap();
    let read = identity::Bundle::from_document(domain, &bundle.document).unwrap();
    assert_eq!(read.sequence, Some(world.control.bundles_number()));
    let keys: serde_json::Value = serde_json::from_str(&bundle.document).unwrap();
    let uses: Vec<_> = keys["keys"].as_array().unwrap().iter().map(|key| key["use"].as_str().unwrap()).collect();
    assert_eq!(uses, ["x509-svid", "jwt-svid"]);
    let rotate = api::admin::Rotate {
        domain: "shop".into(),
        keys: api::admin::Keys::Jwt,
        act: api::admin::RotationAct::Start,
        reason: String::new(),
    };
    world.admin().rotate("local", &rotate).unwrap();
    let later = world.admin().bundle("shop").unwrap();
    let read_later = identity::Bundle::from_document(read.bundle.trust_domain().clone(), &later.document).unwrap();
    assert!(read_later.sequence > read.sequence && later.document.matches("jwt-svid").count() == 2, "{later:?}");
    assert_eq!(world.admin().bundle("none").unwrap_err().code, api::admin::FailureCode::NotFound);
}

#[test]
fn a_bundle_that_cannot_be_numbered_is_not_given_out() {
    let world = World::new();
    world.told.dumb.store(true, std::sync::atomic::Ordering::Relaxed);
    let failure = world.admin().bundle("shop").unwrap_err();
    assert_eq!(failure.code, api::admin::FailureCode::Unavailable);
}

#[test]
fn a_document_never_changes_under_its_number() {
    use api::keys::KeyStep::{Back, Prepare, Publish};
    let world = World::new();
    let (shop, domain) = (label("shop"), types::TrustDomain::parse("shop.example.internal").unwrap());
    let ended = std::sync::atomic::AtomicBool::new(false);
    let mut seen: BTreeMap<u64, String> = BTreeMap::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                for step in [Prepare, Publish, Back, Back] {
                    world.told.keys.step(&shop, api::admin::Keys::Jwt, step, at(0)).unwrap();
                    // tidy: room for whoever reads; nothing waits for it
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        });
        for _ in 0..2_000 {
            // it may change all the time
            let Ok(document) = world.control.bundle_document(&domain) else { continue };
            let number = identity::Bundle::from_document(domain.clone(), &document).unwrap().sequence.unwrap();
            let before = seen.entry(number).or_insert_with(|| document.clone());
            if *before != document {
                ended.store(true, std::sync::atomic::Ordering::Relaxed);
                panic!("{number}: {before} {document}");
            }
        }
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(seen.len() > 3, "{seen:?}");
}
