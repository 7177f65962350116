//! Double-entry books: entries are booked and reversed, never changed; a month is closed once.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    routing::{get, post},
};
use rusqlite::{Connection, params};
use serde::Deserialize;

use crate::acme::{
    store::{Record, Store, all, change, exists, one},
    web::{Body, Found, Listed, Made, Refusal, ensure, ensure_cents, ensure_length, is_month, made, page},
};

const ACCOUNTS: &str = "SELECT number, name,
    (SELECT COALESCE(SUM(cents), 0) FROM entries WHERE debit = number)
    - (SELECT COALESCE(SUM(cents), 0) FROM entries WHERE credit = number) AS balance_cents FROM accounts";
const ENTRIES: &str = "SELECT id, period, debit, credit, cents, text, reverses, booked_at FROM entries";
const NO_ENTRY: &str = "there is no such entry";
const NO_PERIOD: &str = "there is no such month in the books";

pub(super) fn router(store: Store) -> Router {
    Router::new()
        .route("/accounts", get(accounts))
        .route("/accounts/{number}", get(account))
        .route("/entries", get(entries).post(book))
        .route("/entries/{id}", get(entry))
        .route("/entries/{id}/reversal", post(reverse))
        .route("/search", post(search))
        .route("/periods", get(periods))
        .route("/periods/{month}/closing", post(close))
        .with_state(store)
}

async fn accounts(State(store): State<Store>) -> Listed {
    store.run(|db| all(db, &format!("{ACCOUNTS} ORDER BY number"), [])).await.map(Json)
}

async fn account(State(store): State<Store>, Path(number): Path<String>) -> Found {
    let sql = format!("{ACCOUNTS} WHERE number = ?1");
    store.run(move |db| one(db, &sql, [number], "there is no such account")).await.map(Json)
}

#[derive(Deserialize)]
struct EntryFilter {
    account: Option<String>,
    limit: Option<i64>,
}

async fn entries(State(store): State<Store>, Query(filter): Query<EntryFilter>) -> Listed {
    let sql = format!("{ENTRIES} WHERE ?1 IS NULL OR ?1 IN (debit, credit) ORDER BY id DESC LIMIT ?2");
    store.run(move |db| all(db, &sql, params![filter.account, page(filter.limit)])).await.map(Json)
}

async fn entry(State(store): State<Store>, Path(id): Path<i64>) -> Found {
    store.run(move |db| entry_of(db, id)).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEntry {
    debit: String,
    credit: String,
    cents: i64,
    text: String,
    period: Option<String>,
}

async fn book(State(store): State<Store>, Body(new): Body<NewEntry>) -> Made {
    ensure_cents(new.cents)?;
    ensure_length("text", &new.text, 3, 200)?;
    ensure(new.debit != new.credit, "`debit` and `credit` are two accounts")?;
    store
        .run(move |db| {
            for number in [&new.debit, &new.credit] {
                let known = exists(db, "SELECT 1 FROM accounts WHERE number = ?1", [number])?;
                ensure(known, &format!("there is no account `{number}`"))?;
            }
            let period = open_period(db, new.period)?;
            let sql = "INSERT INTO entries (period, debit, credit, cents, text) VALUES (?1, ?2, ?3, ?4, ?5)";
            change(db, sql, params![period, new.debit, new.credit, new.cents, new.text])?;
            entry_of(db, db.last_insert_rowid())
        })
        .await
        .map(made)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reversal {
    reason: String,
}

async fn reverse(State(store): State<Store>, Path(id): Path<i64>, Body(reversal): Body<Reversal>) -> Made {
    ensure_length("reason", &reversal.reason, 3, 200)?;
    store
        .run(move |db| {
            entry_of(db, id)?;
            if exists(db, "SELECT 1 FROM entries WHERE reverses = ?1", [id])? {
                return Err(Refusal::Conflict("the entry is already reversed".to_owned()));
            }
            let period = open_period(db, None)?;
            let sql = "INSERT INTO entries (period, debit, credit, cents, text, reverses)
                SELECT ?2, credit, debit, cents, ?3, id FROM entries WHERE id = ?1";
            change(db, sql, params![id, period, reversal.reason])?;
            entry_of(db, db.last_insert_rowid())
        })
        .await
        .map(made)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    text: Option<String>,
    min_cents: Option<i64>,
    max_cents: Option<i64>,
}

async fn search(State(store): State<Store>, Body(wanted): Body<Search>) -> Listed {
    let sql = format!(
        "{ENTRIES} WHERE (?1 IS NULL OR instr(lower(text), lower(?1))) AND cents >= COALESCE(?2, 0)
         AND (?3 IS NULL OR cents <= ?3) ORDER BY id DESC LIMIT 200"
    );
    store.run(move |db| all(db, &sql, params![wanted.text, wanted.min_cents, wanted.max_cents])).await.map(Json)
}

async fn periods(State(store): State<Store>) -> Listed {
    store.run(|db| all(db, "SELECT month, closed_at FROM periods ORDER BY month DESC", [])).await.map(Json)
}

async fn close(State(store): State<Store>, Path(month): Path<String>) -> Made {
    ensure(is_month(&month), "a month is written like `2026-11`")?;
    store
        .run(move |db| {
            let sql = "SELECT month, closed_at FROM periods WHERE month = ?1";
            one(db, sql, [&month], NO_PERIOD)?;
            let closing = "UPDATE periods SET closed_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now')
                WHERE month = ?1 AND closed_at IS NULL";
            if change(db, closing, [&month])? == 0 {
                return Err(Refusal::Conflict("the month is already closed".to_owned()));
            }
            let next = "INSERT OR IGNORE INTO periods (month) VALUES (strftime('%Y-%m', ?1 || '-01', '+1 month'))";
            change(db, next, [&month])?;
            one(db, sql, [&month], NO_PERIOD)
        })
        .await
        .map(made)
}

fn entry_of(db: &Connection, id: i64) -> Result<Record, Refusal> {
    one(db, &format!("{ENTRIES} WHERE id = ?1"), [id], NO_ENTRY)
}

/// The month to book into: the one asked for, if it is open, or else the oldest open one.
fn open_period(db: &Connection, wanted: Option<String>) -> Result<String, Refusal> {
    let sql = "SELECT month FROM periods WHERE closed_at IS NULL AND (?1 IS NULL OR month = ?1) ORDER BY month";
    match db.prepare_cached(sql)?.query_row([wanted], |row| row.get(0)) {
        Err(rusqlite::Error::QueryReturnedNoRows) => Err(Refusal::Conflict("the month is not open".to_owned())),
        other => Ok(other?),
    }
}
