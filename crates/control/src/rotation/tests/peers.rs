//! Peers that never confirm, that are away, that come back late.

use super::*;

#[test]
fn a_peer_that_never_confirms_is_named_and_waited_for_and_retiring_it_lets_the_rotation_go_on() {
    let world = World::new();
    let (mut edge, mut stuck) = (joined(&world, Role::Proxy, "edge"), joined(&world, Role::Agent, "stuck"));
    [&mut edge, &mut stuck].into_iter().for_each(|peer| peer.connect(&world));
    start(&world);
    edge.acknowledge(&world);
    pass(&world, &[&edge, &stuck], 60);
    assert!(doctor(&world).iter().all(|(severity, _)| *severity == Severity::Good), "{:?}", doctor(&world));
    hours(&world, &[&edge, &stuck], 240);
    let waits = shown(&world);
    assert_eq!(waits.phase, RotationPhase::Published, "it is connected: it serves with the old bundle");
    assert_eq!(waits.waiting_for, ["agent/stuck: it has not confirmed the bundle yet"]);
    assert!(waits.given_up.is_empty(), "{waits:?}");
    let (severity, message) = doctor(&world).remove(0);
    assert_eq!(severity, Severity::Warning);
    assert!(
        message.ends_with("it waits since 10 days for agent/stuck: it has not confirmed the bundle yet"),
        "{message}"
    );
    world.control.hub.peers.remove(&stuck.name, "it was retired");
    pass(&world, &[&edge], SETTLED);
    assert_eq!(phase(&world), RotationPhase::Signing);
}

#[test]
fn a_peer_that_refuses_says_why() {
    let world = World::new();
    let mut edge = joined(&world, Role::Proxy, "edge");
    edge.connect(&world);
    start(&world);
    let hub = &world.control.hub;
    hub.heard.answered(&hub.peers, &edge.name, "no root that it holds vouches for it");
    hours(&world, &[&edge], 48);
    let waits = shown(&world);
    assert_eq!(waits.phase, RotationPhase::Published);
    assert_eq!(waits.waiting_for, ["proxy/edge: no root that it holds vouches for it"]);
}

#[test]
fn a_peer_that_is_away_is_waited_for_a_day_and_then_given_up_by_name() {
    let world = World::new();
    let (mut edge, mut asleep) = (joined(&world, Role::Proxy, "edge"), joined(&world, Role::Agent, "asleep"));
    for peer in [&mut edge, &mut asleep] {
        peer.connect(&world);
        peer.pulse(&world);
    }
    asleep.disconnect(&world);
    let gone = world.clock.now();
    start(&world);
    edge.acknowledge(&world);
    hours(&world, &[&edge], 23);
    let now = world.clock.now();
    let (heard, until) = (moment(gone, now), moment(gone.plus_seconds(86_400), now));
    let waits =
        format!("agent/asleep: it is not connected and was last heard at {heard}; it is waited for until {until}");
    assert_eq!(shown(&world).waiting_for, [waits]);
    pass(&world, &[&edge], 3_599);
    assert_eq!(phase(&world), RotationPhase::Published);
    pass(&world, &[&edge], SETTLED);
    let heard = moment(gone, world.clock.now());
    let given_up = format!("agent/asleep: it was last heard at {heard}, and nothing in its hands is good any more");
    assert_eq!(phase(&world), RotationPhase::Signing);
    let sign = recorded(&world).pop().unwrap();
    assert!(sign.ends_with(&format!("root: the next one signs from here on; not waited for: {given_up}")), "{sign}");
    // it comes back late: it is no laggard of what is over
    asleep.connect(&world);
    pass(&world, &[&edge, &asleep], LIFE + 1);
    assert_eq!(phase(&world), RotationPhase::Idle);
}

#[test]
fn a_peer_that_comes_back_within_the_day_is_waited_for_until_it_confirms() {
    let world = World::new();
    let mut asleep = joined(&world, Role::Agent, "asleep");
    asleep.connect(&world);
    asleep.pulse(&world);
    asleep.disconnect(&world);
    start(&world);
    hours(&world, &[], 23);
    asleep.connect(&world);
    asleep.pulse(&world);
    hours(&world, &[&asleep], 48);
    assert_eq!(shown(&world).waiting_for, ["agent/asleep: it has not confirmed the bundle yet"]);
    asleep.acknowledge(&world);
    pass(&world, &[&asleep], SETTLED - 1);
    assert_eq!(phase(&world), RotationPhase::Published, "its workloads take the bundle from it");
    pass(&world, &[&asleep], 1);
    assert_eq!(phase(&world), RotationPhase::Signing);
}

#[test]
fn a_peer_whose_trust_is_gone_is_not_waited_for() {
    let world = World::new();
    let (mut edge, mut thief) = (joined(&world, Role::Proxy, "edge"), joined(&world, Role::Agent, "thief"));
    [&mut edge, &mut thief].into_iter().for_each(|peer| peer.connect(&world));
    start(&world);
    edge.acknowledge(&world);
    let revoke = Revoke { subject: "node:agent/thief".into(), reason: "stolen".into(), seconds: Some(3_600) };
    world.admin().revoke("local", &revoke).unwrap();
    assert_eq!(shown(&world).given_up, ["agent/thief: it is revoked: stolen"]);
    pass(&world, &[&edge], SETTLED);
    assert_eq!(phase(&world), RotationPhase::Signing);
}

#[test]
fn somebody_who_joins_meanwhile_is_waited_for_from_the_first_word_on() {
    let world = World::new();
    let mut edge = joined(&world, Role::Proxy, "edge");
    edge.connect(&world);
    start(&world);
    edge.acknowledge(&world);
    let mut late = joined(&world, Role::Agent, "late");
    late.connect(&world);
    late.pulse(&world);
    pass(&world, &[&edge, &late], 60);
    assert_eq!(shown(&world).waiting_for, ["agent/late: it has not confirmed the bundle yet"]);
}

#[test]
fn longer_lives_give_up_later() {
    let yaml = |text: String| {
        text.replace("svid: { ttl: 1h }", "svid: { ttl: 72h }").replace("svid: { ttl: 24h }", "svid: { ttl: 240h }")
    };
    let mut files = crate::fixture::with("countersign.yaml", yaml);
    if !String::from_utf8(files.remove("countersign.yaml").unwrap()).unwrap().contains("72h") {
        let more = |text: String| {
            format!("{text}\ndefaults: {{ svid: {{ ttl: 72h }} }}\nfloor: {{ svid: {{ ttl: 240h }} }}\n")
        };
        files = crate::fixture::with("countersign.yaml", more);
    } else {
        files = crate::fixture::with("countersign.yaml", yaml);
    }
    let world = World::with(&files, crate::fixture::Folder::Own(tempfile::tempdir().unwrap()), LOG_BYTES);
    assert_eq!(world.control.dead_after(), Duration::from_secs(72 * 3_600));
}
