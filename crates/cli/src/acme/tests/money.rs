//! Ledger, invoices, expenses.

use serde_json::{Value, json};

use super::{Running, each};

fn entry() -> Value {
    json!({ "debit": "1600", "credit": "1200", "cents": 12950, "text": "Papier Maurer, invoice R2040" })
}

#[tokio::test]
async fn the_ledger_books_an_entry_and_moves_balances() {
    let ledger = Running::start("ledger").await;
    let (_, before) = ledger.get("/accounts/1200").await;
    let (status, booked) = ledger.post("/entries", entry()).await;
    assert_eq!((status, &booked["period"], &booked["cents"]), (201, &json!("2026-11"), &json!(12950)));
    assert_eq!(ledger.get(&format!("/entries/{}", booked["id"])).await, (200, booked.clone()));
    let (_, after) = ledger.get("/accounts/1200").await;
    let balance = |account: &Value| account["balance_cents"].as_i64().unwrap();
    assert_eq!(balance(&after), balance(&before) - 12950);
    let (_, listed) = ledger.get("/entries?account=1200&limit=1").await;
    assert_eq!(listed, json!([booked]));
    ledger.stop().await;
}

#[tokio::test]
async fn the_ledger_refuses_what_makes_no_entry() {
    let ledger = Running::start("ledger").await;
    let with = |member: &str, value: Value| {
        let mut entry = entry();
        entry[member] = value;
        entry
    };
    let (_, before) = ledger.get("/entries").await;
    assert_eq!(ledger.invalid("/entries", with("debit", json!("9999"))).await, "there is no account `9999`");
    assert_eq!(ledger.invalid("/entries", with("debit", json!("1200"))).await, "`debit` and `credit` are two accounts");
    assert!(ledger.invalid("/entries", with("cents", json!(0))).await.starts_with("`cents`"));
    assert!(ledger.invalid("/entries", with("text", json!("  x "))).await.starts_with("`text`"));
    assert!(ledger.invalid("/entries", with("extra", json!(1))).await.contains("unknown field `extra`"));
    let (status, _) = ledger.post("/entries", with("period", json!("2026-10"))).await;
    assert_eq!(status, 409, "a closed month takes no entries");
    assert_eq!(ledger.get("/entries").await.1, before);
    assert_eq!(ledger.get("/entries/999999").await.0, 404);
    assert_eq!(ledger.get("/accounts/0000").await.0, 404);
    ledger.stop().await;
}

#[tokio::test]
async fn the_ledger_reverses_an_entry_once() {
    let ledger = Running::start("ledger").await;
    let (status, reversal) = ledger.post("/entries/13/reversal", json!({ "reason": "booked twice" })).await;
    assert_eq!((status, &reversal["reverses"], &reversal["debit"]), (201, &json!(13), &json!("1600")));
    assert_eq!(ledger.post("/entries/13/reversal", json!({ "reason": "booked twice" })).await.0, 409);
    assert_eq!(ledger.post("/entries/999999/reversal", json!({ "reason": "booked twice" })).await.0, 404);
    ledger.stop().await;
}

#[tokio::test]
async fn the_ledger_closes_a_month_and_opens_the_next() {
    let ledger = Running::start("ledger").await;
    assert_eq!(ledger.post("/periods/2026-11/closing", json!({})).await.0, 201);
    assert_eq!(ledger.post("/periods/2026-11/closing", json!({})).await.0, 409);
    assert_eq!(ledger.post("/periods/2031-01/closing", json!({})).await.0, 404);
    assert_eq!(ledger.post("/periods/soon/closing", json!({})).await.0, 422);
    let (_, booked) = ledger.post("/entries", entry()).await;
    assert_eq!(booked["period"], json!("2026-12"));
    let (_, periods) = ledger.get("/periods").await;
    assert_eq!(periods[0], json!({ "month": "2026-12", "closed_at": null }));
    ledger.stop().await;
}

#[tokio::test]
async fn the_ledger_searches_by_text_and_amount() {
    let ledger = Running::start("ledger").await;
    let (status, found) = ledger.post("/search", json!({ "text": "RENT", "min_cents": 640000 })).await;
    assert_eq!((status, found.as_array().unwrap().len()), (200, 4));
    let (_, found) = ledger.post("/search", json!({ "text": "rent", "max_cents": 1 })).await;
    assert_eq!(found, json!([]));
    ledger.stop().await;
}

#[tokio::test]
async fn an_invoice_is_received_approved_and_paid_in_that_order() {
    let invoices = Running::start("invoices").await;
    let new = json!({ "supplier": "Papier Maurer", "cents": 5400, "text": "Envelopes" });
    let (status, received) = invoices.post("/invoices", new).await;
    assert_eq!((status, &received["status"]), (201, &json!("received")));
    let number = received["number"].as_str().unwrap();
    let (payment, approval) = (format!("/invoices/{number}/payment"), format!("/invoices/{number}/approval"));
    assert_eq!(invoices.post(&payment, json!({})).await.0, 409);
    assert_eq!(invoices.post(&approval, json!({})).await.1["status"], json!("approved"));
    assert_eq!(invoices.post(&approval, json!({})).await.0, 409);
    assert_eq!(invoices.post(&payment, json!({})).await.1["status"], json!("paid"));
    assert_eq!(invoices.post(&payment, json!({})).await.0, 409);
    assert_eq!(invoices.get(&format!("/invoices/{number}")).await.1["status"], json!("paid"));
    invoices.stop().await;
}

#[tokio::test]
async fn invoices_are_listed_by_status_and_summed_by_supplier() {
    let invoices = Running::start("invoices").await;
    let (_, received) = invoices.get("/invoices?status=received").await;
    assert_eq!(each(&received, "number"), ["R2042", "R2041"]);
    assert_eq!(invoices.get("/invoices?status=lost").await.0, 422);
    assert_eq!(invoices.get("/invoices/R1").await.0, 404);
    assert_eq!(invoices.post("/invoices/R1/approval", json!({})).await.0, 404);
    let (_, suppliers) = invoices.get("/suppliers").await;
    assert_eq!(suppliers[0], json!({ "name": "Kernfabrik", "invoices": 2, "open_cents": 0 }));
    let wrong = json!({ "supplier": "P", "cents": 5400, "text": "Envelopes" });
    assert_eq!(invoices.invalid("/invoices", wrong).await, "`supplier` takes 2 to 100 characters");
    invoices.stop().await;
}

#[tokio::test]
async fn a_report_is_filed_and_withdrawn_or_approved_by_another() {
    let expenses = Running::start("expenses").await;
    let new = json!({ "colleague": "emil", "purpose": "Train to Leipzig", "account": "4660", "cents": 7980 });
    let (status, filed) = expenses.post("/reports", new.clone()).await;
    assert_eq!((status, &filed["approved_by"]), (201, &Value::Null));
    let (report, approval) = (format!("/reports/{}", filed["id"]), format!("/reports/{}/approval", filed["id"]));
    assert_eq!(expenses.invalid(&approval, json!({ "by": "emil" })).await, "nobody approves their own report");
    assert_eq!(expenses.post(&approval, json!({ "by": "chiara" })).await.1["approved_by"], json!("chiara"));
    assert_eq!(expenses.post(&approval, json!({ "by": "chiara" })).await.0, 409);
    assert_eq!(expenses.send("DELETE", &report, Value::Null).await.0, 409);
    let (_, other) = expenses.post("/reports", new).await;
    let other = format!("/reports/{}", other["id"]);
    assert_eq!(expenses.send("DELETE", &other, Value::Null).await.0, 204);
    assert_eq!(expenses.get(&other).await.0, 404);
    let (_, of_emil) = expenses.get("/reports?colleague=emil").await;
    assert_eq!(each(&of_emil, "colleague"), ["emil", "emil"]);
    let wrong = json!({ "colleague": "emil", "purpose": "Train", "account": "46x0", "cents": 1 });
    assert_eq!(expenses.invalid("/reports", wrong).await, "`account` is a number of four digits");
    expenses.stop().await;
}
