//! Trust that is taken from one certificate, or from its key: the healthy workload has another one at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::workload::X509svidResponse;
use identity::{Bundle, BundleSet, VerifiedPeer};
use rustls_pki_types::CertificateDer;
use testkit::{ManualClock, RealClock};
use types::{Clock as _, Timestamp, TrustDomain};

use super::calls::{client, next, svids};
use super::fake::{DOMAIN, Fake, Revoked, Running, reached};

/// Who the first SVID of a message says its holder is.
fn peer(message: &X509svidResponse, now: Timestamp) -> VerifiedPeer {
    let svid = &message.svids[0];
    let bundle = Bundle::from_der(TrustDomain::parse(DOMAIN).unwrap(), vec![svid.bundle.clone()]).unwrap();
    let chain = [CertificateDer::from(svid.x509_svid.clone())];
    identity::verify(&chain, &BundleSet::from_iter([bundle]), now).unwrap()
}

#[tokio::test]
async fn a_revoked_certificate_and_a_revoked_key_are_replaced_at_once_and_are_no_predecessors() {
    let fake = Fake::new(Arc::new(RealClock));
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = svids(&mut client).await;
    let first = peer(&next(&mut svids).await, RealClock.now());
    fake.revoke(Revoked::Serial("of another certificate".to_owned()));
    fake.revoke(Revoked::Serial(first.serial().to_owned()));
    let second = peer(&next(&mut svids).await, RealClock.now());
    assert_ne!(second.serial(), first.serial());
    assert_ne!(second.key_sha256(), first.key_sha256());
    fake.revoke(Revoked::Key(*second.key_sha256()));
    let third = peer(&next(&mut svids).await, RealClock.now());
    assert_ne!(third.key_sha256(), second.key_sha256());
    let orders = fake.orders();
    assert_eq!(orders.len(), 3, "nobody else's revocation renews anything");
    assert!(orders.iter().all(|order| order.predecessor.is_none()), "tokens bound to what was revoked do not live on");
    drop((svids, client));
    agent.stop().await;
}

#[tokio::test]
async fn while_the_issuer_is_away_what_is_revoked_is_asked_for_with_pauses() {
    let clock = Arc::new(ManualClock::default());
    let fake = Fake::new(clock.clone());
    let agent = Running::start(&fake);
    let mut client = client(&agent.socket).await;
    let mut svids = svids(&mut client).await;
    let first = peer(&next(&mut svids).await, clock.now());
    fake.set_available(false);
    fake.revoke(Revoked::Serial(first.serial().to_owned()));
    reached(&fake.ordered, 2).await;
    for _ in 0..20 {
        let unanswered = fake.unanswered.load(Ordering::SeqCst);
        fake.announce();
        reached(&fake.unanswered, unanswered + 1).await;
    }
    assert_eq!(fake.ordered.load(Ordering::SeqCst), 2, "once, and after a pause again");
    fake.set_available(true);
    clock.advance(30);
    fake.announce();
    let second = peer(&next(&mut svids).await, clock.now());
    assert_ne!(second.serial(), first.serial());
    drop((svids, client));
    agent.stop().await;
}
