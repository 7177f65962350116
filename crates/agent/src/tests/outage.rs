//! The issuer away, and clocks that are wrong.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::workload::X509svidRequest;
use testkit::{ManualClock, RealClock};
use tonic::Code;

use super::calls::{client, next, svids, with_header};
use super::fake::{Fake, Running, own_uid, reached, uid_rule};
use crate::{FetchError, fetch};

#[tokio::test]
async fn an_outage_takes_no_identity_away_until_it_expires() {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = svids(&mut client).await;
    let first = next(&mut svids).await;
    fake.set_available(false);
    clock.advance(3000);
    fake.announce();
    fake.add_bundle("hr.acme.internal");
    // The stream has looked, got no answer, and shows what is held with the roots of now; so does a new one.
    reached(&fake.unanswered, 1).await;
    let kept = next(&mut svids).await;
    assert_eq!((&kept.svids[0].x509_svid, kept.federated_bundles.len()), (&first.svids[0].x509_svid, 1));
    assert_eq!(fetch(&agent.socket).await.unwrap()[0].chain_der.concat(), first.svids[0].x509_svid);
    clock.advance(60);
    fake.set_available(true);
    fake.announce();
    let renewed = next(&mut svids).await;
    assert_ne!(renewed.svids[0].x509_svid, first.svids[0].x509_svid);
    assert_eq!(fake.minted.load(Ordering::SeqCst), 2, "it was due for renewal");
    fake.set_available(false);
    clock.advance(3600);
    fake.announce();
    assert_eq!(svids.message().await.unwrap_err().code(), Code::Unavailable);
    drop((svids, client));
    agent.stop().await;
}

#[tokio::test]
async fn an_outage_gives_back_nothing_that_was_taken_away() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    fetch(&agent.socket).await.unwrap();
    // Told while the issuer answers, and true while it does not.
    fake.recognise(None);
    assert!(matches!(fetch(&agent.socket).await, Err(FetchError::Denied)));
    fake.set_available(false);
    assert!(matches!(fetch(&agent.socket).await, Err(FetchError::Refused(_))));
    fake.set_available(true);
    fake.recognise(uid_rule(own_uid()));
    fetch(&agent.socket).await.unwrap();
    assert_eq!(fake.minted.load(Ordering::SeqCst), 2, "what was taken away is not given again");
    agent.stop().await;
}

#[tokio::test]
async fn after_an_outage_longer_than_a_life_the_identity_is_back_by_itself() {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    let agent = Running::start(&fake);
    let first = fetch(&agent.socket).await.unwrap();
    fake.set_available(false);
    clock.advance(3 * 86_400);
    let refused = fetch(&agent.socket).await.unwrap_err();
    assert!(matches!(&refused, FetchError::Refused(words) if words.contains("Unavailable")), "{refused}");
    fake.set_available(true);
    assert_ne!(fetch(&agent.socket).await.unwrap()[0].chain_der, first[0].chain_der);
    agent.stop().await;
}

#[tokio::test]
async fn a_clock_an_hour_ahead_gets_nothing_and_is_told_why() {
    let fake = Fake::new(Arc::new(RealClock));
    fake.ahead.store(-3600, Ordering::SeqCst);
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let refused = client.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("clock is ahead of the issuer's"), "{refused}");
    drop(client);
    agent.stop().await;
}

#[tokio::test]
async fn a_clock_an_hour_behind_renews_in_time_by_the_issuer_s_clock() {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    fake.ahead.store(3600, Ordering::SeqCst);
    let agent = Running::start(&fake);
    let first = fetch(&agent.socket).await.unwrap();
    // half of its life, though by this clock two hours are left
    clock.advance(1860);
    assert_ne!(fetch(&agent.socket).await.unwrap()[0].chain_der, first[0].chain_der);
    agent.stop().await;
}
