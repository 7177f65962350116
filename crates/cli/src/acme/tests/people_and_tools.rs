//! People, payroll, directory.

use serde_json::json;

use super::{Running, each};

#[tokio::test]
async fn people_are_listed_without_their_contacts() {
    let people = Running::start("people").await;
    let (status, everyone) = people.get("/people").await;
    assert_eq!((status, everyone.as_array().unwrap().len()), (200, 9));
    assert!(everyone[0].get("address").is_none(), "{everyone}");
    let (_, platform) = people.get("/people?team=Platform").await;
    assert_eq!(each(&platform, "id"), ["p-1003", "p-1004"]);
    let (_, contact) = people.get("/people/p-1003/contact").await;
    assert_eq!(contact["address"], json!("Uferstrasse 9, Berlin"));
    assert_eq!(people.get("/people/p-1").await.0, 404);
    assert_eq!(people.get("/people/p-1/contact").await.0, 404);
    people.stop().await;
}

#[tokio::test]
async fn people_are_added_changed_and_found() {
    let people = Running::start("people").await;
    let new = json!({ "name": "Noor Haddad", "email": "noor@acme.internal", "team": "Tools", "role": "Designer" });
    let (status, added) = people.post("/people", new.clone()).await;
    assert_eq!((status, &added["id"]), (201, &json!("p-1010")));
    assert_eq!(people.post("/people", new).await.0, 409);
    let (status, changed) = people.send("PATCH", "/people/p-1010", json!({ "team": "Platform" })).await;
    assert_eq!((status, &changed["team"], &changed["role"]), (200, &json!("Platform"), &json!("Designer")));
    assert_eq!(people.send("PATCH", "/people/p-1010", json!({})).await.0, 422);
    assert_eq!(people.send("PATCH", "/people/p-1", json!({ "team": "Sales" })).await.0, 404);
    let (_, found) = people.post("/search", json!({ "text": "noor" })).await;
    assert_eq!(each(&found, "id"), ["p-1010"]);
    assert_eq!(people.post("/search", json!({ "text": "grete" })).await.1, json!([]), "those who left are not found");
    let wrong = json!({ "name": "No One", "email": "nowhere", "team": "Tools", "role": "Designer" });
    assert_eq!(people.invalid("/people", wrong).await, "`email` is not an address");
    people.stop().await;
}

#[tokio::test]
async fn a_salary_is_read_and_set() {
    let payroll = Running::start("payroll").await;
    assert_eq!(payroll.get("/salaries").await.1.as_array().unwrap().len(), 8);
    let (status, set) =
        payroll.send("PUT", "/salaries/p-1003", json!({ "monthly_cents": 625000, "grade": "L4" })).await;
    assert_eq!((status, &set["monthly_cents"]), (200, &json!(625000)));
    assert_eq!(payroll.get("/salaries/p-1003").await.1, set);
    let wrong = json!({ "monthly_cents": -1, "grade": "L4" });
    assert_eq!(payroll.send("PUT", "/salaries/p-1003", wrong).await.0, 422);
    let wrong = json!({ "monthly_cents": 1, "grade": "L9" });
    assert_eq!(payroll.send("PUT", "/salaries/p-1003", wrong).await.0, 422);
    assert_eq!(payroll.send("PUT", "/salaries/p-1", json!({ "monthly_cents": 1, "grade": "L4" })).await.0, 404);
    assert_eq!(payroll.get("/salaries/p-1").await.0, 404);
    payroll.stop().await;
}

#[tokio::test]
async fn a_run_makes_payslips_once_and_sums_them() {
    let payroll = Running::start("payroll").await;
    let (status, run) = payroll.post("/runs", json!({ "month": "2026-11" })).await;
    assert_eq!((status, &run["people"]), (201, &json!(8)));
    assert_eq!(payroll.post("/runs", json!({ "month": "2026-11" })).await.0, 409);
    assert_eq!(payroll.post("/runs", json!({ "month": "2026-13" })).await.0, 422);
    assert_eq!(each(&payroll.get("/runs").await.1, "month"), ["2026-11", "2026-10", "2026-09"]);
    let (_, lines) = payroll.get("/runs/2026-11").await;
    let gross: i64 = each(&lines, "gross_cents").iter().map(|cents| cents.as_i64().unwrap()).sum();
    let (_, total) = payroll.get("/runs/2026-11/total").await;
    assert_eq!((&total["gross_cents"], &total["people"]), (&json!(gross), &json!(8)));
    assert_eq!(payroll.get("/runs/2026-12/total").await.0, 404);
    assert_eq!(payroll.get("/runs/2026-12").await.0, 404);
    let (_, payslips) = payroll.get("/payslips/p-1003").await;
    assert_eq!(each(&payslips, "month"), ["2026-11", "2026-10", "2026-09"]);
    assert_eq!(payroll.get("/payslips/p-1").await.0, 404);
    payroll.stop().await;
}

#[tokio::test]
async fn the_directory_is_read_searched_and_edited() {
    let directory = Running::start("directory").await;
    assert_eq!(directory.get("/colleagues").await.1.as_array().unwrap().len(), 8);
    assert_eq!(each(&directory.get("/colleagues?team=Tools").await.1, "handle"), ["chiara", "emil"]);
    assert_eq!(each(&directory.get("/teams").await.1, "colleagues"), [2, 2, 2, 2]);
    assert_eq!(each(&directory.get("/search?q=BUDGET").await.1, "handle"), ["mira"]);
    assert_eq!(directory.get("/search?q=b").await.0, 422);
    let profile = json!({ "phone": "185", "desk": "3.09", "about": "Moved." });
    let (status, edited) = directory.send("PUT", "/colleagues/chiara", profile.clone()).await;
    assert_eq!((status, &edited["desk"]), (200, &json!("3.09")));
    assert_eq!(directory.get("/colleagues/chiara").await.1, edited);
    assert_eq!(directory.send("PUT", "/colleagues/nobody", profile).await.0, 404);
    let wrong = json!({ "phone": "+49", "desk": "3.09", "about": "" });
    assert_eq!(directory.send("PUT", "/colleagues/chiara", wrong).await.0, 422);
    assert_eq!(directory.get("/colleagues/nobody").await.0, 404);
    directory.stop().await;
}
