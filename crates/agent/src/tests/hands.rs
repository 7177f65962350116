//! What is told to be held.

use std::sync::Arc;

use api::issuance::HeldSvid;
use testkit::ManualClock;
use tonic::Code;
use types::{Clock as _, KeyKind};

use super::calls::{client, next, svids};
use super::fake::{Fake, ID, Running, entitled, payments};
use crate::fetch;

async fn told(fake: &Fake, when: impl FnMut(&Vec<HeldSvid>) -> bool) -> Vec<HeldSvid> {
    fake.told.subscribe().wait_for(when).await.unwrap().clone()
}

#[tokio::test]
async fn what_open_connections_were_shown_is_told_and_nothing_else() {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    fake.told.send_replace(vec![HeldSvid {
        spiffe_id: payments().id,
        serial: "stale".into(),
        not_after: clock.now(),
        failures: 0,
    }]);
    let agent = Running::start(&fake);
    told(&fake, Vec::is_empty).await;
    let mut one = client(&agent.socket).await;
    let mut first = svids(&mut one).await;
    next(&mut first).await;
    // once, though two connections have it
    let mut two = client(&agent.socket).await;
    next(&mut svids(&mut two).await).await;
    let held = told(&fake, |held| held.len() == 1).await;
    assert_eq!((held[0].spiffe_id.as_str(), held[0].failures), (ID, 0));
    assert_eq!(held[0].not_after, clock.now().plus_seconds(3600));
    // an identity more, for the stream that is open
    fake.entitle(vec![payments(), entitled("spiffe://finance.acme.internal/reports", KeyKind::P256)]);
    next(&mut first).await;
    assert_eq!(told(&fake, |held| held.len() == 2).await[0], held[0]);
    // the call of the second connection is over, its connection is not
    drop((first, one));
    assert_eq!(told(&fake, |held| held.len() == 1).await, held);
    drop(two);
    told(&fake, Vec::is_empty).await;
    agent.stop().await;
}

#[tokio::test]
async fn failures_are_told_and_what_has_ended_is_not() {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = svids(&mut client).await;
    next(&mut svids).await;
    let held = told(&fake, |held| held.len() == 1).await;
    fake.set_available(false);
    clock.advance(2000);
    fake.announce();
    let failed = told(&fake, |held| held.iter().any(|held| held.failures == 1)).await;
    assert_eq!(failed, [HeldSvid { failures: 1, ..held[0].clone() }]);
    // A renewal that succeeds starts anew, under another serial.
    fake.set_available(true);
    clock.advance(1);
    fake.announce();
    let renewed = told(&fake, |held| held.iter().any(|held| held.failures == 0)).await;
    assert_ne!(renewed[0].serial, held[0].serial);
    fake.set_available(false);
    clock.advance(7200);
    fake.announce();
    told(&fake, Vec::is_empty).await;
    assert!(fetch(&agent.socket).await.is_err());
    drop((svids, client));
    agent.stop().await;
}

/// Of a connection that is open and shows nothing new: its process may have nothing that is good any more.
#[tokio::test]
async fn what_was_fetched_once_is_told_until_it_ends() {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    let agent = Running::start(&fake);
    let mut idle = client(&agent.socket).await;
    next(&mut svids(&mut idle).await).await;
    let first = told(&fake, |held| held.len() == 1).await;
    clock.advance(3601);
    let mut other = client(&agent.socket).await;
    next(&mut svids(&mut other).await).await;
    let second = told(&fake, |held| *held != first).await;
    assert_eq!(second.len(), 1);
    assert_ne!(second[0].serial, first[0].serial);
    drop((idle, other));
    agent.stop().await;
}

#[tokio::test]
async fn what_was_taken_away_is_held_no_longer() {
    let fake = Fake::new(Arc::new(ManualClock::default()));
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = svids(&mut client).await;
    next(&mut svids).await;
    told(&fake, |held| held.len() == 1).await;
    fake.recognise(None);
    assert_eq!(svids.message().await.unwrap_err().code(), Code::PermissionDenied);
    // the connection is still open
    told(&fake, Vec::is_empty).await;
    drop((svids, client));
    agent.stop().await;
}
