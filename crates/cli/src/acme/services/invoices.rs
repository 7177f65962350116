//! Invoices of suppliers: received, then approved, then paid.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    routing::{get, post},
};
use rusqlite::{Connection, params};
use serde::Deserialize;

use crate::acme::{
    store::{Record, Store, all, change, one},
    web::{Body, Found, Listed, Made, Refusal, ensure, ensure_cents, ensure_length, made},
};

const INVOICES: &str = "SELECT 'R' || id AS number, supplier, cents, text,
    CASE WHEN paid_at IS NOT NULL THEN 'paid' WHEN approved_at IS NOT NULL THEN 'approved' ELSE 'received' END AS status,
    received_at, approved_at, paid_at FROM invoices";

pub(super) fn router(store: Store) -> Router {
    Router::new()
        .route("/invoices", get(invoices).post(receive))
        .route("/invoices/{number}", get(invoice))
        .route("/invoices/{number}/approval", post(approve))
        .route("/invoices/{number}/payment", post(pay))
        .route("/suppliers", get(suppliers))
        .with_state(store)
}

#[derive(Deserialize)]
struct Filter {
    status: Option<String>,
}

async fn invoices(State(store): State<Store>, Query(filter): Query<Filter>) -> Listed {
    let known = filter.status.as_deref().is_none_or(|status| ["received", "approved", "paid"].contains(&status));
    ensure(known, "`status` is `received`, `approved` or `paid`")?;
    let sql = format!("SELECT * FROM ({INVOICES}) WHERE ?1 IS NULL OR status = ?1 ORDER BY number DESC LIMIT 200");
    store.run(move |db| all(db, &sql, [filter.status])).await.map(Json)
}

async fn invoice(State(store): State<Store>, Path(number): Path<String>) -> Found {
    store.run(move |db| invoice_of(db, &number)).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewInvoice {
    supplier: String,
    cents: i64,
    text: String,
}

async fn receive(State(store): State<Store>, Body(new): Body<NewInvoice>) -> Made {
    ensure_length("supplier", &new.supplier, 2, 100)?;
    ensure_length("text", &new.text, 3, 200)?;
    ensure_cents(new.cents)?;
    store
        .run(move |db| {
            let sql = "INSERT INTO invoices (supplier, cents, text) VALUES (?1, ?2, ?3)";
            change(db, sql, params![new.supplier, new.cents, new.text])?;
            invoice_of(db, &format!("R{}", db.last_insert_rowid()))
        })
        .await
        .map(made)
}

async fn approve(State(store): State<Store>, Path(number): Path<String>) -> Made {
    let sql = "UPDATE invoices SET approved_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now')
        WHERE 'R' || id = ?1 AND approved_at IS NULL";
    advance(store, number, sql, "the invoice is already approved").await
}

async fn pay(State(store): State<Store>, Path(number): Path<String>) -> Made {
    let sql = "UPDATE invoices SET paid_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now')
        WHERE 'R' || id = ?1 AND approved_at IS NOT NULL AND paid_at IS NULL";
    advance(store, number, sql, "only an approved invoice is paid, and only once").await
}

async fn suppliers(State(store): State<Store>) -> Listed {
    let sql = "SELECT supplier AS name, COUNT(*) AS invoices,
        COALESCE(SUM(cents) FILTER (WHERE paid_at IS NULL), 0) AS open_cents FROM invoices GROUP BY supplier ORDER BY supplier";
    store.run(move |db| all(db, sql, [])).await.map(Json)
}

/// Moves an invoice one state on by an update that finds it only in the right state.
async fn advance(store: Store, number: String, sql: &'static str, otherwise: &'static str) -> Made {
    store
        .run(move |db| {
            invoice_of(db, &number)?;
            match change(db, sql, [&number])? {
                0 => Err(Refusal::Conflict(otherwise.to_owned())),
                _ => invoice_of(db, &number),
            }
        })
        .await
        .map(made)
}

fn invoice_of(db: &Connection, number: &str) -> Result<Record, Refusal> {
    one(db, &format!("SELECT * FROM ({INVOICES}) WHERE number = ?1"), [number], "there is no such invoice")
}
