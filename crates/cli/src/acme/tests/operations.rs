//! Deploys, audit, status.

use serde_json::{Value, json};

use super::{Running, each};

#[tokio::test]
async fn a_version_is_deployed_and_rolled_back() {
    let deploys = Running::start("deploys").await;
    let new = json!({ "component": "ledger", "version": "2.5.0", "environment": "production" });
    let (status, deployed) = deploys.post("/deploys", new).await;
    assert_eq!((status, &deployed["rolls_back"]), (201, &Value::Null));
    let rollback = format!("/deploys/{}/rollback", deployed["id"]);
    let (status, back) = deploys.post(&rollback, json!({})).await;
    assert_eq!((status, &back["version"], &back["rolls_back"]), (201, &json!("2.4.0"), &deployed["id"]));
    assert_eq!(deploys.post(&rollback, json!({})).await.0, 409);
    let (_, environments) = deploys.get("/environments").await;
    assert_eq!(environments[1]["running"][1], json!({ "component": "ledger", "version": "2.4.0" }));
    let (_, of_ledger) = deploys.get("/deploys?component=ledger&environment=staging").await;
    assert_eq!(each(&of_ledger, "version"), ["2.4.0"]);
    deploys.stop().await;
}

#[tokio::test]
async fn what_cannot_be_deployed_or_rolled_back_is_refused() {
    let deploys = Running::start("deploys").await;
    let wrong = json!({ "component": "ledger", "version": "2.5.0", "environment": "moon" });
    assert_eq!(deploys.invalid("/deploys", wrong).await, "`environment` is `staging` or `production`");
    let wrong = json!({ "component": "ledger", "version": "", "environment": "staging" });
    assert_eq!(deploys.invalid("/deploys", wrong).await, "`version` takes 1 to 50 characters");
    assert_eq!(deploys.post("/deploys/1/rollback", json!({})).await.0, 409, "nothing ran there before");
    assert_eq!(deploys.post("/deploys/999/rollback", json!({})).await.0, 404);
    assert_eq!(deploys.get("/deploys/999").await.0, 404);
    assert_eq!(deploys.get("/deploys/1").await.1["component"], json!("ledger"));
    deploys.stop().await;
}

#[tokio::test]
async fn the_audit_trail_grows_and_is_searched() {
    let audit = Running::start("audit").await;
    let new = json!({ "actor": "finance/ledger", "act": "entry booked", "object": "18" });
    let (status, event) = audit.post("/events", new).await;
    assert_eq!(status, 201);
    assert_eq!(audit.get(&format!("/events/{}", event["id"])).await.1, event);
    assert_eq!(audit.get("/events?limit=1").await.1, json!([event]));
    assert_eq!(each(&audit.get("/events?actor=finance/ledger").await.1, "object"), ["18", "2026-10"]);
    let (_, found) = audit.post("/search", json!({ "act": "paid", "object": "R2039" })).await;
    assert_eq!(each(&found, "actor"), ["finance/invoices"]);
    assert_eq!(audit.post("/search", json!({})).await.0, 422);
    assert_eq!(audit.get("/events/999").await.0, 404);
    let wrong = json!({ "actor": "", "act": "entry booked", "object": "18" });
    assert_eq!(audit.invalid("/events", wrong).await, "`actor` takes 1 to 200 characters");
    audit.stop().await;
}

#[tokio::test]
async fn an_incident_is_opened_updated_and_resolved() {
    let status = Running::start("status").await;
    let (code, opened) = status.post("/incidents", json!({ "component": "ledger", "title": "Slow searches" })).await;
    assert_eq!((code, &opened["state"]), (201, &json!("open")));
    assert_eq!(each(&status.get("/status").await.1["incidents"], "id"), [&opened["id"], &json!(3)]);
    let incident = format!("/incidents/{}", opened["id"]);
    let resolved = json!({ "state": "resolved", "text": "An index was missing." });
    assert_eq!(status.send("PATCH", &incident, resolved.clone()).await.1["state"], json!("resolved"));
    assert_eq!(each(&status.get(&format!("{incident}/updates")).await.1, "text"), ["An index was missing."]);
    assert_eq!(status.send("PATCH", "/incidents/3", resolved.clone()).await.0, 200);
    assert_eq!(status.get("/status").await.1, json!({ "summary": "everything works", "incidents": [] }));
    assert_eq!(status.get("/incidents").await.1.as_array().unwrap().len(), 4);
    assert_eq!(status.send("PATCH", "/incidents/99", resolved).await.0, 404);
    assert_eq!(status.send("PATCH", "/incidents/3", json!({ "state": "gone", "text": "What?" })).await.0, 422);
    assert_eq!(status.get("/incidents/99/updates").await.0, 404);
    status.stop().await;
}
