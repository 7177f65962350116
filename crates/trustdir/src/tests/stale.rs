//! `when_stale` and `signals_stale`: what holds, what bounds it, what is listed.

use std::sync::Arc;

use types::Label;

use super::directory::{good, told};
use crate::*;

fn directory(organisation: &str, finance: &str) -> MemoryFiles {
    let mut files = good();
    files.insert("countersign.yaml", format!("organisation: acme.internal\n{organisation}\n"));
    let path = "domains/finance/domain.yaml";
    let domain = String::from_utf8(files.read(path).expect(path)).expect("text");
    files.insert(path, format!("{domain}{finance}\n"));
    files
}

fn of_finance(files: &impl Files) -> (Arc<Revision>, String) {
    let revision = load(files).revision.expect("no errors, so a revision");
    let domain = &revision.domains()[&Label::parse("finance").expect("label")];
    let words = format!("{}, {}", domain.when_stale, domain.signals_stale);
    (revision, words)
}

#[test]
fn the_nearest_setting_wins_key_by_key() {
    for (organisation, finance, want) in [
        ("", "", "deny after 15m, deny after 5m"),
        ("", "when_stale: { after: 1h, then: serve }", "serve after 1h, deny after 5m"),
        ("", "signals_stale: { then: serve }", "deny after 15m, serve after 5m"),
        ("", "signals_stale: { after: 30s }", "deny after 15m, deny after 30s"),
        ("defaults: { when_stale: { after: 1h, then: serve } }", "", "serve after 1h, deny after 5m"),
        (
            "defaults: { when_stale: { after: 1h, then: serve } }",
            "when_stale: { after: 2m }",
            "serve after 2m, deny after 5m",
        ),
        (
            "defaults: { when_stale: { after: 1h, then: serve } }",
            "when_stale: { then: deny }",
            "deny after 1h, deny after 5m",
        ),
        // what nobody says is never weaker than the floor
        ("floor: { when_stale: { after: 1m }, signals_stale: { after: 10s } }", "", "deny after 1m, deny after 10s"),
        (
            "floor: { signals_stale: { after: 1h, then: serve } }",
            "signals_stale: { after: 1h, then: serve }",
            "deny after 15m, serve after 1h",
        ),
    ] {
        assert_eq!(of_finance(&directory(organisation, finance)).1, want, "{organisation} {finance}");
    }
}

#[test]
fn what_serves_while_control_is_silent_is_listed() {
    let relaxed = |finance: &str| {
        let (revision, _) = of_finance(&directory("", finance));
        revision.relaxed(&Label::parse("finance").expect("label"))
    };
    assert_eq!(relaxed("when_stale: { after: 1d, then: deny }"), [""; 0]);
    assert_eq!(relaxed("when_stale: { then: serve }"), ["when_stale: serve after 15m"]);
    assert_eq!(
        relaxed("mode: shadow\nmodes: { permit: enforce }\nsignals_stale: { after: 30s, then: serve }")
            .last()
            .expect("some"),
        "signals_stale: serve after 30s"
    );
}

#[test]
fn slips_are_told() {
    let weaker = |name: &str, asked: &str, usual: &str, place: &str| {
        format!(
            "settings.weaker [{place}] `{name}` of {asked} is weaker than the organisation's {usual} | while control is silent, what was taken away may still be there for as long"
        )
    };
    let below = |name: &str, asked: &str, floor: &str, place: &str| {
        format!(
            "settings.below-floor [{place}] `{name}` of {asked} is weaker than the floor of {floor} | at most {floor}; the floor stands in countersign.yaml"
        )
    };
    for (organisation, finance, want) in [
        ("", "when_stale: { after: 15m, then: deny }", vec![]),
        ("", "when_stale: { after: 16m }", vec![weaker("when_stale.after", "16m", "15m", "16m")]),
        ("", "signals_stale: { then: serve }", vec![weaker("signals_stale.then", "`serve`", "`deny`", "serve")]),
        ("defaults: { signals_stale: { then: serve } }", "signals_stale: { then: serve }", vec![weaker("signals_stale.then", "`serve`", "`deny`", "serve")]),
        ("floor: { when_stale: { after: 1h } }", "when_stale: { after: 2h }", vec![below("when_stale.after", "2h", "1h", "2h")]),
        ("floor: { when_stale: { after: 1h } }", "when_stale: { then: serve }", vec![below("when_stale.then", "`serve`", "`deny`", "serve")]),
        ("floor: { when_stale: { then: deny } }", "when_stale: { after: 3d, then: serve }", vec![
            weaker("when_stale.after", "3d", "15m", "3d"),
            below("when_stale.then", "`serve`", "`deny`", "serve"),
        ]),
        ("floor: { when_stale: { after: 1m } }\ndefaults: { when_stale: { after: 2m } }", "", vec![below("when_stale.after", "2m", "1m", "2m")]),
        ("", "when_stale: { after: 1s }", vec!["value.bad [1s] `when_stale` after 1s is too soon | at least 2s: control is heard once a second".to_owned()]),
        ("", "signals_stale: { after: never, then: open }", vec![
            "value.bad [never] `never` is not a duration | a duration is a whole number with `ms`, `s`, `m`, `h` or `d`, such as `15m`".to_owned(),
            "value.unknown [open] unknown value `open` | the values are `deny` and `serve`".to_owned(),
        ]),
        ("", "signals_stale: 30s", vec!["yaml.type [30s] expected the keys of `signals_stale`, found the text `30s` | -".to_owned()]),
        ("", "when_stale: { afer: 1m }", vec!["yaml.unknown-key [afer] unknown key `afer` | did you mean `after`?".to_owned()]),
        // a floor that cannot be read in full is held against nobody
        ("floor: { when_stale: { after: 1h, then: open } }", "when_stale: { then: serve }", vec![
            "value.unknown [open] unknown value `open` | the values are `deny` and `serve`".to_owned(),
        ]),
    ] {
        assert_eq!(told(&directory(organisation, finance)), want, "{organisation} {finance}");
    }
}
