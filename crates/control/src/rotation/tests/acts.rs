//! What operators do: back at each phase, emergencies, odd questions.

use super::*;

fn failure(world: &World, act: RotationAct) -> (FailureCode, String) {
    let failure = ask(world, act).unwrap_err();
    (failure.code, failure.message)
}

/// A world whose rotation signs.
fn signing() -> World {
    let world = World::new();
    start(&world);
    pass(&world, &[], SETTLED);
    assert_eq!(phase(&world), RotationPhase::Signing);
    world
}

#[test]
fn without_a_rotation_there_is_nothing_to_take_back() {
    let world = World::new();
    let (code, message) = failure(&world, RotationAct::Back);
    assert_eq!((code, message.as_str()), (FailureCode::Conflict, "no rotation of the root of shop is under way"));
}

#[test]
fn back_from_published_holds_the_key_aside_and_back_again_forgets_it() {
    let world = World::new();
    let began = start(&world);
    let back = ask(&world, RotationAct::Back).unwrap();
    assert_eq!((back.phase, back.held, &back.other), (RotationPhase::Prepared, true, &began.other));
    assert_eq!(back.waiting_for, ["an operator: it was taken back a step"]);
    hours(&world, &[], 100);
    assert_eq!(phase(&world), RotationPhase::Prepared, "it does not go on by itself");
    assert!(doctor(&world)[0].1.contains("it is held since"), "{:?}", doctor(&world));
    let back = ask(&world, RotationAct::Back).unwrap();
    assert_eq!((back.phase, back.held, back.other.as_str()), (RotationPhase::Idle, false, ""));
    assert_ne!(start(&world).other, began.other, "another key");
}

#[test]
fn what_is_held_goes_on_when_it_is_started_again() {
    let world = World::new();
    let began = start(&world);
    ask(&world, RotationAct::Back).unwrap();
    let again = start(&world);
    assert_eq!((again.phase, again.held, again.other), (RotationPhase::Published, false, began.other));
    pass(&world, &[], SETTLED);
    assert_eq!(phase(&world), RotationPhase::Signing);
}

#[test]
fn back_from_signing_lets_the_old_key_sign_and_drops_nothing_that_the_new_one_signed() {
    let world = signing();
    let signing = shown(&world);
    let back = ask(&world, RotationAct::Back).unwrap();
    assert_eq!((back.phase, back.held), (RotationPhase::Published, true));
    assert_eq!((&back.current, &back.other), (&signing.other, &signing.current), "the old one signs again");
    let (code, message) = failure(&world, RotationAct::Back);
    let ends = moment(world.clock.now().plus_seconds(LIFE), world.clock.now());
    assert_eq!((code, message), (FailureCode::Conflict, format!("what the next root has signed is good until {ends}")));
    hours(&world, &[], 1);
    assert_eq!(phase(&world), RotationPhase::Acknowledged, "it stays where it was put");
    world.clock.advance(1);
    let back = ask(&world, RotationAct::Back).unwrap();
    assert_eq!((back.phase, back.held), (RotationPhase::Prepared, true));
    ask(&world, RotationAct::Back).unwrap();
    assert_eq!(shown(&world).current, signing.other);
    assert_eq!(phase(&world), RotationPhase::Idle);
}

#[test]
fn back_survives_a_restart() {
    let world = signing();
    let back = ask(&world, RotationAct::Back).unwrap();
    let world = world.restart_now();
    hours(&world, &[], 48);
    let stands = shown(&world);
    assert_eq!((stands.phase, stands.held, stands.current), (RotationPhase::Acknowledged, true, back.current));
}

#[test]
fn starting_what_is_under_way_changes_nothing() {
    let world = World::new();
    let mut edge = joined(&world, Role::Proxy, "edge");
    edge.connect(&world);
    let began = start(&world);
    let again = start(&world);
    assert_eq!((again.phase, &again.other, again.since), (began.phase, &began.other, began.since));
    assert_eq!(recorded(&world).len(), 2, "{:?}", recorded(&world));
}

#[test]
fn operators_who_start_at_the_same_moment_start_one_rotation() {
    let world = World::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| start(&world));
            scope.spawn(|| world.control.take_rotations_on());
        }
    });
    assert_eq!(
        *world.told.keys.tried.lock().unwrap(),
        [(Keys::X509, KeyStep::Prepare), (Keys::X509, KeyStep::Publish)]
    );
    assert_eq!(recorded(&world).len(), 2, "{:?}", recorded(&world));
}

#[test]
fn an_emergency_takes_the_old_key_out_at_once_at_each_phase() {
    for seconds in [None, Some(0), Some(SETTLED)] {
        let world = World::new();
        if let Some(seconds) = seconds {
            start(&world);
            pass(&world, &[], seconds);
        }
        let before = shown(&world);
        let roots = world.control.parts.issuance.bundles().roots;
        let after = ask(&world, RotationAct::Emergency).unwrap();
        assert_eq!((after.phase, after.other.as_str()), (RotationPhase::Idle, ""), "{:?}", before.phase);
        assert!(![&before.current, &before.other].contains(&&after.current), "{before:?} {after:?}");
        let now = world.control.parts.issuance.bundles().roots;
        assert!(
            now.values().flatten().all(|root| !roots.values().flatten().any(|old| old == root)),
            "{:?}",
            before.phase
        );
        let last = recorded(&world).pop().unwrap();
        assert!(last.contains("by local: a test | root: a new one signs at once"), "{last}");
    }
}

#[test]
fn an_emergency_goes_out_before_anybody_is_asked() {
    let world = World::new();
    let mut edge = joined(&world, Role::Proxy, "edge");
    edge.connect(&world);
    edge.acknowledge(&world);
    let after = ask(&world, RotationAct::Emergency).unwrap();
    let reach = after.reach.unwrap();
    assert_eq!((reach.in_force, reach.enforcers), (0, 1));
    assert_eq!(reach.waiting, ["proxy/edge: it has not confirmed the bundle yet"]);
}

#[test]
fn an_emergency_needs_words() {
    let world = World::new();
    let act = RotationAct::Emergency;
    let request = Rotate { domain: "shop".into(), keys: Keys::X509, act, reason: " ".into() };
    let failure = world.admin().rotate("local", &request).unwrap_err();
    assert_eq!((failure.code, failure.message.as_str()), (FailureCode::BadRequest, "an emergency needs a reason"));
    assert!(recorded(&world).is_empty() && world.told.keys.tried.lock().unwrap().is_empty());
}

#[test]
fn only_domains_that_there_are_rotate() {
    let world = World::new();
    let ask = |domain: &str| {
        let act = RotationAct::Start;
        let request = Rotate { domain: domain.into(), keys: Keys::X509, act, reason: String::new() };
        let failure = world.admin().rotate("local", &request).unwrap_err();
        (failure.code, failure.message, failure.hint)
    };
    assert_eq!(
        ask("finances").2,
        "without a domain it lists the keys of all of them: countersign identity rotate-root"
    );
    let (code, message, hint) = ask("shoq");
    assert_eq!(
        (code, message.as_str(), hint.as_str()),
        (FailureCode::NotFound, "there is no domain `shoq`", "did you mean `shop`?")
    );
    let (code, message, _) = ask("system");
    assert_eq!(code, FailureCode::BadRequest);
    assert!(message.starts_with("the root of `system` is not rotated"), "{message}");
    assert!(ask(&"x".repeat(10_000)).1.len() < 200);
}

#[test]
fn a_viewer_is_refused_before_anything_is_said_about_what_there_is() {
    let world = World::owned();
    for (operator, domain) in [("vera", "shop"), ("vera", "none"), ("olaf", "shop"), ("alice", "shop")] {
        let act = RotationAct::Start;
        let request = Rotate { domain: domain.into(), keys: Keys::X509, act, reason: String::new() };
        let failure = world.admin().rotate(operator, &request).unwrap_err();
        assert_eq!(failure.code, FailureCode::NotAllowed, "{operator} {domain}");
        assert!(recorded(&world).pop().unwrap().starts_with(&format!("deny domain:{domain} by {operator}")));
    }
    let request = Rotate { domain: "shop".into(), keys: Keys::X509, act: RotationAct::Start, reason: String::new() };
    assert_eq!(world.admin().rotate("sally", &request).unwrap().phase, RotationPhase::Published);
}
