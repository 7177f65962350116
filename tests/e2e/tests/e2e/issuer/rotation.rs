//! Keys that rotate while everybody calls.

use super::*;

#[test]
fn a_root_and_a_jwt_key_rotate_under_load_and_no_connection_fails() {
    let upstream = Upstream::start(echo);
    let fleet = fleet(&upstream, "1m, jwt_ttl: 1m");
    let mut callers = clients::start(&fleet, "edge-1");
    callers.push(("ours", Calling::start(&fleet, "edge-1", &[])));
    let before = std::fs::read_to_string(fleet.bundle("alpha")).unwrap();
    let other = std::fs::read_to_string(fleet.bundle("beta")).unwrap();
    let root = rotation(&fleet, "alpha", "x509")["current"].clone();
    fleet.done(["identity", "rotate-root", "alpha", "--jwt", "--no-wait"]);
    let told = fleet.done(["identity", "rotate-root", "alpha", "--json"]);
    let phases: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(phases.last().is_some_and(|line| line["phase"] == "signing"), "it waits until the new key signs: {told}");
    assert_ne!(rotation(&fleet, "alpha", "x509")["current"], root);
    for keys in ["x509", "jwt"] {
        until_phase(&fleet, "alpha", keys, "idle");
    }
    for (name, calling) in &callers {
        calling.until_it_goes_well(20);
        let failed = calling.of("failed");
        assert!(failed.is_empty(), "{name}: {} failed of {}: {:#?}", failed.len(), calling.calls(), failed.first());
        assert!(calling.of("lost").is_empty(), "{name}: {:#?}", calling.of("lost"));
        // every bundle that it saw held the root that its gateway had: one, then both, then the new one
        let counts: Vec<u64> = calling.updates().into_iter().map(|(_, roots)| roots).collect();
        assert!(counts.contains(&2) && counts.first() == Some(&1) && counts.last() == Some(&1), "{name}: {counts:?}");
        say(&format!("{name}: {} calls, {} identities", calling.calls(), counts.len()));
    }
    let after = std::fs::read_to_string(fleet.bundle("alpha")).unwrap();
    assert_ne!(before, after);
    assert_ne!(rotation(&fleet, "alpha", "x509")["current"], root);
    assert_eq!(std::fs::read_to_string(fleet.bundle("beta")).unwrap(), other, "another domain keeps its root");
}

#[test]
fn an_issuer_that_dies_at_each_phase_goes_on_where_it_was_and_nobody_notices() {
    let upstream = Upstream::start(echo);
    let mut fleet = fleet(&upstream, "1m");
    // whoever is away holds the rotation back, and is named
    fleet.join_proxy("edge-2");
    fleet.kill_peer("edge-2");
    let calling = Calling::start(&fleet, "edge-1", &[]);
    fleet.done(["identity", "rotate-root", "alpha", "--no-wait"]);
    fleet.kill_control();
    calling.until_it_goes_well(20);
    fleet.start_control();
    let state = until_phase(&fleet, "alpha", "x509", "published");
    let next = state["other"].clone();
    wait_until("the one that is away to be named", || {
        rotation(&fleet, "alpha", "x509")["waiting_for"].to_string().contains("edge-2")
    });
    fleet.kill_control();
    calling.until_it_goes_well(20);
    fleet.start_control();
    let state = rotation(&fleet, "alpha", "x509");
    assert_eq!((&state["phase"], &state["other"]), (&"published".into(), &next), "{state:#}");
    // one step back and on again
    fleet.done(["identity", "rotate-root", "alpha", "--back"]);
    let state = rotation(&fleet, "alpha", "x509");
    assert_eq!((&state["phase"], &state["held"]), (&"prepared".into(), &true.into()), "{state:#}");
    fleet.done(["identity", "rotate-root", "alpha", "--no-wait"]);
    until_phase(&fleet, "alpha", "x509", "published");
    fleet.start_peer("proxy", "edge-2");
    let state = until_phase(&fleet, "alpha", "x509", "signing");
    assert_eq!(state["current"], next, "{state:#}");
    fleet.kill_control();
    calling.until_it_goes_well(20);
    fleet.start_control();
    assert_eq!(rotation(&fleet, "alpha", "x509")["phase"], "signing");
    assert_eq!(rotation(&fleet, "alpha", "x509")["current"], next);
    // what the old root signed and what the new one signs are both good, at each gateway
    let identity = wait_for("an identity", || fetched(&fleet, "while-signing"));
    for proxy in ["edge-1", "edge-2"] {
        wait_until("an answer", || ask(&fleet, proxy, &identity).0 == 200);
    }
    until_phase(&fleet, "alpha", "x509", "idle");
    assert_eq!(rotation(&fleet, "alpha", "x509")["current"], next);
    calling.until_it_goes_well(20);
    let failed = calling.of("failed");
    assert!(failed.is_empty(), "{} of {}: {:#?}", failed.len(), calling.calls(), failed.first());
}

/// How many roots are given up one after the other; `COUNTERSIGN_EMERGENCIES` overrides it.
const EMERGENCIES: u32 = 2;

#[test]
fn an_emergency_ends_what_the_stolen_root_signed_and_everybody_comes_back_by_themselves() {
    let upstream = Upstream::start(echo);
    let fleet = fleet(&upstream, "1h");
    let calling = Calling::start(&fleet, "edge-1", &[]);
    for round in 0..crate::setting("COUNTERSIGN_EMERGENCIES", EMERGENCIES) {
        let stolen = newest_authority(&fleet.data("control").join("keys/alpha"));
        let before = stolen.svid(fleet.root(), "spiffe://alpha.e2e.internal/caller");
        assert_eq!(ask(&fleet, "edge-1", &before).0, 200, "round {round}");
        let serials = calling.updates().len();
        fleet.done(["identity", "rotate-root", "alpha", "--emergency", "--reason", "its key was copied"]);
        wait_until("the caller to have another identity", || {
            calling.updates().len() > serials && calling.updates().last().is_some_and(|(_, roots)| *roots == 1)
        });
        calling.until_it_goes_well(50);
        wait_until("what the stolen root signed to be refused", || ask(&fleet, "edge-1", &before).0 == 0);
        let late = stolen.svid(fleet.root(), "spiffe://alpha.e2e.internal/caller");
        assert_eq!(ask(&fleet, "edge-1", &late).0, 0, "and whatever it signs from now on");
        let identity = wait_for("an identity", || fetched(&fleet, "after"));
        assert_eq!(ask(&fleet, "edge-1", &identity).0, 200, "the gateway has another certificate too");
    }
}

/// The authority that signs now: the first has files of plain names, those that follow are numbered.
fn newest_authority(folder: &Path) -> Authority {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let number = |name: &String| name.strip_prefix("ca-")?.strip_suffix(".key")?.parse::<u32>().ok();
    match names.filter_map(|name| number(&name)).max() {
        None => Authority::read(folder),
        Some(newest) => {
            Authority::of(&folder.join(format!("ca-{newest}.key")), &folder.join(format!("ca-{newest}.pem")))
        }
    }
}

/// One call through a proxy, by somebody who trusts the roots that control has now.
fn ask(fleet: &Fleet, proxy: &str, identity: &Identity) -> (u16, String) {
    let opened = countersign_e2e::Raw::to(fleet.gateway(proxy), &fleet.bundle("alpha"), Some(identity), API);
    let answer = opened.and_then(|mut raw| {
        raw.send(format!("GET /items/1 HTTP/1.1\r\nHost: {API}\r\nConnection: close\r\n\r\n"))?;
        raw.answer()
    });
    answer.map_or_else(|error| (0, error.to_string()), |answer| (answer.status, String::new()))
}
