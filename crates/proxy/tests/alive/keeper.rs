//! The gateway's own certificates while the issuer is asked, is away, or gives nothing for one of the domains.

use std::sync::atomic::Ordering;

use crate::{
    client::Http1,
    site::{LEDGER, PAYMENTS, PEOPLE, Rules, Site, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_minted_again_because_trust_changed_or_a_publication_left_the_hosts_alone() {
    let site = Site::start(&Rules::default(), 1).await;
    let minted = site.issuer().minted.load(Ordering::SeqCst);
    assert_eq!(minted, 2, "one for each domain");
    site.revoke(1, &["finance/payments"], None);
    site.issuer_changed();
    let other = Rules {
        forbids: "@id(\"n\") @reason(\"n\") forbid (principal, action, resource in Domain::\"finance\") when { context.risk > 99 };\n",
        ..Rules::default()
    };
    site.publish(&other);
    site.issuer_changed();
    // the last thing that the keeper is told of needs a certificate; when it is there, the others were looked at
    site.publish(&Rules { crews: true, ..other });
    until("the third domain's certificate", || site.issuer().minted.load(Ordering::SeqCst) == minted + 1).await;
    site.publish(&Rules { moved: true, crews: true, ..Rules::default() });
    until("certificates for the hosts that moved", || site.issuer().minted.load(Ordering::SeqCst) == minted + 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_with_what_was_kept_while_the_issuer_is_away() {
    let site = Site::start(&Rules::default(), 1).await;
    let kept = site.issuer().kept.lock().unwrap().clone();
    assert_eq!(kept.len(), 2, "what was minted is kept");
    let site = site.restarted(true).await;
    let mut payments = Http1::connect(&site, Some(&site.identity(PAYMENTS)), LEDGER).await.unwrap();
    assert_eq!(payments.get("/items").await.0.status, 200);
    assert_eq!(site.issuer().minted.load(Ordering::SeqCst), 2, "the issuer was not asked for anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_for_which_there_is_nothing_does_not_stop_the_others() {
    let site = Site::start(&Rules::default(), 1).await;
    site.issuer().kept.lock().unwrap().remove("hr");
    let site = site.restarted(true).await;
    let mut payments = Http1::connect(&site, Some(&site.identity(PAYMENTS)), LEDGER).await.unwrap();
    assert_eq!(payments.get("/items").await.0.status, 200);
    let hr = site.identity("spiffe://hr.acme.internal/payments");
    assert!(Http1::connect(&site, Some(&hr), PEOPLE).await.is_err(), "no certificate: an alert");
    site.issuer().is_away.store(false, Ordering::SeqCst);
    site.issuer_changed();
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while Http1::connect(&site, Some(&hr), PEOPLE).await.is_err() {
        assert!(tokio::time::Instant::now() < end, "it comes as soon as the issuer is back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_was_suspended_renews_what_became_due_meanwhile() {
    let site = Site::start(&Rules::default(), 1).await;
    assert_eq!(site.issuer().minted.load(Ordering::SeqCst), 2);
    site.clock.0.store(31 * 60, Ordering::SeqCst);
    until("other certificates", || site.issuer().minted.load(Ordering::SeqCst) >= 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_serves_with_is_told_and_that_it_is_not_renewed() {
    let site = Site::start(&Rules::default(), 1).await;
    let told = || {
        let told = site.issuer().told.lock().unwrap().clone();
        told.into_iter().map(|held| (held.spiffe_id.to_string(), held.failures)).collect::<Vec<_>>()
    };
    let gateways = |failures: u32| {
        ["finance", "hr"].map(|domain| (format!("spiffe://{domain}.acme.internal/_gateway/node"), failures)).to_vec()
    };
    assert_eq!(told(), gateways(0));
    site.issuer().is_away.store(true, Ordering::SeqCst);
    site.clock.0.store(31 * 60, Ordering::SeqCst);
    until("an attempt for each", || told() >= gateways(1)).await;
    site.issuer().is_away.store(false, Ordering::SeqCst);
    until("their renewal", || told() == gateways(0)).await;
}
