//! What the listing says of each state.

use api::admin::{PeerLoad, PeerLog};

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_795_425_300);

fn at(seconds_ago: u64) -> Option<Timestamp> {
    Some(Timestamp::from_seconds(NOW.seconds() - seconds_ago))
}

fn proxy(name: &str) -> Peer {
    Peer {
        role: Role::Proxy,
        name: name.into(),
        address: "10.0.0.4:51234".into(),
        version: "0.1.0".into(),
        joined: at(86_400).unwrap(),
        connected: true,
        since: at(60),
        heard: at(0),
        domains: Some(vec!["finance".into(), "hr".into()]),
        groups: None,
        publication: Some(12),
        revision: "3f9c21e".repeat(9),
        revision_since: at(60),
        publications_behind: 0,
        epoch: Some(4_211),
        epochs_behind: 0,
        problem: String::new(),
        clock_ahead_millis: 3,
        revoked: false,
        load: Some(PeerLoad::default()),
        log: Some(PeerLog::default()),
    }
}

fn agent(name: &str) -> Peer {
    let groups = Some(vec![name.to_owned()]);
    Peer {
        role: Role::Agent,
        domains: None,
        groups,
        publication: None,
        revision: String::new(),
        revision_since: None,
        epoch: None,
        load: None,
        log: None,
        ..proxy(name)
    }
}

fn shown(peers: &[Peer]) -> String {
    let mut out = Vec::new();
    show(&mut out, Palette::plain(), &Times::utc(), NOW, peers).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn each_state_has_a_word_and_what_is_wrong_a_sentence() {
    let away = Peer { connected: false, address: String::new(), since: at(1_200), heard: at(1_200), ..proxy("edge-2") };
    let behind = Peer {
        publication: Some(11),
        publications_behind: 1,
        epochs_behind: 2,
        domains: None,
        clock_ahead_millis: -3_600_000,
        ..proxy("edge-3")
    };
    let refuses =
        Peer { problem: "it refuses publication 12: the files do not compile there".into(), ..behind.clone() };
    let refuses = Peer { name: "edge-4".into(), epochs_behind: 0, clock_ahead_millis: 0, ..refuses };
    let gap = PeerLog { gaps: vec!["12 records of lane 3 are missing".into()], ..PeerLog::default() };
    let revoked = Peer { revoked: true, connected: false, address: String::new(), log: Some(gap), ..proxy("edge-5") };
    let new = Peer {
        connected: false,
        since: None,
        heard: None,
        publication: None,
        address: String::new(),
        revision_since: None,
        epoch: None,
        ..proxy("edge-6")
    };
    let peers = [proxy("edge-1"), away, behind, refuses, revoked, new, agent("vm-pay")];
    insta::assert_snapshot!(shown(&peers), @r"
    1 of 6 enforcers run what is current; 1 of 1 agent connected

    in force     proxy/edge-1  since 09:14  publication 12  3f9c21e since 09:14  epoch 4,211  finance, hr  10.0.0.4:51234
    away         proxy/edge-2  since 08:55  publication 12  3f9c21e since 09:14  epoch 4,211  finance, hr
                   last heard 2026-11-23 08:55:00 UTC
    behind       proxy/edge-3  since 09:14  publication 11  3f9c21e since 09:14  epoch 4,211  all domains  10.0.0.4:51234
                   1 publication and 2 epochs of signals behind
                   its clock is 3600 s behind control's
    refuses      proxy/edge-4  since 09:14  publication 11  3f9c21e since 09:14  epoch 4,211  all domains  10.0.0.4:51234
                   it refuses publication 12: the files do not compile there
                   1 publication behind
    revoked      proxy/edge-5  since 09:14  publication 12  3f9c21e since 09:14  epoch 4,211  finance, hr
                   last heard 2026-11-23 09:15:00 UTC
                   its log: 12 records of lane 3 are missing
    never heard  proxy/edge-6                                                                 finance, hr
                   it joined 2026-11-22 09:15:00 UTC and never came back
    connected    agent/vm-pay  since 09:14                                                    vm-pay       10.0.0.4:51234
    ");
}

#[test]
fn the_first_line_answers() {
    let first = |peers: &[Peer]| shown(peers).lines().next().unwrap().to_owned();
    assert_eq!(first(&[]), "nobody joined yet; `countersign join-token --proxy NAME` lets one join");
    assert_eq!(first(&[proxy("a")]), "the one enforcer runs what is current");
    assert_eq!(
        first(&[proxy("a"), proxy("b"), agent("c")]),
        "all 2 enforcers run what is current; 1 of 1 agent connected"
    );
    let revoked = Peer { revoked: true, ..proxy("b") };
    assert_eq!(first(&[proxy("a"), revoked]), "1 of 2 enforcers run what is current");
    assert_eq!(first(&[agent("c")]), "no enforcer joined; 1 of 1 agent connected");
    let none = Peer { publication: None, ..proxy("a") };
    assert_eq!(State::of(&none), State::Behind, "connected, and nothing runs yet");
}

#[test]
fn names_from_elsewhere_do_not_steer_the_terminal() {
    let hostile = Peer { problem: "a\u{1b}[2Jb".into(), address: "\u{202e}".into(), ..proxy("edge-1") };
    assert!(!shown(&[hostile]).contains(['\u{1b}', '\u{202e}']));
}
