//! What peers ship: honest ones, cut ones, hostile ones; and what becomes of it in counts, listings and stories.

use std::time::Instant;

use api::admin::{CountQuery, DecisionQuery, Entry};
use api::wire::{Piece, Segment, Segments as Named, shipped};
use record::{Log, LogConfig, SegmentState, Segments};
use testkit::ManualClock;
use tokio_stream::StreamExt;
use types::{Clock, Timestamp};

use super::*;
use crate::fixture::{Call, NOW, World, made};

const DENIED: Call = Call {
    outcome: types::facts::Outcome::Deny,
    reason: "policy.forbidden",
    determining: &["shop/freeze"],
    ..Call::ALLOWED
};

const MOST: u64 = 64 * 1024 * 1024;

fn label(name: &str) -> Label {
    Label::parse(name).unwrap()
}

fn named(states: &[SegmentState]) -> Shipped {
    let segment =
        |state: &SegmentState| Segment { name: state.name.clone(), bytes: state.bytes, finished: state.finished };
    Shipped { shipped: Some(shipped::Shipped::Have(Named { segments: states.iter().map(segment).collect() })) }
}

fn piece(name: &str, offset: u64, data: &[u8], finished: bool) -> Shipped {
    let piece = Piece { name: name.to_owned(), offset, data: data.to_vec(), finished };
    Shipped { shipped: Some(shipped::Shipped::Piece(piece)) }
}

/// One stream with these messages: all that was answered. Each message waits for its answer.
fn tell(intake: &Arc<Intake>, peer: &str, messages: Vec<Shipped>) -> Vec<Result<Received, Status>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (out, queue) = mpsc::channel(1);
        let mut answers = intake.ship(&label(peer), ReceiverStream::new(queue));
        let mut all = Vec::new();
        for message in messages {
            if out.send(Ok(message)).await.is_err() {
                break;
            }
            let Some(answer) = answers.next().await else { break };
            let ended = answer.is_err();
            all.push(answer);
            if ended {
                break;
            }
        }
        all
    })
}

fn only(intake: &Arc<Intake>, peer: &str, message: Shipped) -> Result<Received, Status> {
    tell(intake, peer, vec![message]).pop().unwrap()
}

/// Another enforcer's log, and what of it was shipped.
pub(super) struct Other {
    pub(super) dir: tempfile::TempDir,
    pub(super) log: Arc<Log>,
    lane: record::Lane,
    segments: Segments,
    clock: Arc<ManualClock>,
}

impl Other {
    pub(super) fn new(name: &str) -> Self {
        Self::on(tempfile::tempdir().unwrap(), name, 64)
    }

    /// With a log of so many segments.
    fn on(dir: tempfile::TempDir, name: &str, segments: u64) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(NOW)));
        let as_clock: Arc<dyn Clock> = clock.clone();
        let config = LogConfig {
            max_bytes: segments * 64 * 1024,
            segment_bytes: 64 * 1024,
            ..LogConfig::new(dir.path().join("log"), label(name))
        };
        let log = Arc::new(Log::open(config, as_clock).unwrap());
        let lane = log.lane("worker-0").unwrap();
        let segments = Segments::new(log.dir());
        Self { dir, log, lane, segments, clock }
    }

    fn restart(self, name: &str) -> Self {
        let Self { dir, log, lane, .. } = self;
        drop((lane, log));
        Self::on(dir, name, 64)
    }

    pub(super) fn decide(&mut self, call: Call, id: u8) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.lane.append(made(call, self.clock.now(), id)).is_err() {
            assert!(Instant::now() < deadline, "no room");
            std::thread::yield_now();
        }
    }

    pub(super) fn states(&mut self) -> Vec<SegmentState> {
        self.segments.look().unwrap()
    }

    /// Everything that is there, in pieces.
    fn pieces(&mut self, size: usize) -> Vec<Shipped> {
        let states = self.states();
        let mut all = vec![named(&states)];
        for state in &states {
            let mut offset = 0;
            while offset < state.bytes {
                let data = self.segments.read(&state.name, offset, size).unwrap();
                let end = offset + data.len() as u64;
                all.push(piece(&state.name, offset, &data, state.finished && end == state.bytes));
                offset = end;
            }
        }
        all
    }
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    let segments = entries.filter(|path| path.extension().is_some_and(|e| e == "seg"));
    segments.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())).collect()
}

fn open() -> (tempfile::TempDir, Arc<Intake>) {
    let dir = tempfile::tempdir().unwrap();
    let intake = Intake::open(dir.path(), MOST).unwrap();
    (dir, intake)
}

#[test]
fn what_is_answered_is_in_the_peers_own_folder_and_sending_it_again_changes_nothing() {
    let (data, intake) = open();
    let mut edge = Other::new("edge-1");
    (0..400).for_each(|_| edge.decide(DENIED, 1));
    let mut edge = edge.restart("edge-1");
    edge.decide(Call::ALLOWED, 2);
    let messages = edge.pieces(9_000);
    let states = edge.states();
    assert!(states.len() > 2 && states.iter().any(|state| !state.finished));

    let answers = tell(&intake, "edge-1", messages.clone());
    let first = answers[0].as_ref().unwrap();
    let told: Vec<&str> = first.segments.iter().map(|segment| segment.name.as_str()).collect();
    assert_eq!(told, states.iter().map(|state| state.name.as_str()).collect::<Vec<_>>(), "each that was named");
    assert!(first.segments.iter().all(|segment| segment.bytes == 0 && !segment.finished));
    let held = data.path().join("enforcers/edge-1/log");
    for state in &states {
        let source = fs::read(edge.log.dir().join(&state.name)).unwrap();
        assert_eq!(files(&held)[&state.name], source[..state.bytes as usize], "{}", state.name);
    }
    let before = files(&held);
    for answer in tell(&intake, "edge-1", messages.clone()).into_iter().chain(tell(
        &intake,
        "edge-1",
        messages.into_iter().rev().collect(),
    )) {
        let answer = answer.unwrap();
        assert!(answer.refused.is_empty() && answer.full.is_empty(), "{answer:?}");
    }
    assert_eq!(files(&held), before);
    // after a restart of control it is still known
    let again = Intake::open(data.path(), MOST).unwrap();
    let answer = only(&again, "edge-1", named(&states)).unwrap();
    let state =
        |segment: Segment| SegmentState { name: segment.name, bytes: segment.bytes, finished: segment.finished };
    assert_eq!(answer.segments.into_iter().map(state).collect::<Vec<_>>(), states);
    assert_eq!(again.kept(&label("edge-1")).1, Vec::<String>::new());
    assert_eq!(again.state().used_bytes, intake.state().used_bytes);
}

#[test]
fn a_hostile_peer_writes_nowhere_else_and_its_lies_stay_its_own() {
    let (data, intake) = open();
    let mut edge = Other::new("edge-1");
    (0..10).for_each(|_| edge.decide(DENIED, 1));
    let state = edge.states().remove(0);
    let good = edge.segments.read(&state.name, 0, 65_536).unwrap();
    tell(&intake, "edge-1", edge.pieces(65_536));

    for wrong in ["../../../control.db", "/etc/passwd", "..", "received", "lock", "", "a/b.seg", "\0.seg"] {
        let answer = only(&intake, "edge-2", piece(wrong, 0, &good, false)).unwrap();
        assert_eq!(answer.refused[0].why, "it is not named like a segment", "{wrong}");
    }
    let broken = [
        piece(&state.name, 0, &[0; 65_537], false),
        piece(&"x".repeat(200), 0, &good, false),
        Shipped { shipped: None },
    ];
    for message in broken {
        assert_eq!(only(&intake, "edge-2", message).unwrap_err().code(), tonic::Code::InvalidArgument);
    }
    let many = vec![SegmentState { name: "x".to_owned(), bytes: 0, finished: false }; 131_073];
    assert_eq!(only(&intake, "edge-2", named(&many)).unwrap_err().code(), tonic::Code::InvalidArgument);
    let answer = only(&intake, "edge-2", piece(&state.name, 0, &[7; 1_000], false)).unwrap();
    assert!(answer.refused[0].why.starts_with("it does not begin as a segment of its name"), "{answer:?}");
    let answer = only(&intake, "edge-2", piece(&state.name, u64::MAX - 1, &[7; 1_000], false)).unwrap();
    assert_eq!(answer.refused[0].why, "it would be larger than a segment can be");
    assert!(files(&data.path().join("enforcers/edge-2/log")).is_empty());

    // the same name from another peer is another log
    let mut other = good.clone();
    other[600] ^= 1;
    let answer = only(&intake, "edge-1", piece(&state.name, 400, &other[400..], false)).unwrap();
    assert_eq!(answer.refused[0].why, "byte 600 is another than the one that was received before");
    assert_eq!(files(&data.path().join("enforcers/edge-1/log"))[&state.name], good[..state.bytes as usize]);
    let folders: Vec<_> = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(folders, ["enforcers"]);
    // a contradiction is told until somebody looks, also after a restart
    for intake in [&intake, &Intake::open(data.path(), MOST).unwrap()] {
        let (_, gaps) = intake.kept(&label("edge-1"));
        assert!(
            matches!(&gaps[..], [gap] if gap.starts_with(&format!("`{}` was refused: byte 600", state.name))),
            "{gaps:?}"
        );
    }
}

#[test]
fn what_the_peer_lost_is_told_and_does_not_hold_up_the_rest() {
    let (_data, intake) = open();
    let mut edge = Other::new("edge-1");
    (0..900).for_each(|_| edge.decide(DENIED, 1));
    let messages = edge.pieces(60_000);
    let states = edge.states();
    let about = |message: &Shipped, name: &str| matches!(&message.shipped, Some(shipped::Shipped::Piece(piece)) if piece.name == name);
    // the first segment came in half when the peer lost it, the third it lost before
    let half = messages.iter().find(|message| about(message, &states[0].name)).cloned().unwrap();
    let Some(shipped::Shipped::Piece(mut half)) = half.shipped else { panic!() };
    half.data.truncate(5_000);
    half.finished = false;
    only(&intake, "edge-1", Shipped { shipped: Some(shipped::Shipped::Piece(half)) }).unwrap();
    // while the peer has it, its end comes first
    let second: Vec<_> = messages.iter().filter(|message| about(message, &states[1].name)).cloned().collect();
    let early = tell(&intake, "edge-1", [vec![named(&states)], second].concat());
    assert!(early[1].as_ref().unwrap().refused[0].why.ends_with("of its lane is not whole yet"), "{early:?}");
    let left: Vec<_> =
        states.iter().enumerate().filter(|(at, _)| ![0, 2].contains(at)).map(|(_, state)| state.clone()).collect();
    let rest = messages.iter().skip(1).filter(|message| left.iter().any(|state| about(message, &state.name)));
    for answer in tell(&intake, "edge-1", [named(&left)].into_iter().chain(rest.cloned()).collect()) {
        let answer = answer.unwrap();
        assert!(answer.refused.is_empty(), "{answer:?}");
    }
    let (_, gaps) = intake.kept(&label("edge-1"));
    assert!(gaps.iter().any(|gap| gap.starts_with("segment 2 of lane worker-0 of start ")), "{gaps:?}");
    assert!(gaps.iter().any(|gap| gap.ends_with("its end was lost before it was shipped")), "{gaps:?}");
}

#[test]
fn the_size_is_kept_and_told_and_room_that_is_made_is_used() {
    let data = tempfile::tempdir().unwrap();
    let intake = Intake::open(data.path(), 150_000).unwrap();
    let mut edge = Other::new("edge-1");
    (0..1_500).for_each(|_| edge.decide(DENIED, 1));
    let messages = edge.pieces(30_000);
    let answers = tell(&intake, "edge-1", messages.clone());
    let full: Vec<_> =
        answers.iter().map(|answer| answer.as_ref().unwrap()).filter(|answer| !answer.full.is_empty()).collect();
    assert!(
        full[0].full.starts_with("the intake has reached its size of 150000 bytes: raise `intake.max_size`"),
        "{full:?}"
    );
    let held = data.path().join("enforcers/edge-1/log");
    let sum = |held: &Path| files(held).values().map(|content| content.len() as u64).sum::<u64>();
    assert!(sum(&held) <= 150_000 && sum(&held) > 100_000, "{}", sum(&held));
    let state = intake.state();
    assert!(state.full.is_some() && state.used_bytes <= 150_000);
    assert_eq!(state.largest.as_ref().map(|(name, _)| name.as_str()), Some("edge-1"));
    // the oldest goes to an archive; what was whole is not taken again
    let oldest = edge.states()[0].name.clone();
    fs::remove_file(held.join(&oldest)).unwrap();
    std::thread::sleep(Duration::from_millis(1_100)); // tidy: the intake looks again once a second
    tell(&intake, "edge-1", messages.clone());
    for answer in tell(&intake, "edge-1", messages) {
        assert!(answer.unwrap().refused.is_empty());
    }
    assert!(!held.join(&oldest).exists());
    assert!(sum(&held) > 100_000 && sum(&held) <= 150_000);
}

fn world() -> World {
    World::new()
}

fn waited(what: &str, mut probe: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !probe() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        // tidy: the pause between two looks at a condition
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn counted(world: &World) -> u64 {
    world.admin().counts(&CountQuery::default()).unwrap().iter().map(|count| count.count).sum()
}

#[test]
fn shipped_decisions_are_counted_once_listed_with_their_enforcer_and_explained() {
    let world = world();
    world.decide(Call::ALLOWED);
    let (mut one, mut two) = (Other::new("edge-1"), Other::new("edge-2"));
    for round in 0..30_u8 {
        one.decide(Call::ALLOWED, round);
        two.decide(DENIED, 100 + round);
    }
    let intake = Arc::clone(&world.control.parts.intake);
    tell(&intake, "edge-1", one.pieces(5_000));
    waited("the first enforcer", || counted(&world) == 31);
    // another appears while counting runs, and the first goes on
    tell(&intake, "edge-2", two.pieces(1_000));
    one.decide(Call::ALLOWED, 60);
    tell(&intake, "edge-1", one.pieces(65_000));
    tell(&intake, "edge-1", one.pieces(700));
    waited("both enforcers", || counted(&world) == 62);

    let ask = |world: &World| {
        let query = DecisionQuery { limit: Some(100), ..Default::default() };
        let mut entries = world.admin().decisions(&query).unwrap();
        std::iter::from_fn(move || entries.blocking_recv()).collect::<Vec<_>>()
    };
    let enforcers = |entries: &[Entry]| {
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for entry in entries {
            let Entry::Decision(decision) = entry else { panic!("{entry:?}") };
            *found.entry(decision.enforcer.clone()).or_default() += 1;
        }
        found
    };
    let expected = BTreeMap::from([("edge-1".to_owned(), 31), ("edge-2".to_owned(), 30), ("local".to_owned(), 1)]);
    assert_eq!(enforcers(&ask(&world)), expected);
    let id = made(Call::ALLOWED, Timestamp::from_seconds(NOW), 105).id.to_string();
    let story = world.admin().explain(&id).unwrap();
    assert_eq!(story.decision.enforcer, "edge-2");

    // after a restart nothing counts twice, and what came meanwhile counts
    let world = world.restart();
    two.decide(Call::ALLOWED, 200);
    tell(&world.control.parts.intake, "edge-2", two.pieces(65_000));
    waited("what came last", || counted(&world) == 63);
    let positions = world.control.parts.store.positions().unwrap();
    let of =
        |name: &str| positions.iter().filter(|(lane, _)| lane.enforcer == name).map(|(_, next)| *next).sum::<u64>();
    assert_eq!((of("edge-1"), of("edge-2")), (31, 31));
}

#[test]
fn what_is_missing_in_a_shipped_log_is_told_for_good() {
    let world = world();
    let mut edge = Other::new("edge-1");
    (0..900).for_each(|_| edge.decide(DENIED, 1));
    let states = edge.states();
    let lost = states[1].name.clone();
    let mut messages = edge.pieces(65_000);
    messages.retain(|message| !matches!(&message.shipped, Some(shipped::Shipped::Piece(piece)) if piece.name == lost));
    tell(&world.control.parts.intake, "edge-1", messages);
    let gaps = |world: &World| kept(&world.control, &label("edge-1")).1;
    waited("the gap", || gaps(&world).iter().any(|gap| gap.contains("of the lane are lost")));
    let world = world.restart();
    let gaps = gaps(&world);
    assert!(gaps.iter().any(|gap| gap.starts_with("segment 1 of lane worker-0")), "{gaps:?}");
    assert!(gaps.iter().any(|gap| gap.contains("of the lane are lost")), "{gaps:?}");
}

#[test]
fn a_follower_sees_what_is_shipped_while_it_looks() {
    let world = world();
    let query = DecisionQuery { limit: Some(0), follow: true, ..Default::default() };
    let mut entries = world.admin().decisions(&query).unwrap();
    let mut edge = Other::new("edge-9");
    edge.decide(DENIED, 1);
    tell(&world.control.parts.intake, "edge-9", edge.pieces(65_000));
    let Some(Entry::Decision(decision)) = entries.blocking_recv() else { panic!("a decision") };
    assert_eq!(decision.enforcer, "edge-9");
}

#[path = "ship_tests.rs"]
mod ship;
