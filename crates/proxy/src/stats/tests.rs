//! The numbers of several workers add up, and each stands where its name says.

use super::*;

#[test]
fn reasons_stand_in_the_table_in_their_order() {
    for (place, reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(place_of(*reason), Some(place), "{reason}");
    }
}

#[test]
fn workers_add_up() {
    let stats = Stats::new();
    let (one, two) = (stats.worker(), stats.worker());
    assert_eq!(stats.snapshot(), Snapshot::new());
    for worker in [&one, &two] {
        worker.connection_opened();
        worker.exchange_opened();
        worker.exchange_opened();
        worker.allowed(&[]);
        worker.refused(Reason::UpstreamTimeout, &[]);
        worker.exchange_ended(Some(Reason::SignalsRevoked.into()), true);
    }
    two.exchange_ended(Some(Failure::CallerStalled), false);
    one.exchange_ended(None, false);
    one.connection_ended();
    let snapshot = stats.snapshot();
    assert_eq!((snapshot.allowed, snapshot.would_deny, snapshot.observed), (2, 0, 0));
    assert_eq!((snapshot.refused_for(Reason::UpstreamTimeout), snapshot.refused_for(Reason::RouteUnlisted)), (2, 0));
    assert_eq!((snapshot.completed, snapshot.cut, snapshot.open_exchanges, snapshot.open_connections), (1, 2, 0, 1));
    assert_eq!(snapshot.failed, [(Reason::SignalsRevoked.into(), 2), (Failure::CallerStalled, 1)]);
}

#[test]
fn times_fall_into_their_buckets() {
    let stats = Stats::new();
    let worker = stats.worker();
    for nanos in [0, 10_000, 10_999, 11_000, 250_000_000, 251_000_000] {
        worker.decided(Duration::from_nanos(nanos));
    }
    let times = stats.snapshot().decision_time;
    let filled: Vec<_> = times.buckets.iter().filter(|(_, count)| *count > 0).copied().collect();
    assert_eq!((filled, times.longer, times.count()), (vec![(10, 3), (25, 1), (250_000, 1)], 1, 6));
    assert_eq!(times.sum_nanos, 501_031_999);
}

#[test]
fn certificates_are_shown_as_they_were_set() {
    let stats = Stats::new();
    let held = vec![(Label::parse("finance").unwrap(), Timestamp::from_seconds(1))];
    stats.set_certificates(held.clone());
    assert_eq!(stats.certificates(), held);
}
