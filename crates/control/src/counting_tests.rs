//! Counts equal the log exactly: whatever happened in between, and whoever died when.

use std::time::Instant;

use api::admin::{Count, CountQuery};
use types::facts::Outcome;

use super::*;
use crate::fixture::{Call, NOW, World};

const WOULD_DENY: Call = Call {
    noted: &[
        ("consent", Mode::Shadow, "consent.provider"),
        ("consent", Mode::Shadow, "consent.consumer"),
        ("permit", Mode::Shadow, "policy.no-permit"),
        ("requires.identity", Mode::Observe, "requires.identity"),
    ],
    ..Call::ALLOWED
};
const OBSERVED: Call = Call { noted: &[("permit", Mode::Observe, "policy.no-permit")], ..Call::ALLOWED };
const DENIED: Call = Call {
    outcome: Outcome::Deny,
    reason: "policy.forbidden",
    determining: &["shop/freeze"],
    noted: &[("consent", Mode::Shadow, "consent.provider")],
    ..Call::ALLOWED
};
const NOBODY: Call = Call {
    caller: "",
    listener: "old",
    outcome: Outcome::Deny,
    reason: "route.unlisted",
    determining: &[],
    ..Call::ALLOWED
};

/// Waits until everything that is recorded is counted.
fn counted(world: &World) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let records = crate::fixture::records(world.log.dir()).len();
    let sum = || world.control.parts.store.positions().unwrap().values().sum::<u64>();
    while sum() < u64::try_from(records).unwrap() {
        assert!(Instant::now() < deadline, "counting did not catch up: {} of {records}", sum());
        // tidy: the pause between two looks at a condition
        thread::sleep(Duration::from_millis(5));
    }
}

fn all(world: &World) -> Vec<Count> {
    counted(world);
    world.admin().counts(&CountQuery::default()).unwrap()
}

/// `answer check reason caller count` of each.
fn lines(counts: &[Count]) -> Vec<String> {
    let line =
        |one: &Count| format!("{} {} {} {} {}", one.answer.as_str(), one.check, one.reason, one.caller, one.count);
    counts.iter().map(line).collect()
}

#[test]
fn each_answer_is_counted_under_the_check_that_gave_it() {
    let world = World::new();
    for call in [Call::ALLOWED, Call::ALLOWED, OBSERVED, WOULD_DENY, WOULD_DENY, DENIED, NOBODY] {
        world.decide(call);
    }
    assert_eq!(
        lines(&all(&world)),
        [
            "allow   shop/storefront 3",
            "would-deny consent consent.provider shop/storefront 2",
            "would-deny permit policy.no-permit shop/storefront 2",
            "deny routes.unlisted route.unlisted  1",
            "deny policy.freeze policy.forbidden shop/storefront 1",
        ]
    );
    let since = Some(NOW * 1_000_000);
    let minutes = world.admin().minutes(&CountQuery { since, until: None }).unwrap();
    assert_eq!(minutes.len(), 1);
    assert_eq!((minutes[0].allow, minutes[0].would_deny, minutes[0].deny), (3, 2, 2));
    let doctor = world.admin().doctor();
    let plaintext = doctor.iter().find(|finding| finding.subject == "plaintext listener old").unwrap();
    assert!(
        plaintext.message.starts_with("1 address called without TLS within a day, 1 within the last hour: 192.0.2.7")
    );
}

#[test]
fn an_unlisted_route_is_counted_alike_whether_it_is_refused_or_would_be() {
    let world = World::new();
    let unlisted =
        Call { template: "*", noted: &[("routes.unlisted", Mode::Shadow, "route.unlisted")], ..Call::ALLOWED };
    let refused =
        Call { template: "", outcome: Outcome::Deny, reason: "route.unlisted", determining: &[], ..Call::ALLOWED };
    world.decide(unlisted);
    world.decide(refused);
    let counts = all(&world);
    let route = |one: &Count| {
        (one.caller.clone(), one.service.clone(), one.method.clone(), one.template.clone(), one.check.clone())
    };
    assert_eq!((counts.len(), counts[0].template.as_str()), (2, "*"), "{counts:?}");
    assert_eq!(route(&counts[0]), route(&counts[1]));
}

#[test]
fn minutes_have_no_gaps_and_at_most_a_day() {
    let world = World::new();
    world.decide(Call::ALLOWED);
    world.clock.advance(180);
    world.decide(DENIED);
    counted(&world);
    let query = |since: u64, until: Option<u64>| CountQuery {
        since: Some(since * 1_000_000),
        until: until.map(|at| at * 1_000_000),
    };
    let minutes = world.admin().minutes(&query(NOW - 60, None)).unwrap();
    assert_eq!(
        minutes.iter().map(|one| (one.allow, one.deny)).collect::<Vec<_>>(),
        [(0, 0), (1, 0), (0, 0), (0, 0), (0, 1)]
    );
    assert!(minutes.windows(2).all(|pair| pair[1].at.seconds() - pair[0].at.seconds() == 60));
    assert_eq!(world.admin().minutes(&query(NOW, Some(NOW))).unwrap(), []);
    assert!(world.admin().minutes(&query(NOW - 86_400, Some(NOW))).is_ok());
    assert!(world.admin().minutes(&query(NOW - 2 * 86_400, Some(NOW))).is_err());
    assert!(world.admin().minutes(&CountQuery::default()).is_err());
    let early = world.admin().counts(&query(NOW, Some(NOW + 120))).unwrap();
    assert_eq!(lines(&early), ["allow   shop/storefront 1"]);
}

#[test]
fn after_restarts_and_a_clock_that_was_set_back_counts_equal_the_log() {
    let mut world = World::new();
    for turn in 0..5_u64 {
        for call in 0..40_u64 {
            // back and forth: nothing may rest on times
            let at = if call % 3 == 0 { NOW - 7_200 + turn } else { NOW + call };
            world.clock.set(Timestamp::from_seconds(at));
            world.decide(if call % 4 == 0 { DENIED } else { Call::ALLOWED });
        }
        if turn % 2 == 0 {
            counted(&world);
        }
        world = world.restart();
    }
    assert_eq!(
        lines(&all(&world)),
        ["allow   shop/storefront 150", "deny policy.freeze policy.forbidden shop/storefront 50"]
    );
}

#[test]
fn what_is_folded_and_not_kept_is_folded_again_and_nothing_twice() {
    let world = World::new();
    for _ in 0..100 {
        world.decide(WOULD_DENY);
    }
    counted(&world);
    let counting = |store: &Arc<Store>| Counting {
        log: world.log.dir().to_owned(),
        intake: Arc::clone(&world.control.parts.intake),
        store: Arc::clone(store),
        callers: Callers::of(types::TrustDomain::parse("example.internal").unwrap()),
        plaintext: BTreeSet::new(),
        clock: world.clock.clone(),
    };
    // a second store, which dies again and again in the middle of its work
    let other = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(other.path()).unwrap());
    let progress = Progress::default();
    for round in 0..100 {
        let counting = counting(&store);
        let mut positions = store.positions().unwrap();
        let known = positions.iter().map(|(lane, next)| ((lane.start, lane.lane.clone()), *next)).collect();
        let mut cursor = Cursor::open_after(&counting.log, known).unwrap();
        let mut fold = Fold::default();
        for item in cursor.by_ref().take(round % 7 + 1) {
            let Item::Record(record) = item.unwrap() else { panic!("damage") };
            counting.count("", &record.view(), &mut positions, &mut fold);
        }
        // every second one is lost before it was kept
        if round % 2 == 0 {
            store.fold(&fold).unwrap();
        }
    }
    let counting = counting(&store);
    let mut positions = store.positions().unwrap();
    let mut log = Log::open("", &counting.log, &positions, 0).unwrap();
    while counting.take(&mut log, &mut positions, &progress).unwrap() {}
    let minute = minute_of(world.clock.now());
    assert_eq!(store.counts(0, minute + 1).unwrap(), world.control.parts.store.counts(0, minute + 1).unwrap());
    assert_eq!(store.minutes(0, minute + 1).unwrap(), world.control.parts.store.minutes(0, minute + 1).unwrap());
    assert_eq!(store.minutes(0, minute + 1).unwrap()[&minute].would_deny, 100);
}

#[test]
fn old_minutes_are_forgotten_with_what_only_they_held() {
    let world = World::new();
    world.decide(DENIED);
    counted(&world);
    let store = &world.control.parts.store;
    let minute = minute_of(world.clock.now());
    store.forget_before(minute, world.clock.now()).unwrap();
    assert_eq!(store.counts(0, u64::MAX).unwrap().len(), 1);
    assert!(store.knows_certificate("5c01").unwrap());
    store.forget_before(minute + 1, world.clock.now().plus_seconds(7_200)).unwrap();
    assert_eq!(store.counts(0, u64::MAX).unwrap(), []);
    assert!(store.minutes(0, u64::MAX).unwrap().is_empty());
    assert!(!store.knows_certificate("5c01").unwrap());
}

#[test]
fn a_store_that_does_not_take_counts_is_told_and_mended_by_itself() {
    let world = World::new();
    counted(&world);
    let blocker = rusqlite::Connection::open(world.dir.path().join("control.db")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    world.decide(Call::ALLOWED);
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.control.counter.progress().failure().is_none() {
        assert!(Instant::now() < deadline, "nobody said that counting stands still");
        // tidy: the pause between two looks at a condition
        thread::sleep(Duration::from_millis(20));
    }
    let doctor = world.admin().doctor();
    let finding = doctor.iter().find(|finding| finding.subject == "counting").unwrap();
    assert!(finding.message.contains("locked by another process"), "{finding:?}");
    let revoke = api::admin::Revoke { subject: "shop/storefront".into(), reason: "x".into(), seconds: None };
    let failure = world.admin().revoke("local", &revoke).unwrap_err();
    assert!(failure.message.contains("locked by another process") && failure.hint.contains("fuser"), "{failure:?}");
    assert_eq!(world.control.parts.signals.load().epoch(), 0);
    blocker.execute_batch("ROLLBACK").unwrap();
    assert_eq!(lines(&all(&world)), ["allow   shop/storefront 1"]);
    assert_eq!(world.admin().revoke("local", &revoke).unwrap().epoch, 1);
}
