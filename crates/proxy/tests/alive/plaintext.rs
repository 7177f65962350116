//! The listener for callers that cannot speak TLS yet.

use std::time::Duration;

use tokio::{net::TcpStream, time::timeout};

use crate::{
    client::Http1,
    site::{LEDGER, PEOPLE, Rules, Site},
};

async fn caller(site: &Site, host: &str) -> Http1<TcpStream> {
    Http1::over(TcpStream::connect(site.plain).await.unwrap(), host)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_only_domains_that_do_not_enforce_identity() {
    let relaxed = Rules { finance: "modes: { requires.identity: shadow }", ..Rules::default() };
    let site = Site::start(&relaxed, 1).await;
    let (head, body) = caller(&site, LEDGER).await.get("/items").await;
    assert_eq!((head.status, body.as_str()), (200, "ok"));
    let record = site.decision(&head.id).await;
    assert_eq!(record["caller"]["identity"], "unidentified");
    assert_eq!((&record["protocol"], &record["host"]), (&"http/1.1".into(), &LEDGER.into()));
    assert_eq!((&record["listener"], &record["noted"][0]["mode"]), (&"old".into(), &"shadow".into()));
    for (host, status, reason) in [
        (PEOPLE, 403, "identity.plaintext"),
        ("nowhere.acme.internal", 421, "route.unknown-host"),
        (&format!("{LEDGER}:443"), 421, "route.unknown-host"),
    ] {
        let (head, body) = caller(&site, host).await.get("/items").await;
        assert_eq!((head.status, body.contains(reason)), (status, true), "{host} {body}");
        assert_eq!(site.decision(&head.id).await["reason"], reason);
    }
    let (head, _) = caller(&site, &format!("{LEDGER}:80")).await.get("/items").await;
    assert_eq!(head.status, 200, "the usual port may be named");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_speaks_neither_http2_nor_tls_and_reads_as_strictly() {
    let relaxed = Rules { finance: "mode: observe", ..Rules::default() };
    let site = Site::start(&relaxed, 1).await;
    for odd in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02\x00\r\n\r\n",
        "GET /items HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: ledger.acme.internal\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let mut caller = caller(&site, LEDGER).await;
        caller.write(odd.as_bytes()).await.unwrap();
        let (head, _) = caller.answer().await;
        assert_eq!((head.status, head.closes), (400, true), "{odd:?}");
        assert_eq!(site.decision(&head.id).await["outcome"], "deny");
    }
    assert_eq!(site.upstream.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn enforcing_identity_cuts_what_it_serves() {
    let relaxed = Rules { finance: "mode: shadow", ..Rules::default() };
    let site = Site::start(&relaxed, 1).await;
    let mut old = caller(&site, LEDGER).await;
    old.send("GET", "/stream", "").await;
    let head = old.head().await;
    assert_eq!(head.status, 200);
    site.publish(&Rules::default());
    let mut ended = Ok(1);
    while matches!(ended, Ok(1..)) {
        ended = timeout(Duration::from_secs(10), old.read()).await.expect("a cut");
    }
    assert_eq!(site.completion(&head.id).await["reason"], "identity.plaintext");
    assert_eq!(caller(&site, LEDGER).await.get("/items").await.0.status, 403);
}
