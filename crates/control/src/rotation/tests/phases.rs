//! From the first step to the last, with what each phase may lack.

use std::sync::atomic::Ordering;

use super::*;

/// A world with a proxy and an agent that are connected and have everything.
fn world() -> (World, Peer, Peer) {
    let world = World::new();
    let (mut edge, mut vm) = (joined(&world, Role::Proxy, "edge"), joined(&world, Role::Agent, "vm-1"));
    world.control.tell_peers();
    for peer in [&mut edge, &mut vm] {
        peer.connect(&world);
        peer.acknowledge(&world);
    }
    (world, edge, vm)
}

#[test]
fn a_rotation_waits_for_everybody_signs_and_retires_by_itself() {
    let (world, edge, vm) = world();
    let before = shown(&world);
    assert_eq!((before.phase, before.since, before.waiting_for.len()), (RotationPhase::Idle, None, 0));
    let began = start(&world);
    assert_eq!(began.phase, RotationPhase::Published, "published at once: {began:?}");
    assert_eq!(began.current, before.current);
    let waiting = ["proxy/edge", "agent/vm-1"].map(|name| format!("{name}: it has not confirmed the bundle yet"));
    assert_eq!(began.waiting_for, waiting);
    let reach = began.reach.unwrap();
    assert_eq!((reach.in_force, reach.enforcers, reach.waiting), (0, 1, waiting.to_vec()));
    pass(&world, &[&edge, &vm], 60);
    assert_eq!(shown(&world).waiting_for, waiting);
    edge.acknowledge(&world);
    pass(&world, &[&edge, &vm], 60);
    assert_eq!(shown(&world).waiting_for, waiting[1..]);
    vm.acknowledge(&world);
    pass(&world, &[&edge, &vm], SETTLED - 1);
    assert!(shown(&world).waiting_for[0].starts_with("workloads: they take the bundle"), "{:?}", shown(&world));
    world.clock.advance(1);
    assert_eq!(phase(&world), RotationPhase::Acknowledged);
    world.control.take_rotations_on();
    let signing = shown(&world);
    assert_eq!((signing.phase, signing.current, signing.other), (RotationPhase::Signing, began.other, before.current));
    let retires = signing.retires_at.unwrap();
    assert_eq!(retires, world.clock.now().plus_seconds(LIFE));
    pass(&world, &[&edge, &vm], LIFE);
    assert_eq!(phase(&world), RotationPhase::Signing, "what the old one signed is good in its last second");
    pass(&world, &[&edge, &vm], 1);
    let done = shown(&world);
    assert_eq!((done.phase, done.other.as_str(), done.retires_at), (RotationPhase::Idle, "", None));
    assert_eq!(
        recorded(&world),
        [
            "allow domain:shop by local: a test | root: the next one is made",
            "allow domain:shop by :  | root: the next one goes into the bundle",
            "allow domain:shop by :  | root: the next one signs from here on",
            "allow domain:shop by :  | root: the old one leaves the bundle",
        ]
    );
}

#[test]
fn the_jwt_key_rotates_alone() {
    let (world, edge, vm) = world();
    let request = Rotate { domain: "shop".into(), keys: Keys::Jwt, act: RotationAct::Start, reason: String::new() };
    assert_eq!(world.admin().rotate("local", &request).unwrap().phase, RotationPhase::Published);
    for _ in 0..10 {
        [&edge, &vm].into_iter().for_each(|peer| peer.acknowledge(&world));
        pass(&world, &[], 1);
    }
    let all = world.admin().rotations().unwrap();
    let phases: Vec<_> = all.iter().map(|one| (one.keys, one.phase)).collect();
    assert_eq!(phases, [(Keys::X509, RotationPhase::Idle), (Keys::Jwt, RotationPhase::Signing)]);
}

/// Goes up to a phase, in which the issuer may be down or control may be restarted.
fn up_to(world: &World, peers: &[&Peer], to: RotationPhase) {
    start(world);
    if to == RotationPhase::Published {
        return;
    }
    peers.iter().for_each(|peer| peer.acknowledge(world));
    pass(world, peers, SETTLED);
    assert_eq!(phase(world), RotationPhase::Signing);
}

#[test]
fn an_issuer_that_is_down_at_the_start_changes_nothing_and_is_told() {
    let (world, ..) = world();
    world.told.keys.broken.store(true, Ordering::Relaxed);
    let failure = ask(&world, RotationAct::Start).unwrap_err();
    assert_eq!((failure.code, failure.message.as_str()), (FailureCode::Unavailable, "the disk is full"));
    assert_eq!(phase(&world), RotationPhase::Idle);
    let acts = recorded(&world);
    assert_eq!(acts.len(), 2, "{acts:?}");
    assert!(acts[1].starts_with("deny") && acts[1].contains("it did not take effect"), "{acts:?}");
    world.told.keys.broken.store(false, Ordering::Relaxed);
    assert_eq!(start(&world).phase, RotationPhase::Published);
}

/// What is tried, where it stays meanwhile, and where it goes once the issuer is back.
#[test]
fn an_issuer_that_is_down_at_a_phase_is_waited_for_and_named_and_it_goes_on_after() {
    for (from, to) in [
        (RotationPhase::Prepared, RotationPhase::Published),
        (RotationPhase::Published, RotationPhase::Signing),
        (RotationPhase::Signing, RotationPhase::Idle),
    ] {
        let (world, edge, vm) = world();
        let peers = [&edge, &vm];
        if from == RotationPhase::Prepared {
            // the process died between the two
            let shop = Label::parse("shop").unwrap();
            world.told.keys.step(&shop, Keys::X509, KeyStep::Prepare, world.clock.now()).unwrap();
        } else {
            up_to(&world, &peers, from);
        }
        let stood = shown(&world);
        world.told.keys.broken.store(true, Ordering::Relaxed);
        peers.iter().for_each(|peer| peer.acknowledge(&world));
        let (acts, tried) = (recorded(&world).len(), world.told.keys.tried.lock().unwrap().len());
        pass(&world, &peers, LIFE + 10);
        let stands = shown(&world);
        assert_eq!((&stands.current, &stands.other), (&stood.current, &stood.other), "{from:?}");
        assert_ne!(stands.phase, to, "{from:?}");
        assert_eq!(stands.waiting_for.last().unwrap(), "the issuer: the disk is full", "{from:?}: {stands:?}");
        let told = doctor(&world);
        let words = "rotation of the root of shop: the next step fails: the issuer: the disk is full";
        let problem = (Severity::Problem, words.to_owned());
        assert!(told.contains(&problem), "{from:?}: {told:?}");
        assert_eq!(recorded(&world).len(), acts + 1, "{from:?}: once, however often it is tried");
        assert!(world.told.keys.tried.lock().unwrap().len() > tried + 5, "{from:?}: it is tried again");
        world.told.keys.broken.store(false, Ordering::Relaxed);
        pass(&world, &peers, 1);
        assert_eq!(phase(&world), to, "{from:?}");
        assert_eq!(recorded(&world).len(), acts + 1, "{from:?}: it was on record before");
    }
}

#[test]
fn a_restart_at_each_phase_loses_nothing_and_signs_nothing_too_early() {
    for from in [RotationPhase::Prepared, RotationPhase::Published, RotationPhase::Signing] {
        let (world, edge, vm) = world();
        if from == RotationPhase::Prepared {
            let shop = Label::parse("shop").unwrap();
            world.told.keys.step(&shop, Keys::X509, KeyStep::Prepare, world.clock.now()).unwrap();
        } else {
            up_to(&world, &[&edge, &vm], from);
        }
        let stood = shown(&world);
        let world = world.restart_now();
        assert_eq!(shown(&world).current, stood.current, "{from:?}");
        // nobody of them is connected yet; they joined, and what they have is not known
        let mut peers = [joined(&world, Role::Proxy, "edge"), joined(&world, Role::Agent, "vm-1")];
        peers.iter_mut().for_each(|peer| peer.connect(&world));
        let peers = [&peers[0], &peers[1]];
        pass(&world, &peers, 60);
        let expected = if from == RotationPhase::Signing { from } else { RotationPhase::Published };
        assert_eq!(phase(&world), expected, "{from:?}: nobody has confirmed anything to this process");
        peers.iter().for_each(|peer| peer.acknowledge(&world));
        pass(&world, &peers, SETTLED);
        assert_eq!(phase(&world), RotationPhase::Signing, "{from:?}");
        pass(&world, &peers, LIFE + 1);
        assert_eq!(phase(&world), RotationPhase::Idle, "{from:?}");
    }
}

#[test]
fn a_process_that_begins_does_not_sign_before_the_roles_of_its_own_can_be_there() {
    let world = World::new();
    start(&world);
    let world = world.restart_now();
    let local = Place { role: Role::Proxy, name: Label::parse("local").unwrap(), group: None, domains: None };
    pass(&world, &[], 3);
    assert_eq!(phase(&world), RotationPhase::Published);
    let line = world.control.hub.peers.connect(&local, true, None, world.clock.now()).unwrap();
    let local = Peer { name: (Role::Proxy, local.name), line: Some(line) };
    pass(&world, &[&local], 60);
    assert_eq!(phase(&world), RotationPhase::Published, "it waits for the roles of this process as for all");
    local.acknowledge(&world);
    pass(&world, &[&local], SETTLED);
    assert_eq!(phase(&world), RotationPhase::Signing);
}

#[test]
fn what_cannot_be_signed_for_peers_is_not_taken_for_acknowledged() {
    let (world, edge, vm) = world();
    world.told.dumb.store(true, Ordering::Relaxed);
    let began = start(&world);
    let why = "control: peers cannot be told of the next key: nothing can be signed: the issuer is unavailable: the key is away";
    assert_eq!(began.waiting_for, [why]);
    assert_eq!(began.reach.unwrap().in_force, 0);
    // what they confirm is what was told before
    [&edge, &vm].into_iter().for_each(|peer| peer.acknowledge(&world));
    pass(&world, &[&edge, &vm], 60);
    assert_eq!(phase(&world), RotationPhase::Published);
    world.told.dumb.store(false, Ordering::Relaxed);
    pass(&world, &[&edge, &vm], 1);
    assert_eq!(shown(&world).waiting_for.len(), 2, "they have not confirmed what is told now");
}

#[test]
fn what_cannot_be_recorded_is_not_done() {
    // two segments: one for each lane, and no other
    let world = World::on(crate::fixture::Folder::Own(tempfile::tempdir().unwrap()), 2 * 64 * 1024);
    start(&world);
    let tried = world.told.keys.tried.lock().unwrap().len();
    while world.control.parts.ledger.administration(&facts("x")).is_ok() {}
    pass(&world, &[], 60);
    let waits = shown(&world);
    assert_eq!(waits.phase, RotationPhase::Acknowledged, "it would go on");
    assert!(waits.waiting_for[0].starts_with("the decision log does not take the record: "), "{waits:?}");
    let (severity, message) = doctor(&world).remove(0);
    assert!(severity == Severity::Problem && message.contains("the next step fails: the decision log"), "{message}");
    let failure = ask(&world, RotationAct::Emergency).unwrap_err();
    assert_eq!(failure.code, FailureCode::Unavailable, "{failure:?}");
    assert_eq!(world.told.keys.tried.lock().unwrap().len(), tried, "nothing was asked of the issuer");
}

fn facts(why: &str) -> Administration<'_> {
    Administration {
        act: "rotate",
        outcome: Outcome::Allow,
        operator: "",
        subject: "",
        why,
        note: "",
        revision: None,
        until: None,
    }
}
