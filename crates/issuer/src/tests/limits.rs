//! A flood of questions: whoever asks too much is refused, on record and counted, and nobody else notices.

use api::admin::Keys;
use api::keys::{KeyStep, Place};

use super::*;

fn node(name: &str) -> Place {
    Place::Node { name: label(name), groups: [label("pool")].into() }
}

/// So many workloads of the rule that recognises `payments()`, in `pool`.
fn many(workloads: usize) -> Registrations {
    let mut registrations = registrations();
    let entry = registrations.workloads[&workload("finance/payments")].clone();
    let entry = WorkloadRegistration { runs_on: Some([label("pool")].into()), ..entry };
    let ids = (0..workloads).map(|number| (workload(&format!("finance/w{number}")), entry.clone()));
    registrations.workloads = ids.collect();
    registrations
}

fn spiffe(number: usize) -> String {
    format!("spiffe://finance.acme.internal/w{number}")
}

fn limited<T>(answer: &Result<T, IssueError>) -> bool {
    matches!(answer, Err(IssueError::Limited(_)))
}

#[test]
fn a_workload_on_one_node_gets_so_many_in_a_minute() {
    let world = World::new();
    let issuer = world.issuer();
    issuer.set_registrations(many(2));
    let most = types::limits::ISSUANCE_WORKLOAD.default;
    let request = csr();
    let ask =
        |place: &Place, number| issuer.mint_workload_at(place, &payments(), &order(&spiffe(number), request.clone()));
    for _ in 0..most {
        ask(&node("a"), 0).unwrap();
    }
    let refused = ask(&node("a"), 0);
    assert!(limited(&refused));
    assert!(refused.unwrap_err().to_string().contains("`issuance_workload`"));
    assert!(ask(&node("a"), 1).is_ok(), "another workload of the node");
    assert!(ask(&node("b"), 0).is_ok(), "the same workload elsewhere");
    let token = |place: &Place| issuer.mint_jwt_at(place, &payments(), &id(&spiffe(0)), &["a".to_owned()]);
    assert!(token(&node("a")).is_ok(), "tokens are counted apart");
    // a tenth of a second gives one back, a minute all
    world.clock.set(Timestamp::from_micros(world.clock.now().micros() + 100_000));
    assert!(ask(&node("a"), 0).is_ok() && limited(&ask(&node("a"), 0)));
    world.clock.advance(60);
    assert!(ask(&node("a"), 0).is_ok());
}

#[test]
fn a_storm_of_one_node_is_refused_and_the_others_are_served() {
    let world = World::new();
    let issuer = world.issuer();
    issuer.set_registrations(many(40));
    let most = types::limits::ISSUANCE_NODE.default;
    let mut served = 0;
    // of every kind: entitled, not entitled, not requests at all; twice as many as a minute takes
    let (good, garbage) = (csr(), vec![0x30; 2000]);
    for number in 0..2 * most {
        let (who, request) = match number % 100 {
            0 => (usize::try_from(number / 100 % 40).unwrap(), good.clone()),
            1..50 => (99, good.clone()),
            _ => (usize::try_from(number % 40).unwrap(), garbage.clone()),
        };
        let answer = issuer.mint_workload_at(&node("rogue"), &payments(), &order(&spiffe(who), request));
        assert!(answer.is_err() || number < most, "{number}");
        served += u64::from(answer.is_ok());
        if number % 500 == 0 {
            let other = issuer.mint_workload_at(&node("honest"), &payments(), &order(&spiffe(1), csr())).unwrap();
            world.verify(&issuer, &other);
        }
    }
    let counts = issuer.counts();
    let honest = 2 * most / 500;
    assert_eq!(counts.issued, served + honest);
    assert_eq!(counts.refused, 2 * most - served);
    assert!(counts.limited >= most, "{counts:?}");
    // what was issued is on record, each; refusals are, as many as a reader can use, and the rest is a number
    let records = world.records();
    let allowed = records.iter().filter(|line| line.starts_with("allow")).count();
    assert_eq!(u64::try_from(allowed).unwrap(), counts.issued);
    assert!(
        records
            .iter()
            .all(|line| line.starts_with("allow") == (line.contains(" spiffe://") && !line.contains("  \"\"")))
    );
    assert_eq!(records.len() - allowed, 4, "the clock stood still: one second's worth");
    world.clock.advance(1);
    assert!(issuer.mint_workload_at(&node("rogue"), &payments(), &order(&spiffe(99), csr())).is_err());
    let told = world.records().pop().unwrap();
    assert!(told.contains("on node:agent/rogue") && told.contains("refusals before it were only counted"), "{told}");
    assert!(issuer.limiter.held() < 200, "{}", issuer.limiter.held());
}

#[test]
fn one_nodes_refusals_leave_room_for_those_of_others_on_record() {
    let world = World::new();
    let issuer = world.issuer();
    let ask = |name: &str| issuer.mint_workload_at(&node(name), &payments(), &order(&spiffe(1), csr())).unwrap_err();
    for _ in 0..100 {
        ask("rogue");
    }
    ask("honest");
    let records = world.records();
    assert_eq!(records.len(), 5);
    assert!(records[4].contains("on node:agent/honest"), "{}", records[4]);
    for number in 0..200 {
        ask(&format!("n{number}"));
    }
    assert_eq!(world.records().len(), 64, "and all together they are bounded");
}

#[test]
fn the_memory_of_who_asked_is_bounded() {
    let world = World::new();
    let issuer = world.issuer();
    let nodes = types::limits::ISSUANCE_NODES.default_usize();
    let ask = |name: usize| issuer.limiter.ask(&format!("n{name}"), limiter::Kind::X509);
    for name in 0..nodes {
        ask(name).unwrap();
    }
    assert!(limited(&ask(nodes)), "nobody is forgotten while it counts");
    assert!(ask(0).is_ok(), "and who is known goes on");
    world.clock.advance(1);
    assert!(ask(nodes).is_ok(), "who was idle is forgotten");
    assert!(issuer.limiter.held() <= 3 * nodes);
    let workloads = types::limits::ISSUANCE_NODE_WORKLOADS.default_usize();
    let issue = |number: usize| issuer.limiter.issue("n0", &id(&spiffe(number)), limiter::Kind::X509);
    for number in 0..workloads {
        issue(number).unwrap();
    }
    assert!(limited(&issue(workloads)));
    assert!(issuer.limiter.issue("n1", &id(&spiffe(workloads)), limiter::Kind::X509).is_ok());
    world.clock.advance(1);
    assert!(issue(workloads).is_ok());
}

#[test]
fn who_asked_is_forgotten_when_a_minute_gave_everything_back() {
    let world = World::new();
    let issuer = world.issuer();
    issuer.set_registrations(many(500));
    let request = csr();
    let ask = |name: &str, number| {
        issuer.mint_workload_at(&node(name), &payments(), &order(&spiffe(number), request.clone())).unwrap();
    };
    for name in ["a", "b"] {
        (0..500).for_each(|number| ask(name, number));
    }
    assert_eq!(issuer.limiter.held(), 2 * (2 + 500));
    world.clock.advance(59);
    (0..types::limits::ISSUANCE_WORKLOAD.default).for_each(|_| ask("a", 0));
    assert_eq!(issuer.limiter.held(), 2 * (2 + 500), "not before");
    world.clock.advance(1);
    ask("a", 1);
    assert_eq!(issuer.limiter.held(), 2 + 2, "the one that asks, and the one that is not full again");
    assert_eq!((0..20).filter(|_| issuer.limiter.issue("a", &id(&spiffe(0)), limiter::Kind::X509).is_ok()).count(), 10);
}

#[test]
fn a_clock_that_went_back_an_hour_stops_nobody() {
    let world = World::new();
    let issuer = world.issuer();
    let start = world.clock.now();
    world.clock.advance(3600);
    mint(&issuer).unwrap();
    world.clock.set(start);
    for _ in 0..100 {
        mint(&issuer).unwrap();
    }
}

#[test]
fn an_hour_off_nothing_is_issued_that_should_not_be() {
    let world = World::new();
    let issuer = world.issuer();
    let right = world.clock.now();
    for moment in [right.plus_seconds(3600), Timestamp::from_seconds(right.seconds() - 3600)] {
        world.clock.set(moment);
        let svid = mint(&issuer).unwrap();
        let root = issuer.roots_end().iter().find(|(domain, _)| *domain == label("finance")).unwrap().1;
        assert!(svid.not_after <= moment.plus_seconds(3600) && svid.not_after <= root);
        world.verify(&issuer, &svid);
        // a root is good for machines that are behind by a day: what an hour's difference makes is about the leaf alone
        world.clock.set(svid.not_before);
        world.verify(&issuer, &svid);
        // a revocation that ends counts by the same clock: not a second longer or shorter
        let until = moment.plus_seconds(60);
        world.clock.set(moment);
        issuer.set_signals(held_against(PAYMENTS, Some(until)));
        assert!(mint(&issuer).is_err());
        world.clock.set(until);
        assert!(mint(&issuer).is_ok());
        issuer.set_signals(Arc::default());
    }
    // opening with a clock that is a day and more behind its roots is refused with words about the clock
    drop(issuer);
    world.clock.set(Timestamp::from_seconds(right.seconds() - 2 * 86_400));
    let error = world.open(&["finance"]).unwrap_err();
    assert!(matches!(error, OpenError::NotValid { .. }) && error.hint().contains("clock"), "{error}");
}

#[test]
fn many_threads_get_what_each_should_and_a_rotation_goes_on_among_them() {
    let world = World::new();
    let issuer = world.issuer();
    issuer.set_registrations(many(8));
    let issuer = &issuer;
    let minted: Vec<Svid> = std::thread::scope(|scope| {
        let mint = |number: usize| {
            let request = csr();
            let place = node(&format!("n{number}"));
            let order = order(&spiffe(number), request);
            move || (0..100).map(|_| issuer.mint_workload_at(&place, &payments(), &order).unwrap()).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..4).map(|number| scope.spawn(mint(number))).collect();
        for step in [KeyStep::Prepare, KeyStep::Publish, KeyStep::Sign] {
            issuer.rotate(&label("finance"), Keys::X509, step).unwrap();
        }
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(minted.len(), 400);
    minted.iter().for_each(|svid| drop(world.verify(issuer, svid)));
    let ends = issuer.key_states()[0].old_ends.unwrap();
    assert!(minted.iter().all(|svid| svid.not_after <= ends));
}
