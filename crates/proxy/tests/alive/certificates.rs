//! Who must present a certificate: decided by the domain of the server name, and by the revision of the moment.

use std::io;

use testkit::{Authority, LeafPlan, RealClock};
use types::Clock as _;

use crate::{
    client::Http1,
    site::{LEDGER, PAYMENTS, PEOPLE, Rules, Site},
};

/// Whether a caller gets in; in TLS 1.3 it learns with the first read.
async fn is_let_in(site: &Site, identity: Option<&testkit::Leaf>, host: &str) -> io::Result<u16> {
    let mut caller = Http1::connect(site, identity, host).await?;
    caller.write(format!("GET /items HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n") {
        text.push(caller.read_byte().await?);
    }
    Ok(String::from_utf8_lossy(&text)[9..12].parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_may_be_left_out_only_where_a_domain_says_so_and_never_be_wrong() {
    let relaxed = Rules { finance: "modes: { requires.identity: shadow }", ..Rules::default() };
    let site = Site::start(&relaxed, 1).await;
    let good = site.identity(PAYMENTS);
    let elsewhere = Authority::of("finance.acme.internal", RealClock.now());
    let wrong = elsewhere.issue(&LeafPlan::svid(PAYMENTS, RealClock.now()));
    assert_eq!(is_let_in(&site, Some(&good), LEDGER).await.unwrap(), 200);
    assert_eq!(is_let_in(&site, None, LEDGER).await.unwrap(), 200);
    assert!(is_let_in(&site, None, PEOPLE).await.is_err(), "hr asks everybody");
    assert!(is_let_in(&site, Some(&wrong), LEDGER).await.is_err(), "a wrong certificate is never as good as none");
    let record = site.record(|record| record["reason"] == "identity.untrusted").await;
    assert_eq!(record["caller"]["identity"], "unidentified");
    let record =
        site.record(|record| record["kind"] == "decision" && record["caller"]["identity"] == "unidentified").await;
    assert_eq!((&record["outcome"], &record["noted"][0]["check"]), (&"allow".into(), &"requires.identity".into()));
    let snapshot = site.stats.snapshot();
    assert_eq!((snapshot.allowed, snapshot.would_deny), (2, 1));
    let noted: Vec<_> = snapshot.noted.iter().filter(|noted| noted.count > 0).collect();
    assert_eq!(
        (noted.len(), noted[0].check, noted[0].mode, noted[0].count),
        (1, "requires.identity", types::Mode::Shadow, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_changes_who_must_present_one() {
    let relaxed = Rules { finance: "modes: { requires.identity: observe }", ..Rules::default() };
    let site = Site::start(&relaxed, 1).await;
    let mut nobody = Http1::connect(&site, None, LEDGER).await.unwrap();
    assert_eq!(nobody.get("/items").await.0.status, 200);
    nobody.send("GET", "/stream", "").await;
    let head = nobody.head().await;
    let mut idle = Http1::connect(&site, None, LEDGER).await.unwrap();
    let revision = site.publish(&Rules::default());
    let record = site.completion(&head.id).await;
    assert_eq!((&record["reason"], &record["revision"]), (&"requires.identity".into(), &revision.into()), "{record}");
    assert_eq!(idle.get("/items").await.0.status, 403, "a connection from before is judged like any");
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while is_let_in(&site, None, LEDGER).await.is_ok() {
        assert!(tokio::time::Instant::now() < end, "new connections must present one");
    }
    site.record(|record| record["reason"] == "identity.missing").await;
    site.publish(&relaxed);
    while is_let_in(&site, None, LEDGER).await.is_err() {
        assert!(tokio::time::Instant::now() < end, "and need not again");
    }
}
