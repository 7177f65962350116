//! The table of peers.

use super::*;

fn place(name: &str) -> Place {
    Place { role: Role::Proxy, name: Label::parse(name).unwrap(), group: None, domains: None }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

#[test]
fn what_an_older_connection_still_says_does_not_count() {
    let peers = Peers::default();
    let name = (Role::Proxy, Label::parse("edge").unwrap());
    let old = peers.connect(&place("edge"), true, None, at(10)).unwrap();
    // reconnects may be told in another order than they were made in, and at one moment
    let new = peers.connect(&place("edge"), true, None, at(10)).unwrap();
    assert!(old.end.borrow().is_some() && new.end.borrow().is_none());
    let have = Have { publication: 7, epoch: 3, ..Have::default() };
    peers.acknowledge(&name, old.id, &have, at(11), None);
    peers.disconnect(&name, old.id, at(12), "late");
    let seen = peers.get(&name).unwrap();
    assert!(seen.is_connected() && seen.last.publication.is_none(), "{seen:?}");
    peers.acknowledge(&name, new.id, &have, at(13), None);
    let seen = peers.get(&name).unwrap();
    assert_eq!((seen.last.publication, seen.last.epoch, seen.last.revision_since), (Some(7), Some(3), Some(at(13))));
}

#[test]
fn a_joined_peer_and_one_of_this_process_do_not_take_each_others_place() {
    let peers = Peers::default();
    let joined = Joined { place: place("edge"), key: [1; 32], joined: at(1), last: Last::default() };
    peers.add(joined.clone());
    assert!(peers.connect(&place("edge"), true, None, at(2)).is_none());
    assert!(peers.connect(&place("edge"), false, None, at(2)).is_some());
    peers.remove(&(Role::Proxy, Label::parse("edge").unwrap()), "gone");
    assert!(peers.connect(&place("edge"), false, None, at(3)).is_none(), "it was retired");
    assert!(peers.connect(&place("edge"), true, None, at(3)).is_some());
}

#[test]
fn a_change_waits_for_who_is_connected_and_names_the_others() {
    let peers = Peers::default();
    let joined = |name: &str| Joined { place: place(name), key: [1; 32], joined: at(1), last: Last::default() };
    for number in 0..30 {
        peers.add(joined(&format!("away-{number:02}")));
    }
    let held = peers.connect(&place("here"), true, None, at(1)).unwrap();
    let name = (Role::Proxy, Label::parse("here").unwrap());
    let begun = Instant::now();
    let reach = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| peers.reach(Target::Epoch(5), Duration::from_secs(20)));
        peers.acknowledge(&name, held.id, &Have { epoch: 4, ..Have::default() }, at(2), None);
        peers.acknowledge(&name, held.id, &Have { epoch: 5, ..Have::default() }, at(2), None);
        waiting.join().unwrap()
    });
    assert!(begun.elapsed() < Duration::from_secs(10), "it did not end with the acknowledgement");
    assert_eq!((reach.in_force, reach.enforcers, reach.waiting.len()), (1, 31, 21));
    assert_eq!(reach.waiting[0], "away-00 was never connected");
    assert_eq!(reach.waiting[20], "10 more");
    // nobody waits for those who are away
    assert_eq!(peers.reach(Target::Epoch(5), Duration::from_secs(60)).in_force, 1);
}

#[test]
fn what_was_heard_is_kept_once_and_again_where_that_failed() {
    let peers = Peers::default();
    peers.add(Joined { place: place("edge"), key: [1; 32], joined: at(1), last: Last::default() });
    let name = (Role::Proxy, Label::parse("edge").unwrap());
    let held = peers.connect(&place("edge"), false, None, at(2)).unwrap();
    let here = peers.connect(&place("local"), true, None, at(2)).unwrap();
    peers.pulse(&name, held.id, 0, None, at(3));
    peers.pulse(&(Role::Proxy, Label::parse("local").unwrap()), here.id, 0, None, at(3));
    let heard = peers.unkept();
    assert_eq!((heard.len(), heard[0].2.heard), (1, Some(at(3))));
    assert!(peers.unkept().is_empty());
    peers.still_unkept(&heard);
    assert_eq!(peers.unkept().len(), 1);
}
