//! Expense reports: filed, approved by somebody else, withdrawn while nobody has.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use rusqlite::{Connection, params};
use serde::Deserialize;

use crate::acme::{
    store::{Record, Store, all, change, one},
    web::{Body, Found, Listed, Made, Refusal, ensure, ensure_cents, ensure_length, made},
};

const REPORTS: &str = "SELECT id, colleague, purpose, account, cents, filed_at, approved_by, approved_at FROM reports";

pub(super) fn router(store: Store) -> Router {
    Router::new()
        .route("/reports", get(reports).post(file))
        .route("/reports/{id}", get(report).delete(withdraw))
        .route("/reports/{id}/approval", post(approve))
        .with_state(store)
}

#[derive(Deserialize)]
struct Filter {
    colleague: Option<String>,
}

async fn reports(State(store): State<Store>, Query(filter): Query<Filter>) -> Listed {
    let sql = format!("{REPORTS} WHERE ?1 IS NULL OR colleague = ?1 ORDER BY id DESC LIMIT 200");
    store.run(move |db| all(db, &sql, [filter.colleague])).await.map(Json)
}

async fn report(State(store): State<Store>, Path(id): Path<i64>) -> Found {
    store.run(move |db| report_of(db, id)).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewReport {
    colleague: String,
    purpose: String,
    account: String,
    cents: i64,
}

async fn file(State(store): State<Store>, Body(new): Body<NewReport>) -> Made {
    ensure_length("colleague", &new.colleague, 2, 50)?;
    ensure_length("purpose", &new.purpose, 3, 200)?;
    let digits = new.account.bytes().all(|b| b.is_ascii_digit());
    ensure(digits && new.account.len() == 4, "`account` is a number of four digits")?;
    ensure_cents(new.cents)?;
    store
        .run(move |db| {
            let sql = "INSERT INTO reports (colleague, purpose, account, cents) VALUES (?1, ?2, ?3, ?4)";
            change(db, sql, params![new.colleague, new.purpose, new.account, new.cents])?;
            report_of(db, db.last_insert_rowid())
        })
        .await
        .map(made)
}

async fn withdraw(State(store): State<Store>, Path(id): Path<i64>) -> Result<StatusCode, Refusal> {
    store
        .run(move |db| {
            report_of(db, id)?;
            match change(db, "DELETE FROM reports WHERE id = ?1 AND approved_at IS NULL", [id])? {
                0 => Err(Refusal::Conflict("the report is already approved".to_owned())),
                _ => Ok(StatusCode::NO_CONTENT),
            }
        })
        .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    by: String,
}

async fn approve(State(store): State<Store>, Path(id): Path<i64>, Body(Approval { by }): Body<Approval>) -> Made {
    ensure_length("by", &by, 2, 50)?;
    store
        .run(move |db| {
            let report = report_of(db, id)?;
            ensure(
                report.get("colleague").and_then(|name| name.as_str()) != Some(&by),
                "nobody approves their own report",
            )?;
            let sql = "UPDATE reports SET approved_by = ?2, approved_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now')
                WHERE id = ?1 AND approved_at IS NULL";
            match change(db, sql, params![id, by])? {
                0 => Err(Refusal::Conflict("the report is already approved".to_owned())),
                _ => report_of(db, id),
            }
        })
        .await
        .map(made)
}

fn report_of(db: &Connection, id: i64) -> Result<Record, Refusal> {
    one(db, &format!("{REPORTS} WHERE id = ?1"), [id], "there is no such report")
}
