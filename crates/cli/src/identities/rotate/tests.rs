use types::KeyKind;

use super::*;

fn rotation(phase: RotationPhase) -> Rotation {
    let at = Timestamp::from_seconds(1_795_425_242);
    Rotation {
        domain: "finance".into(),
        keys: Keys::X509,
        phase,
        since: Some(at),
        held: false,
        current: "9f86d081884c7d659f86d081".into(),
        other: "03ac674216f3e15c03ac6742".into(),
        key: KeyKind::P256,
        waiting_for: Vec::new(),
        given_up: Vec::new(),
        retires_at: None,
        not_after: Some(at.plus_seconds(86_400 * 30)),
        reach: None,
    }
}

fn screen() -> Screen {
    Screen { palette: Palette::plain(), times: Times::utc(), json: false }
}

fn told(show: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    show(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn each_step_says_which_key_signs_and_names_whom_it_waits_for() {
    let published = Rotation {
        waiting_for: vec!["proxy/edge-3\u{1b}[2J, not connected since 09:09".into()],
        given_up: vec!["proxy/edge-9, not heard for 8 days".into()],
        ..rotation(RotationPhase::Published)
    };
    assert_eq!(
        told(|out| screen().step(out, &published)),
        "\
09:14:02  published     the root of finance: 03ac674216f3e15c is in the bundle; 9f86d081884c7d65 signs
  the root of finance waits for
     proxy/edge-3\u{fffd}[2J, not connected since 09:09
  the root of finance does not wait for
     proxy/edge-9, not heard for 8 days
"
    );
    let signing = Rotation { keys: Keys::Jwt, ..rotation(RotationPhase::Signing) };
    assert!(told(|out| screen().step(out, &signing)).contains("the JWT key of finance: 9f86d081884c7d65 signs"));
}

#[test]
fn laggards_beyond_a_dozen_are_counted() {
    let waiting_for = (0..20).map(|at| format!("proxy/edge-{at}")).collect();
    let many = Rotation { waiting_for, ..rotation(RotationPhase::Published) };
    let said = told(|out| screen().step(out, &many));
    assert!(said.ends_with("     proxy/edge-11\n     and 8 more; `countersign fleet` has all\n"), "{said}");
}

#[test]
fn it_is_waited_for_until_the_new_key_signs_or_somebody_takes_it_back() {
    for phase in [RotationPhase::Prepared, RotationPhase::Published, RotationPhase::Acknowledged] {
        assert!(is_waited_for(&rotation(phase)), "{phase:?}");
        assert!(!is_waited_for(&Rotation { held: true, ..rotation(phase) }), "{phase:?}");
    }
    assert!(!is_waited_for(&rotation(RotationPhase::Signing)));
    assert!(!is_waited_for(&rotation(RotationPhase::Idle)));
}

#[test]
fn only_what_changed_is_said_again() {
    let then = rotation(RotationPhase::Published);
    assert!(!differs(&then, &then.clone()));
    assert!(differs(&then, &rotation(RotationPhase::Acknowledged)));
    assert!(differs(&then, &Rotation { waiting_for: vec!["a".into()], ..then.clone() }));
    assert!(differs(&then, &Rotation { held: true, ..then.clone() }));
    assert!(differs(&then, &Rotation { given_up: vec!["a".into()], ..then.clone() }));
}

#[test]
fn the_end_says_what_comes_next() {
    let end = |rotation: &Rotation, act| told(|out| screen().end(out, rotation, act));
    let goes_on = end(&rotation(RotationPhase::Published), RotationAct::Start);
    assert!(goes_on.contains("`countersign identity rotate-root finance --back`"), "{goes_on}");
    let held = Rotation { held: true, keys: Keys::Jwt, ..rotation(RotationPhase::Prepared) };
    let back = end(&held, RotationAct::Back);
    assert!(back.contains("`countersign identity rotate-root finance --jwt` lets it go on"), "{back}");
    let at = Timestamp::from_seconds(1_795_428_842);
    let signing = Rotation { retires_at: Some(at), ..rotation(RotationPhase::Signing) };
    assert!(end(&signing, RotationAct::Start).contains(", at 2026-11-23 10:14:02 UTC\n"));
    assert!(end(&rotation(RotationPhase::Idle), RotationAct::Emergency).contains("good no more"));
}

#[test]
fn the_keys_of_every_domain_are_listed() {
    let now = Timestamp::from_seconds(1_795_425_242);
    let rest = Rotation { domain: "hr".into(), since: None, ..rotation(RotationPhase::Idle) };
    let back = Rotation { held: true, keys: Keys::Jwt, not_after: None, ..rotation(RotationPhase::Prepared) };
    assert_eq!(
        told(|out| screen().list(out, &[rotation(RotationPhase::Signing), rest, back], now)),
        "\
finance  root     signing                 since 09:14  9f86d081884c7d65  p256  ends in 30 days
hr       root     at rest                              9f86d081884c7d65  p256  ends in 30 days
finance  JWT key  taken back to prepared  since 09:14  9f86d081884c7d65  p256
"
    );
    assert!(told(|out| screen().list(out, &[], now)).contains("countersign publish DIR"));
}
