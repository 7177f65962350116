//! Rules or signals are old: new calls are refused where the domain says so, what is open goes on, and it is over as soon as
//! control is heard again.

use std::time::Duration;

use testkit::RealClock;
use tokio::time::timeout;
use types::{Clock as _, Timestamp};

use crate::{
    client::{Http1, Http2, decision},
    site::{LEDGER, PAYMENTS, PEOPLE, Rules, Site},
};

/// More than `signals_stale` and less than `when_stale` where a domain says nothing.
const TEN_MINUTES: u64 = 600;
const AN_HOUR: u64 = 3_600;

fn ago(seconds: u64) -> Timestamp {
    Timestamp::from_micros(RealClock.now().micros() - seconds * 1_000_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_stale_signals_is_refused_recorded_and_not_forwarded() {
    let site = Site::start(&Rules::default(), 2).await;
    let identity = site.identity(PAYMENTS);
    let mut open = Http2::connect(&site, Some(&identity), LEDGER).await;
    let mut stream = open.ask("/stream").await.unwrap();
    let mut payments = Http1::connect(&site, Some(&identity), LEDGER).await.unwrap();
    assert_eq!(payments.get("/items").await.0.status, 200);
    let before = site.upstream.requests();
    site.freshness.hear(ago(TEN_MINUTES));
    let (head, body) = payments.get("/items").await;
    assert_eq!((head.status, body.contains("signals.stale")), (503, true), "{body}");
    assert!(!body.contains("signals_stale"), "the caller learns nothing of our settings: {body}");
    let record = site.decision(&head.id).await;
    assert_eq!((&record["reason"], &record["service"]), (&"signals.stale".into(), &"finance/ledger".into()));
    assert_eq!(record["note"], "the signals were last heard 600 s ago; `signals_stale` allows 300 s");
    assert_eq!(site.upstream.requests(), before, "nothing was forwarded");
    // what was let in before goes on, also when something changes meanwhile
    site.revoke(3, &["finance/treasury"], None);
    for _ in 0..100 {
        http_body_util::BodyExt::frame(&mut stream).await.unwrap().unwrap();
    }
    assert_eq!(site.stats.snapshot().cut, 0, "{}", decision(&stream));
    site.freshness.hear(RealClock.now());
    assert_eq!(payments.get("/items").await.0.status, 200, "the same connection, as soon as control is heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_a_stale_revision_is_refused_and_one_never_confirmed_too() {
    let site = Site::start(&Rules::default(), 1).await;
    let mut payments = Http1::connect(&site, Some(&site.identity(PAYMENTS)), LEDGER).await.unwrap();
    for confirmed in [ago(AN_HOUR), Timestamp::from_micros(0), Timestamp::from_micros(RealClock.now().micros() * 2)] {
        site.freshness.confirm(confirmed);
        let (head, body) = payments.get("/items").await;
        assert_eq!((head.status, body.contains("route.stale-revision")), (503, true), "{body}");
        assert_eq!(site.decision(&head.id).await["reason"], "route.stale-revision");
    }
    assert_eq!(site.upstream.requests(), 0);
    site.freshness.confirm(RealClock.now());
    assert_eq!(payments.get("/items").await.0.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_domain_says_how_old_is_too_old_and_what_then() {
    let finance = "when_stale: { after: 1m, then: serve }\nsignals_stale: { after: 2s, then: serve }\n";
    let site = Site::start(&Rules { finance, ..Rules::default() }, 1).await;
    let identity = site.identity(PAYMENTS);
    let mut ledger = Http1::connect(&site, Some(&identity), LEDGER).await.unwrap();
    let hr = site.identity("spiffe://hr.acme.internal/payments");
    let mut people = Http1::connect(&site, Some(&hr), PEOPLE).await.unwrap();
    assert_eq!((ledger.get("/items").await.0.status, people.get("/items").await.0.status), (200, 200));
    site.freshness.hear(ago(AN_HOUR));
    site.freshness.confirm(ago(AN_HOUR));
    assert_eq!(ledger.get("/items").await.0.status, 200, "then: serve");
    let (head, body) = people.get("/items").await;
    assert_eq!((head.status, body.contains("route.stale-revision")), (503, true), "{body}");
    // a revocation that is known counts however old everything is
    site.revoke(9, &["finance/payments"], None);
    assert_eq!(timeout(Duration::from_secs(10), ledger.read()).await.unwrap().unwrap(), 0, "closed");
    let mut ledger = Http1::connect(&site, Some(&identity), LEDGER).await.unwrap();
    let (head, body) = ledger.get("/items").await;
    assert_eq!((head.status, body.contains("signals.revoked")), (403, true), "{body}");
}
