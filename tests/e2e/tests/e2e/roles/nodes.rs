//! Agents: what a node hands out, and what it does not.

use super::*;

#[test]
fn an_agent_of_one_pool_gets_nothing_of_another() {
    let upstream = Upstream::start(echo);
    let mut fleet = Fleet::start_with(&upstream, placed);
    for (agent, pool) in [("node-a", "pool-a"), ("node-b", "pool-b")] {
        fleet.invite_agent(agent, pool);
        fleet.start_peer("agent", agent);
    }
    assert!(!fetches(&fleet, "node-a"), "the caller runs on the other pool");
    assert!(fetches(&fleet, "node-b"));
}

#[test]
fn an_agent_killed_at_any_moment_comes_back_and_is_what_it_was() {
    let upstream = Upstream::start(echo);
    let mut fleet = Fleet::start_with(&upstream, placed);
    fleet.invite_agent("node-b", "pool-b");
    for round in 0..setting("COUNTERSIGN_AGENT_ROUNDS", 5) {
        fleet.start_peer("agent", "node-b");
        wait_until("an identity", || fetches(&fleet, "node-b"));
        if round % 2 == 1 {
            // it comes back on its own key; what workloads had is minted anew when control is there
            fleet.kill_control();
            fleet.kill_peer("node-b");
            fleet.spawn_peer("agent", "node-b");
            fleet.start_control();
            wait_until("an identity again", || fetches(&fleet, "node-b"));
        }
        fleet.kill_peer("node-b");
    }
    let peers = fleet.json(&["fleet", "--json"]);
    assert_eq!((peers.len(), peers[0]["revoked"].as_bool()), (1, Some(false)), "{peers:#?}");
}
