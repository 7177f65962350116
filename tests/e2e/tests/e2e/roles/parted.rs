//! The network between them cut, half-open and slow; either of them killed at any moment.

use super::*;

/// How often control is killed; `COUNTERSIGN_CONTROL_ROUNDS` overrides it.
const ROUNDS: u32 = 5;

#[test]
fn control_killed_and_restarted_in_a_loop_costs_no_call_and_no_record() {
    let upstream = Upstream::start(echo);
    let mut fleet = Fleet::start_with(&upstream, placed);
    fleet.join_proxy("edge-1");
    fleet.invite_agent("node-b", "pool-b");
    fleet.start_peer("agent", "node-b");
    let identity = fleet.identity(CALLER);
    let running = load(&fleet, "edge-1", &identity);
    running.until_all(&["h1", "h2"], 200);
    wait_until("an identity", || fetches(&fleet, "node-b"));
    for round in 0..setting("COUNTERSIGN_CONTROL_ROUNDS", ROUNDS) {
        fleet.kill_control();
        running.until_all(&["h1", "h2"], 200);
        assert!(fetches(&fleet, "node-b"), "the agent goes on with what it holds");
        fleet.start_control();
        fleet.until_current("edge-1");
        let revoked = fleet.done(["revoke", "alpha/other", "--reason", &format!("round {round}")]);
        assert!(revoked.contains("in force at the one enforcer"), "{revoked}");
    }
    let told = running.stop();
    let bad: Vec<&Told> = told.iter().filter(|told| told.status != 200).collect();
    assert!(bad.is_empty(), "{} of {} calls were not answered well: {:#?}", bad.len(), told.len(), bad.first());
    until_all_are_known(&fleet, &upstream.calls());
}

#[test]
fn a_proxy_killed_at_any_moment_comes_back_without_control_and_loses_no_record() {
    let upstream = Upstream::start(echo);
    let (mut fleet, identity) = one_proxy(&upstream);
    for round in 0..setting("COUNTERSIGN_PROXY_ROUNDS", ROUNDS) {
        let running = load(&fleet, "edge-1", &identity);
        running.until_all(&["h1", "h2"], 200);
        if round == 1 {
            fleet.kill_control();
        }
        fleet.kill_peer("edge-1");
        assert!(good(&running.stop()) > 0);
        fleet.start_peer("proxy", "edge-1");
        wait_until("it to answer again", || fleet.ask("edge-1", &identity, API, "/items/1").0 == 200);
    }
    fleet.start_control();
    fleet.until_current("edge-1");
    until_all_are_known(&fleet, &upstream.calls());
}

/// Alpha refuses once signals are two seconds old; beta serves on.
fn strict(dir: &std::path::Path) {
    let stale = "domain: alpha\nsignals_stale: { after: 2s, then: deny }\nwhen_stale: { after: 2s, then: deny }";
    edit(dir, "domains/alpha/domain.yaml", "domain: alpha", stale);
}

#[test]
fn a_cut_or_half_open_network_is_noticed_and_a_domain_refuses_after_its_time() {
    let upstream = Upstream::start(echo);
    let mut fleet = Fleet::start_with(&upstream, strict);
    fleet.join_proxy("edge-1");
    let identity = fleet.identity(CALLER);
    for network in [Network::Cut, Network::HalfOpen] {
        assert_eq!(fleet.ask("edge-1", &identity, API, "/items/1").0, 200, "{network:?}");
        fleet.network(network);
        let stale = |reason: &str| ["signals.stale", "route.stale-revision"].contains(&reason);
        wait_until("what is old to be refused", || {
            let (status, reason) = fleet.ask("edge-1", &identity, API, "/items/1");
            status == 503 && stale(&reason)
        });
        wait_within(Duration::from_secs(40), "control to see that it is gone", || {
            fleet.peer("edge-1").is_some_and(|peer| peer["connected"] == false).then_some(())
        });
        fleet.network(Network::Up);
        wait_within(Duration::from_secs(40), "it to be allowed again", || {
            (fleet.ask("edge-1", &identity, API, "/items/1").0 == 200).then_some(())
        });
    }
    // the age outlives a restart: it runs from the last heartbeat that was written down
    fleet.kill_control();
    wait_until("what is old to be refused", || fleet.ask("edge-1", &identity, API, "/items/1").0 == 503);
    fleet.kill_peer("edge-1");
    fleet.start_peer("proxy", "edge-1");
    wait_until("it to answer", || fleet.ask("edge-1", &identity, API, "/items/1").0 != 0);
    assert_eq!(fleet.ask("edge-1", &identity, API, "/items/1").0, 503);
}

#[test]
fn a_slow_network_delays_a_publication_and_no_call() {
    let upstream = Upstream::start(echo);
    let (fleet, identity) = one_proxy(&upstream);
    fleet.network(Network::Slow);
    let running = load(&fleet, "edge-1", &identity);
    let changed = fleet.root().join("changed");
    let status = std::process::Command::new("cp").args(["-r"]).args([fleet.dir(), changed.clone()]).status().unwrap();
    assert!(status.success());
    edit(&changed, "countersign.yaml", "risk_unknown: 20", "risk_unknown: 21");
    fleet.done(["publish", "changed"]);
    wait_within(Duration::from_secs(60), "the publication to arrive", || {
        fleet.peer("edge-1").is_some_and(|peer| peer["publications_behind"] == 0).then_some(())
    });
    let told = running.stop();
    assert_eq!(good(&told), told.len());
}

#[test]
fn what_was_revoked_stays_revoked_whoever_is_killed() {
    let upstream = Upstream::start(echo);
    let (mut fleet, identity) = one_proxy(&upstream);
    assert_eq!(fleet.ask("edge-1", &identity, API, "/items/1").0, 200);
    let revoked = fleet.done(["revoke", CALLER, "--reason", "taken over"]);
    assert!(revoked.contains("in force at the one enforcer"), "{revoked}");
    fleet.kill_control();
    fleet.kill_peer("edge-1");
    fleet.start_peer("proxy", "edge-1");
    let asked = || fleet.ask("edge-1", &identity, API, "/items/1");
    wait_until("it to answer", || asked().0 != 0);
    assert_eq!(asked(), (403, "signals.revoked".to_owned()), "without control");
    let mut fleet = fleet;
    fleet.start_control();
    fleet.until_current("edge-1");
    assert_eq!(fleet.ask("edge-1", &identity, API, "/items/1").0, 403, "with control");
}

#[test]
fn two_proxies_one_cut_off_and_the_operator_is_told_which() {
    let upstream = Upstream::start(echo);
    let (mut fleet, _) = one_proxy(&upstream);
    fleet.join_proxy("edge-2");
    fleet.kill_peer("edge-2");
    wait_until("control to see it", || fleet.peer("edge-2").is_some_and(|peer| peer["connected"] == false));
    let begun = Instant::now();
    let revoked = fleet.done(["revoke", "alpha/other", "--reason", "x"]);
    assert!(revoked.contains("1 of 2") && revoked.contains("edge-2"), "{revoked}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    let listed = fleet.done(["fleet"]);
    assert!(listed.contains("edge-2"), "{listed}");
    fleet.start_peer("proxy", "edge-2");
    fleet.until_current("edge-2");
}
