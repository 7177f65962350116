//! What holds for every response, and who may name which host.

use std::net::Ipv4Addr;
use std::sync::Arc;

use countersign_console::places;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::client::{Site, Still};
use crate::double::{Double, World};

const EVERYWHERE: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

#[tokio::test]
async fn every_answer_carries_the_headers() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    let mut answers = Vec::new();
    for place in places() {
        let path = place.path.replace("{id}", "0").replace("{name}", "htmx.min.js");
        for cookie in ["", &cookie] {
            answers.push((path.clone(), site.send(place.method, &path, &[("cookie", cookie)], "").await));
        }
    }
    answers.push(("nowhere".into(), site.get("/nowhere", &cookie).await));
    answers.push(("method".into(), site.send("PUT", "/map", &[], "").await));
    answers.push(("host".into(), site.send("GET", "/", &[("host", "evil.example")], "").await));
    for (path, answer) in answers {
        for (name, value) in EVERYWHERE {
            assert_eq!(answer.header(name), *value, "{name} of {path}");
        }
    }
}

/// DNS rebinding: a name of another site that resolves to loopback.
#[tokio::test]
async fn another_host_is_refused_with_and_without_a_session() {
    let site = Site::start(World::Acme).await;
    let cookie = site.log_in().await;
    let port = site.address.port();
    for place in places() {
        for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1", &format!("127.0.0.1:{}", port ^ 1)] {
            let answer = site.send(place.method, place.path, &[("host", host), ("cookie", &cookie)], "").await;
            assert_eq!(answer.status, 421, "{place:?} at {host}");
        }
    }
    assert_eq!(
        site.send("GET", "/", &[("host", &format!("localhost:{port}")), ("cookie", &cookie)], "").await.status,
        200
    );
}

#[tokio::test]
async fn machines_ask_without_a_session() {
    let site = Site::start(World::Acme).await;
    assert_eq!(site.get("/healthz", "").await.status, 200);
    assert_eq!(site.get("/readyz", "").await.status, 200);
    let metrics = site.get("/metrics", "").await;
    assert!(
        metrics.body.ends_with("# EOF\n") && metrics.header("content-type").starts_with("application/openmetrics-text")
    );
    site.double.problems.lock().unwrap().push("the decision log is full".into());
    let ready = site.get("/readyz", "").await;
    assert_eq!((ready.status, ready.body.as_str()), (503, "the decision log is full\n"));
    assert_eq!(site.get("/healthz", "").await.status, 200);
    let page = site.get("/", &site.log_in().await).await;
    assert!(page.body.contains("the decision log is full"));
}

#[tokio::test]
async fn it_serves_on_loopback_only_and_ends_when_asked() {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
    let (_finish, finishing) = watch::channel(false);
    let double = Arc::new(Double::new(World::Empty, Arc::new(Still)));
    let refused = countersign_console::serve(listener, double, Arc::new(Still), finishing).await.unwrap_err();
    assert!(refused.to_string().contains("loopback only"), "{refused}");

    let site = Site::start(World::Empty).await;
    assert_eq!(site.get("/healthz", "").await.status, 200);
    site.finish.send(true).unwrap();
    site.serving.await.unwrap().unwrap();
}
