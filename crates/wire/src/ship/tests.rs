//! What one stream does with what it is told; the sockets and processes are tested where both ends are (`control`).

use std::collections::BTreeMap;

use api::wire::Refused;
use proptest::prelude::*;

use super::*;

fn state(name: &str, bytes: u64, finished: bool) -> SegmentState {
    SegmentState { name: name.to_owned(), bytes, finished }
}

fn received(states: &[SegmentState]) -> Received {
    let segment =
        |state: &SegmentState| Segment { name: state.name.clone(), bytes: state.bytes, finished: state.finished };
    Received { segments: states.iter().map(segment).collect(), ..Received::default() }
}

fn pieces(session: &mut Session) -> Vec<(String, u64, u64, bool)> {
    let next = || session.next().map(|next| (next.name, next.offset, next.bytes as u64, next.finished));
    std::iter::from_fn(next).collect()
}

const PIECE: u64 = limits::WIRE_PIECE_BYTES.default;

#[test]
fn nothing_goes_before_control_said_what_it_has_and_then_only_the_rest() {
    let found = [state("a", 100, true), state("b", 200_000, true), state("c", 70, false)];
    let mut session = Session::default();
    session.begin(&found);
    session.look(&found);
    assert_eq!(pieces(&mut session), []);
    assert!(session.is_waiting());
    // one that is new does not overtake those of its lane
    session.look(&[&found[..], &[state("d", 1, false)]].concat());
    session.take(&received(&[state("a", 100, true)]));
    assert_eq!(pieces(&mut session), []);
    session.take(&received(&[state("a", 100, true), state("b", 131_000, false), state("c", 0, false)]));
    session.look(&found);
    assert_eq!(session.unshipped(&found), 69_070);
    let expected =
        [("b", 131_000, PIECE, false), ("b", 131_000 + PIECE, 200_000 - 131_000 - PIECE, true), ("c", 0, 70, false)];
    assert_eq!(pieces(&mut session), expected.map(|(name, offset, bytes, end)| (name.to_owned(), offset, bytes, end)));
    assert_eq!(session.kept(&found), [state("a", 100, true)], "what is not acknowledged is not kept");
    session.take(&received(&[state("b", 200_000, true), state("c", 70, false)]));
    assert!(!session.is_waiting());
    assert_eq!(session.kept(&found).len(), 2);
    // what is new since then needs no question, and an end may come without bytes
    let found = [state("c", 70, true), state("d", 5, false)];
    session.look(&found);
    assert_eq!(pieces(&mut session), [("c".to_owned(), 70, 0, true), ("d".to_owned(), 0, 5, false)]);
    assert!(session.is_waiting());
}

#[test]
fn no_more_is_on_its_way_than_the_window() {
    let most = limits::SHIP_WINDOW_BYTES.default;
    let found = [state("a", 3 * most, true)];
    let mut session = Session::default();
    session.look(&found);
    let sent: u64 = pieces(&mut session).iter().map(|piece| piece.2).sum();
    assert_eq!(sent, most);
    session.take(&received(&[state("a", PIECE, false)]));
    assert_eq!(pieces(&mut session), [("a".to_owned(), most, PIECE, false)]);
    session.look(&found);
    assert_eq!(pieces(&mut session), [], "looking again makes no room");
}

#[test]
fn what_control_refuses_or_has_more_of_stays_here_and_is_told() {
    let found = [state("a", 100, true), state("b", 100, true)];
    let mut session = Session::default();
    session.begin(&found);
    let refused = vec![Refused { name: "a".to_owned(), why: "byte 7 is another".to_owned() }];
    session.take(&Received { refused, ..received(&[state("b", 150, true)]) });
    session.look(&found);
    assert_eq!(pieces(&mut session), []);
    assert_eq!(session.kept(&found), [], "neither is released");
    assert!(!session.is_waiting());
    let trouble = session.trouble().unwrap();
    assert_eq!(trouble, "control refuses `a` of the decision log: byte 7 is another (and 1 more)");
}

proptest! {
    /// Whatever is lost on the way and however often it begins again: control ends with everything, each byte in its
    /// place, and gets no byte that it has acknowledged.
    #[test]
    fn after_any_cuts_control_has_everything(
        sizes in proptest::collection::vec(1_u64..400_000, 1..6),
        taken in proptest::collection::vec(0_usize..9, 1..12),
    ) {
        let found: Vec<_> = sizes.iter().enumerate().map(|(at, bytes)| state(&format!("s{at}"), *bytes, true)).collect();
        let mut held: BTreeMap<String, (u64, bool)> = BTreeMap::new();
        let answer = |held: &BTreeMap<String, (u64, bool)>| {
            let held = |state: &SegmentState| held.get(&state.name).copied().unwrap_or_default();
            received(&found.iter().map(|one| state(&one.name, held(one).0, held(one).1)).collect::<Vec<_>>())
        };
        for arrive in taken.into_iter().chain([usize::MAX]) {
            let mut session = Session::default();
            session.begin(&found);
            session.take(&answer(&held));
            session.look(&found);
            for (name, offset, bytes, end) in pieces(&mut session).into_iter().take(arrive) {
                let there = held.entry(name).or_default();
                prop_assert_eq!(there.0, offset, "neither again nor ahead");
                *there = (offset + bytes, end);
            }
        }
        for state in &found {
            prop_assert_eq!(held.get(&state.name), Some(&(state.bytes, true)));
        }
    }
}
