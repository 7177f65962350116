//! The company's phone book.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::header::CONTENT_TYPE,
    response::IntoResponse,
    routing::get,
};
use rusqlite::{Connection, params};
use serde::Deserialize;
use serde_json::Value;

use crate::acme::{
    store::{Record, Store, all, change, one},
    web::{Body, Found, Listed, Refusal, ensure, ensure_length},
};

const COLLEAGUES: &str = "SELECT handle, name, team, phone, desk, about FROM colleagues";

pub(super) fn router(store: Store) -> Router {
    Router::new()
        .route("/colleagues", get(colleagues))
        .route("/colleagues/{handle}", get(colleague).put(edit))
        .route("/colleagues/{handle}/vcard", get(vcard))
        .route("/teams", get(teams))
        .route("/search", get(search))
        .with_state(store)
}

#[derive(Deserialize)]
struct Filter {
    team: Option<String>,
}

async fn colleagues(State(store): State<Store>, Query(filter): Query<Filter>) -> Listed {
    let sql = format!("{COLLEAGUES} WHERE ?1 IS NULL OR team = ?1 ORDER BY name LIMIT 200");
    store.run(move |db| all(db, &sql, [filter.team])).await.map(Json)
}

async fn colleague(State(store): State<Store>, Path(handle): Path<String>) -> Found {
    store.run(move |db| colleague_of(db, &handle)).await.map(Json)
}

/// For address books (RFC 6350). The old intranet links to it.
async fn vcard(State(store): State<Store>, Path(handle): Path<String>) -> Result<impl IntoResponse, Refusal> {
    let found = store.run(move |db| colleague_of(db, &handle)).await?;
    let of = |member: &str| found.get(member).and_then(Value::as_str).unwrap_or_default().replace(['\r', '\n'], " ");
    let card = format!("BEGIN:VCARD\r\nVERSION:4.0\r\nFN:{}\r\nORG:acme;{}\r\nEND:VCARD\r\n", of("name"), of("team"));
    Ok(([(CONTENT_TYPE, "text/vcard")], card))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    phone: String,
    desk: String,
    about: String,
}

async fn edit(State(store): State<Store>, Path(handle): Path<String>, Body(profile): Body<Profile>) -> Found {
    let digits = profile.phone.bytes().all(|b| b.is_ascii_digit());
    ensure(digits && profile.phone.len() == 3, "`phone` is an extension of three digits")?;
    ensure_length("desk", &profile.desk, 1, 20)?;
    ensure_length("about", &profile.about, 0, 500)?;
    store
        .run(move |db| {
            let sql = "UPDATE colleagues SET phone = ?2, desk = ?3, about = ?4 WHERE handle = ?1";
            change(db, sql, params![handle, profile.phone, profile.desk, profile.about])?;
            colleague_of(db, &handle)
        })
        .await
        .map(Json)
}

async fn teams(State(store): State<Store>) -> Listed {
    let sql = "SELECT team AS name, COUNT(*) AS colleagues FROM colleagues GROUP BY team ORDER BY team";
    store.run(move |db| all(db, sql, [])).await.map(Json)
}

#[derive(Deserialize)]
struct Search {
    q: String,
}

async fn search(State(store): State<Store>, Query(Search { q }): Query<Search>) -> Listed {
    ensure_length("q", &q, 2, 100)?;
    let sql = format!(
        "{COLLEAGUES} WHERE instr(lower(name || ' ' || team || ' ' || about), lower(?1)) ORDER BY name LIMIT 50"
    );
    store.run(move |db| all(db, &sql, [q])).await.map(Json)
}

fn colleague_of(db: &Connection, handle: &str) -> Result<Record, Refusal> {
    one(db, &format!("{COLLEAGUES} WHERE handle = ?1"), [handle], "there is no such colleague")
}
