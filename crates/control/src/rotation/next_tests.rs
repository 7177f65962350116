use api::admin::Keys;
use types::{KeyKind, Label};

use super::*;

const NOW: u64 = 1_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn state(phase: RotationPhase) -> KeyState {
    KeyState {
        domain: Label::parse("shop").unwrap(),
        keys: Keys::X509,
        phase,
        since: Some(at(NOW)),
        held: false,
        current: "a".into(),
        other: "b".into(),
        key: KeyKind::P256,
        old_ends: (phase == RotationPhase::Signing).then(|| at(NOW + 3_600)),
        not_after: None,
    }
}

fn sight(now: u64, awaited: &Awaited) -> Sight<'_> {
    Sight {
        now: at(now),
        started: at(0),
        untold: None,
        awaited,
        taken_since: Some(at(0)),
        refresh_hint: None,
        longest_life: Duration::from_secs(86_400),
    }
}

fn laggards() -> Awaited {
    Awaited { waiting: vec!["proxy/edge: it has not confirmed the bundle yet".into()], given_up: Vec::new() }
}

#[test]
fn nothing_is_done_without_a_rotation_or_while_it_is_held() {
    let nobody = Awaited::default();
    assert_eq!(next(&state(RotationPhase::Idle), &sight(NOW * 2, &nobody)), Next::Rest);
    for phase in [RotationPhase::Prepared, RotationPhase::Published, RotationPhase::Signing] {
        let held = KeyState { held: true, ..state(phase) };
        assert_eq!(next(&held, &sight(NOW * 2, &nobody)), Next::Rest, "{phase:?}");
    }
}

#[test]
fn what_is_prepared_is_published_at_once_whoever_is_away() {
    assert_eq!(next(&state(RotationPhase::Prepared), &sight(NOW, &laggards())), Next::Step(KeyStep::Publish));
}

#[test]
fn the_next_key_signs_when_everybody_has_it_and_not_before() {
    let (state, nobody, somebody) = (state(RotationPhase::Published), Awaited::default(), laggards());
    assert_eq!(next(&state, &sight(NOW * 2, &somebody)), Next::Wait(somebody.waiting.clone()));
    assert!(!is_acknowledged(&state, &sight(NOW * 2, &somebody)));
    let Next::Wait(early) = next(&state, &sight(NOW + 4, &nobody)) else { panic!("too early") };
    assert!(early[0].starts_with("workloads: "), "{early:?}");
    assert_eq!(next(&state, &sight(NOW + 5, &nobody)), Next::Step(KeyStep::Sign));
    assert!(is_acknowledged(&state, &sight(NOW + 5, &nobody)));
}

#[test]
fn workloads_of_the_last_one_to_take_it_have_as_long_as_those_of_the_first() {
    let (state, nobody) = (state(RotationPhase::Published), Awaited::default());
    let taken = |since: Option<u64>, now| Sight { taken_since: since.map(at), ..sight(now, &nobody) };
    let late = NOW + 3_000;
    let Next::Wait(early) = next(&state, &taken(Some(late), late + 4)) else { panic!("too early") };
    assert_eq!(early, ["workloads: they take the bundle from their agents until 14:36:45 UTC"]);
    assert!(!is_acknowledged(&state, &taken(Some(late), late + 4)));
    assert_eq!(next(&state, &taken(Some(late), late + 5)), Next::Step(KeyStep::Sign));
    assert!(matches!(next(&state, &taken(None, late)), Next::Wait(_)), "nobody looked yet");
}

#[test]
fn a_process_that_just_began_does_not_know_yet_who_is_there() {
    let nobody = Awaited::default();
    let began = Sight { started: at(NOW * 2), ..sight(NOW * 2 + 4, &nobody) };
    assert!(matches!(next(&state(RotationPhase::Published), &began), Next::Wait(_)));
    let began = Sight { started: at(NOW * 2), ..sight(NOW * 2 + 5, &nobody) };
    assert_eq!(next(&state(RotationPhase::Published), &began), Next::Step(KeyStep::Sign));
}

#[test]
fn what_could_not_be_told_is_acknowledged_by_nobody() {
    let nobody = Awaited::default();
    let untold = Sight { untold: Some("nothing can be signed"), ..sight(NOW * 2, &nobody) };
    let Next::Wait(reasons) = next(&state(RotationPhase::Published), &untold) else { panic!("it goes on") };
    assert_eq!(reasons, ["control: peers cannot be told of the next key: nothing can be signed"]);
    assert!(!is_acknowledged(&state(RotationPhase::Published), &untold));
}

#[test]
fn those_who_fetch_the_bundle_have_three_refresh_hints() {
    let (state, nobody) = (state(RotationPhase::Published), Awaited::default());
    let hint = |now| Sight { refresh_hint: Some(Duration::from_secs(300)), ..sight(now, &nobody) };
    let Next::Wait(reasons) = next(&state, &hint(NOW + 899)) else { panic!("too early") };
    assert!(reasons[0].starts_with("whoever fetches the bundle from us"), "{reasons:?}");
    assert!(is_acknowledged(&state, &hint(NOW + 899)), "everybody of ours has it");
    assert_eq!(next(&state, &hint(NOW + 900)), Next::Step(KeyStep::Sign));
}

#[test]
fn the_old_key_goes_when_nothing_that_it_signed_is_good_whoever_is_behind() {
    let (state, somebody) = (state(RotationPhase::Signing), laggards());
    assert_eq!(next(&state, &sight(NOW + 3_600, &somebody)), Next::Wait(Vec::new()), "good in its last moment");
    assert_eq!(next(&state, &sight(NOW + 3_601, &somebody)), Next::Step(KeyStep::Retire));
    let unknown = KeyState { old_ends: None, ..state };
    assert_eq!(next(&unknown, &sight(NOW + 86_400, &somebody)), Next::Wait(Vec::new()));
    assert_eq!(next(&unknown, &sight(NOW + 86_401, &somebody)), Next::Step(KeyStep::Retire));
    assert_eq!(retires_at(&unknown, Duration::from_secs(86_400)), Some(at(NOW + 86_400)));
}

#[test]
fn a_clock_that_went_back_waits() {
    let nobody = Awaited::default();
    for phase in [RotationPhase::Published, RotationPhase::Signing] {
        assert!(matches!(next(&state(phase), &sight(NOW - 7_200, &nobody)), Next::Wait(_)), "{phase:?}");
    }
}
