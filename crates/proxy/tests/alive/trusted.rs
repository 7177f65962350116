//! Bundles change under open connections: a root that stays costs nobody anything, a root that goes takes its callers with
//! it, and the gateway's own certificate follows.

use std::{sync::atomic::Ordering, time::Duration};

use testkit::{Authority, LeafPlan, RealClock};
use tokio::time::{sleep, timeout};
use types::{Clock as _, TrustDomain};

use crate::{
    client::{Http1, Http2, decision},
    site::{LEDGER, PAYMENTS, Rules, Site, until},
};

const LONG: Duration = Duration::from_secs(10);
const HR: &str = "spiffe://hr.acme.internal/payments";

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_keeps_the_old_root_cuts_nobody_and_mints_nothing() {
    let site = Site::start(&Rules::default(), 2).await;
    let mut payments = Http1::connect(&site, Some(&site.identity(PAYMENTS)), LEDGER).await.unwrap();
    let mut streaming = Http2::connect(&site, Some(&site.identity(PAYMENTS)), LEDGER).await;
    let mut stream = streaming.ask("/stream").await.unwrap();
    let before = site.identity(PAYMENTS);
    site.issuer().rotate("finance", true);
    site.issuer_changed();
    // a caller under the new root is let in as soon as the proxy has it
    let end = tokio::time::Instant::now() + LONG;
    let after = site.identity(PAYMENTS);
    while crate::client::is_answered(&site, &after, LEDGER).await.is_err() {
        assert!(tokio::time::Instant::now() < end, "the new root did not come");
    }
    assert!(crate::client::is_answered(&site, &before, LEDGER).await.is_ok(), "what the old root signed is still good");
    assert_eq!(payments.get("/items").await.0.status, 200, "and so is what is open");
    for _ in 0..50 {
        http_body_util::BodyExt::frame(&mut stream).await.unwrap().unwrap();
    }
    assert_eq!(site.issuer().minted.load(Ordering::SeqCst), 2, "the gateway's certificate is still good too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_goes_takes_its_callers_with_it_and_the_gateway_gets_another_certificate() {
    let site = Site::start(&Rules::default(), 2).await;
    let mut idle = Http1::connect(&site, Some(&site.identity(PAYMENTS)), LEDGER).await.unwrap();
    assert_eq!(idle.get("/items").await.0.status, 200);
    let mut h1 = Http1::connect(&site, Some(&site.identity(PAYMENTS)), LEDGER).await.unwrap();
    h1.send("GET", "/stream", "").await;
    let head = h1.head().await;
    let mut h2 = Http2::connect(&site, Some(&site.identity(PAYMENTS)), LEDGER).await;
    let mut stream = h2.ask("/stream").await.unwrap();
    let mut hr = Http1::connect(&site, Some(&site.identity(HR)), crate::site::PEOPLE).await.unwrap();
    assert_eq!(hr.get("/items").await.0.status, 200);
    site.issuer().rotate("finance", false);
    site.issuer_changed();
    assert_eq!(timeout(LONG, idle.read()).await.unwrap().unwrap(), 0, "a proper end");
    let cut = async { while matches!(h1.read().await, Ok(read) if read > 0) {} };
    timeout(LONG, cut).await.expect("HTTP/1.1 is cut");
    let reset = async { while let Some(Ok(_)) = http_body_util::BodyExt::frame(&mut stream).await {} };
    timeout(LONG, reset).await.expect("HTTP/2 is reset");
    for id in [head.id, decision(&stream)] {
        let record = site.completion(&id).await;
        assert_eq!(record["reason"], "identity.untrusted", "{record}");
    }
    until("another certificate for the gateway", || site.issuer().minted.load(Ordering::SeqCst) == 3).await;
    assert_eq!(hr.get("/items").await.0.status, 200, "another domain is not touched");
    let end = tokio::time::Instant::now() + LONG;
    while crate::client::is_answered(&site, &site.identity(PAYMENTS), LEDGER).await.is_err() {
        assert!(tokio::time::Instant::now() < end, "callers under the new root are let in, by a gateway under it");
        sleep(Duration::from_millis(10)).await; // tidy: asks again
    }
    // nothing is asked for again and again
    site.issuer_changed();
    sleep(Duration::from_millis(100)).await; // tidy: nothing tells that nothing happens
    assert_eq!(site.issuer().minted.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_count_at_once_while_the_issuer_is_away() {
    let site = Site::start(&Rules::default(), 1).await;
    let mut payments = Http1::connect(&site, Some(&site.identity(PAYMENTS)), LEDGER).await.unwrap();
    assert_eq!(payments.get("/items").await.0.status, 200);
    site.issuer().is_away.store(true, Ordering::SeqCst);
    site.issuer().rotate("finance", false);
    site.issuer_changed();
    assert_eq!(timeout(LONG, payments.read()).await.unwrap().unwrap(), 0, "closed");
    let mut hr = Http1::connect(&site, Some(&site.identity(HR)), crate::site::PEOPLE).await.unwrap();
    assert_eq!(hr.get("/items").await.0.status, 200, "what is valid is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn bu_2_an_emptied_bundle_of_a_federated_domain_revokes_at_once() {
    let site = Site::start(&Rules::default(), 1).await;
    let partner = TrustDomain::parse("partner.example").unwrap();
    let authority = Authority::of("partner.example", RealClock.now());
    let theirs = authority.issue(&LeafPlan::svid("spiffe://partner.example/web", RealClock.now()));
    let set = |roots: Vec<Vec<u8>>| {
        site.issuer().foreign.lock().unwrap().insert(partner.clone(), roots);
        site.issuer_changed();
    };
    set(vec![authority.der().to_vec()]);
    let end = tokio::time::Instant::now() + LONG;
    // nobody of it is a workload here, which is another matter than not being trusted
    let mut caller = loop {
        assert!(tokio::time::Instant::now() < end, "the bundle did not come");
        let mut caller = Http1::connect(&site, Some(&theirs), LEDGER).await.unwrap();
        caller.send("GET", "/items", "").await;
        if caller.try_status().await == Some(403) {
            break Http1::connect(&site, Some(&theirs), LEDGER).await.unwrap();
        }
    };
    let (head, _) = caller.get("/items").await;
    let record = site.decision(&head.id).await;
    assert_eq!(record["reason"], "identity.unknown-workload", "{record}");
    set(Vec::new());
    assert_eq!(timeout(LONG, caller.read()).await.unwrap().unwrap(), 0, "the open connection ends");
    assert!(crate::client::is_answered(&site, &theirs, LEDGER).await.is_err(), "and no other is let in");
    set(vec![b"no certificate".to_vec()]);
    let mut payments = Http1::connect(&site, Some(&site.identity(PAYMENTS)), LEDGER).await.unwrap();
    assert_eq!(payments.get("/items").await.0.status, 200, "their broken bundle is nobody else's trouble");
    assert!(crate::client::is_answered(&site, &theirs, LEDGER).await.is_err());
}
