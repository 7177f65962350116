//! Rotations of the domain's own root: what was issued goes on as long as it verifies, and not a moment longer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use testkit::{ManualClock, RealClock};

use super::calls::{client, next, svids};
use super::fake::{Fake, Running, reached};
use crate::{FetchError, fetch};

#[tokio::test]
async fn a_new_root_beside_the_old_one_is_shown_and_renews_nothing() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = svids(&mut client).await;
    let first = next(&mut svids).await;
    fake.rotate(true);
    let second = next(&mut svids).await;
    assert_eq!(second.svids[0].x509_svid, first.svids[0].x509_svid);
    assert!(second.svids[0].bundle.len() > first.svids[0].bundle.len());
    assert_eq!(fake.minted.load(Ordering::SeqCst), 1);
    drop((svids, client));
    agent.stop().await;
}

#[tokio::test]
async fn what_no_longer_verifies_is_replaced_at_once() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = svids(&mut client).await;
    let first = next(&mut svids).await;
    fake.rotate(false);
    let second = next(&mut svids).await;
    assert_ne!(second.svids[0].x509_svid, first.svids[0].x509_svid);
    assert_ne!(second.svids[0].bundle, first.svids[0].bundle);
    assert_eq!(fake.minted.load(Ordering::SeqCst), 2);
    drop((svids, client));
    agent.stop().await;
}

#[tokio::test]
async fn nothing_is_handed_out_whose_root_is_not_in_the_bundle() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let root = fake.sign_unpublished();
    assert!(matches!(fetch(&agent.socket).await, Err(FetchError::Refused(_))));
    fake.publish(root);
    fetch(&agent.socket).await.unwrap();
    agent.stop().await;
}

/// The issuer is away in each phase of a rotation: the stream shows the bundles of the moment with what is held, and goes on
/// from there.
#[tokio::test]
async fn with_the_issuer_away_in_any_phase_nothing_is_lost() {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = svids(&mut client).await;
    let first = next(&mut svids).await;
    fake.set_available(false);
    // published, and already signing
    fake.rotate(true);
    let published = next(&mut svids).await;
    assert_eq!(published.svids[0].x509_svid, first.svids[0].x509_svid);
    assert!(published.svids[0].bundle.len() > first.svids[0].bundle.len());
    // due for renewal: it fails and is tried again after a pause
    clock.advance(1800);
    fake.announce();
    let unanswered = fake.unanswered.load(Ordering::SeqCst);
    reached(&fake.unanswered, unanswered + 1).await;
    // the old root is retired
    fake.rotate(false);
    let retired = next(&mut svids).await;
    assert_eq!(retired.svids[0].x509_svid, first.svids[0].x509_svid, "kept, though nobody believes it any more");
    fake.set_available(true);
    clock.advance(30);
    fake.announce();
    let renewed = next(&mut svids).await;
    assert_ne!(renewed.svids[0].x509_svid, first.svids[0].x509_svid);
    assert_eq!(renewed.svids[0].bundle, retired.svids[0].bundle);
    drop((svids, client));
    agent.stop().await;
}
