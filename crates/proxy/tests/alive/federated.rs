//! Callers whose identity another trust domain issues: whom a domain of ours names is that workload, judged as others are.

use std::time::Duration;

use identity::{NODE_OID, node_value};
use testkit::{Authority, Leaf, LeafPlan, RealClock};
use tokio::time::{sleep, timeout};
use types::{Clock as _, TrustDomain};

use crate::{
    client::{Http1, is_answered},
    site::{LEDGER, PAYMENTS, PEOPLE, Rules, Site},
};

const LONG: Duration = Duration::from_secs(10);
/// What finance calls `web`, and hr `cron`.
const WEB: &str = "spiffe://partner.example/web";
const CRON: &str = "spiffe://partner.example/cron";

/// A proxy that trusts the partner's root, and what signs for the partner.
async fn site() -> (Site, Authority) {
    let site = Site::start(&Rules { federated: true, ..Rules::default() }, 1).await;
    let authority = Authority::of("partner.example", RealClock.now());
    let partner = TrustDomain::parse("partner.example").unwrap();
    site.issuer().foreign.lock().unwrap().insert(partner, vec![authority.der().to_vec()]);
    site.issuer_changed();
    let web = theirs(&authority, WEB);
    let end = tokio::time::Instant::now() + LONG;
    while is_answered(&site, &web, LEDGER).await.is_err() {
        assert!(tokio::time::Instant::now() < end, "the bundle did not come");
        sleep(Duration::from_millis(10)).await; // tidy: asks again
    }
    (site, authority)
}

fn theirs(authority: &Authority, id: &str) -> Leaf {
    authority.issue(&LeafPlan::svid(id, RealClock.now()))
}

/// The status and the record of one call.
async fn call(site: &Site, caller: &Leaf, host: &str) -> (u16, serde_json::Value) {
    let mut caller = Http1::connect(site, Some(caller), host).await.unwrap();
    let (head, _) = caller.get("/items").await;
    (head.status, site.decision(&head.id).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_federated_caller_is_the_workload_that_a_domain_names_and_nobody_else_is() {
    let (site, authority) = site().await;
    let (status, record) = call(&site, &theirs(&authority, WEB), LEDGER).await;
    assert_eq!(status, 200, "{record:#}");
    assert_eq!(record["caller"]["spiffe_id"], WEB, "the record says who it was: {record:#}");
    for near in ["spiffe://partner.example/web2", "spiffe://partner.example/web/x", "spiffe://partner.example/payments"]
    {
        let (status, record) = call(&site, &theirs(&authority, near), LEDGER).await;
        assert_eq!((status, &record["reason"]), (403, &"identity.unknown-workload".into()), "{near} (ID-6)");
    }
    // the domain that issues for us cannot make the partner's, nor the partner ours
    let ours = theirs(&authority, PAYMENTS);
    assert!(is_answered(&site, &ours, LEDGER).await.is_err(), "a root of the partner proves nobody of finance");
    let web = site.issuer().authorities()["finance"].signing.issue(&LeafPlan::svid(WEB, RealClock.now()));
    assert!(is_answered(&site, &web, LEDGER).await.is_err(), "a root of finance proves nobody of the partner");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_federated_caller_needs_the_consent_that_any_other_of_its_domain_needs() {
    let (closed, authority) = site().await;
    let cron = theirs(&authority, CRON);
    let (status, record) = call(&closed, &cron, LEDGER).await;
    assert_eq!((status, &record["reason"]), (403, &"consent.provider".into()), "it is of hr: {record:#}");
    let (status, record) = call(&closed, &cron, PEOPLE).await;
    assert_eq!(status, 200, "at home in hr: {record:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_takes_what_was_issued_for_it_along_and_no_federated_caller_that_names_it() {
    let (site, authority) = site().await;
    let on_node = |id: &str| {
        let extensions = vec![(NODE_OID.to_vec(), false, node_value("vm-1").unwrap())];
        LeafPlan { extensions, ..LeafPlan::svid(id, RealClock.now()) }
    };
    let web = authority.issue(&on_node(WEB));
    let own = site.issuer().authorities()["finance"].signing.issue(&on_node(PAYMENTS));
    let mut theirs = Http1::connect(&site, Some(&web), LEDGER).await.unwrap();
    let mut ours = Http1::connect(&site, Some(&own), LEDGER).await.unwrap();
    assert_eq!((theirs.get("/items").await.0.status, ours.get("/items").await.0.status), (200, 200));
    site.revoke(3, &["node:agent/vm-1"], None);
    assert_eq!(timeout(LONG, ours.read()).await.unwrap().unwrap(), 0, "what was issued for the node is closed");
    let (status, record) = call(&site, &own, LEDGER).await;
    assert_eq!((status, &record["reason"]), (403, &"signals.revoked".into()), "{record:#}");
    // what another issuer wrote into our private extension says nothing
    assert_eq!(theirs.get("/items").await.0.status, 200);
    assert_eq!(call(&site, &web, LEDGER).await.0, 200);
    site.revoke(4, &[WEB], None);
    assert_eq!(timeout(LONG, theirs.read()).await.unwrap().unwrap(), 0, "the open connection ends");
    let (status, record) = call(&site, &web, LEDGER).await;
    assert_eq!((status, &record["reason"]), (403, &"signals.revoked".into()), "{record:#}");
}
