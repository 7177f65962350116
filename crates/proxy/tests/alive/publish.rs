//! Rules change: what is no longer allowed is cut, and what is still allowed goes on unharmed.

use std::time::Duration;

use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::{
    client::{Http1, Http2, decision, tls_at},
    site::{CREWS, LEDGER, PAYMENTS, PEOPLE, Rules, Site, TREASURY, until},
};

const LONG: Duration = Duration::from_secs(10);
const NO_TREASURY: &str =
    "@id(\"no-treasury\") @reason(\"a test\") forbid (principal == Workload::\"finance/treasury\", action, resource);";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_revision_forbids_is_cut_and_the_rest_goes_on() {
    let rules = Rules::default();
    let site = Site::start(&rules, 2).await;
    let mut payments = Http2::connect(&site, Some(&site.identity(PAYMENTS)), LEDGER).await;
    let mut treasury = Http2::connect(&site, Some(&site.identity(TREASURY)), LEDGER).await;
    let mut kept = payments.ask("/stream").await.unwrap();
    let mut cut = treasury.ask("/stream").await.unwrap();
    cut.frame().await.unwrap().unwrap();
    let revision = site.publish(&Rules { forbids: NO_TREASURY, ..rules.clone() });
    let error = loop {
        if let Err(error) = timeout(LONG, cut.frame()).await.expect("a reset").expect("no proper end") {
            break error;
        }
    };
    assert!(format!("{error:?}").contains("CANCEL"), "{error:?}");
    let record = site.completion(&decision(&cut)).await;
    assert_eq!((&record["reason"], &record["revision"]), (&"policy.forbidden".into(), &revision.into()), "{record}");
    assert_eq!(record["epoch"], 0, "{record}");
    // the connection is not at fault, and asks again under the new rules
    assert_eq!(treasury.get("/items").await.0, 403);
    // a hundred more changes do no harm to what is allowed: every line comes, in order
    let mut text = String::new();
    for round in 0..100 {
        let forbids = if round % 2 == 0 { "" } else { NO_TREASURY };
        site.publish(&Rules { forbids, ..rules.clone() });
        text += std::str::from_utf8(kept.frame().await.unwrap().unwrap().data_ref().unwrap()).unwrap();
    }
    for (number, line) in text.lines().enumerate() {
        assert_eq!(line, format!("{number:08}"));
    }
    assert_eq!(site.stats.snapshot().cut, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_renamed_or_unlisted_is_cut() {
    let rules = Rules::default();
    let site = Site::start(&rules, 1).await;
    for (published, reason) in [
        (Rules { routes: rules.routes.replace("\"GET /stream\"", "\"GET /flow\""), ..rules.clone() }, "route.unlisted"),
        (
            Rules {
                finance: "modes: { routes.unlisted: enforce }",
                routes: "\"GET /items\": {}".into(),
                ..rules.clone()
            },
            "route.unlisted",
        ),
    ] {
        site.publish(&rules);
        let mut payments = Http1::connect(&site, Some(&site.identity(PAYMENTS)), LEDGER).await.unwrap();
        payments.send("GET", "/stream", "").await;
        let head = payments.head().await;
        assert_eq!(head.status, 200);
        let revision = site.publish(&published);
        while timeout(LONG, payments.read()).await.expect("a cut").is_ok() {}
        let record = site.completion(&head.id).await;
        assert_eq!((&record["reason"], &record["revision"]), (&reason.into(), &revision.into()), "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_of_a_later_revision_is_served_and_one_that_is_gone_is_not() {
    let rules = Rules::default();
    let site = Site::start(&rules, 1).await;
    let leaf = site.identity("spiffe://crews.acme.internal/payments");
    assert!(Http1::connect(&site, Some(&leaf), CREWS).await.is_err(), "nobody's host");
    site.publish(&Rules { crews: true, ..rules.clone() });
    until("a certificate", || site.stats.certificates().len() == 3).await;
    let mut crews = Http1::connect(&site, Some(&leaf), CREWS).await.unwrap();
    assert_eq!(crews.get("/items").await.0.status, 200);
    site.publish(&rules);
    until("the end of it", || site.stats.certificates().len() == 2).await;
    assert_eq!(crews.get("/items").await.0.status, 421);
    assert!(Http1::connect(&site, Some(&leaf), CREWS).await.is_err());
    let mut hr =
        Http1::connect(&site, Some(&site.identity("spiffe://hr.acme.internal/payments")), PEOPLE).await.unwrap();
    assert_eq!(hr.get("/items").await.0.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_moves_to_a_domain_that_a_listener_does_not_serve_is_served_there_no_more() {
    let rules = Rules::default();
    let site = Site::start(&rules, 1).await;
    let payments = site.identity("spiffe://hr.acme.internal/payments");
    let stream = tls_at(&site, site.narrow, Some(&payments), LEDGER, b"http/1.1").await.unwrap();
    let mut old = Http1::over(stream, LEDGER);
    let mut all = Http1::connect(&site, Some(&payments), LEDGER).await.unwrap();
    // by consent: the host is served there
    assert_eq!(old.get("/items").await.0.status, 403);
    site.publish(&Rules { moved: true, ..rules.clone() });
    let (head, body) = old.get("/items").await;
    assert_eq!((head.status, body.contains("route.unknown-host")), (421, true), "{body}");
    assert_eq!(site.decision(&head.id).await["reason"], "route.unknown-host");
    // the listener that serves every domain goes on with it
    assert_eq!(all.get("/items").await.0.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_an_unlisted_route_names_the_service() {
    let site = Site::start(&Rules::default(), 1).await;
    let mut payments = Http1::connect(&site, Some(&site.identity(PAYMENTS)), LEDGER).await.unwrap();
    let (head, _) = payments.get("/nowhere").await;
    let record = site.decision(&head.id).await;
    assert_eq!(
        (&record["reason"], &record["service"]),
        (&"route.unlisted".into(), &"finance/ledger".into()),
        "{record}"
    );
    assert_eq!(record["template"], "");
}
