//! What services say they did: appended, read and searched, never changed.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    routing::{get, post},
};
use rusqlite::{Connection, params};
use serde::Deserialize;

use crate::acme::{
    store::{Record, Store, all, change, one},
    web::{Body, Found, Listed, Made, Refusal, ensure, ensure_length, made, page},
};

const EVENTS: &str = "SELECT id, actor, act, object, at FROM events";

pub(super) fn router(store: Store) -> Router {
    Router::new()
        .route("/events", get(events).post(append))
        .route("/events/{id}", get(event))
        .route("/search", post(search))
        .with_state(store)
}

#[derive(Deserialize)]
struct Filter {
    actor: Option<String>,
    limit: Option<i64>,
}

async fn events(State(store): State<Store>, Query(filter): Query<Filter>) -> Listed {
    let sql = format!("{EVENTS} WHERE ?1 IS NULL OR actor = ?1 ORDER BY id DESC LIMIT ?2");
    store.run(move |db| all(db, &sql, params![filter.actor, page(filter.limit)])).await.map(Json)
}

async fn event(State(store): State<Store>, Path(id): Path<i64>) -> Found {
    store.run(move |db| event_of(db, id)).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEvent {
    actor: String,
    act: String,
    object: String,
}

async fn append(State(store): State<Store>, Body(new): Body<NewEvent>) -> Made {
    for (name, text) in [("actor", &new.actor), ("act", &new.act), ("object", &new.object)] {
        ensure_length(name, text, 1, 200)?;
    }
    store
        .run(move |db| {
            let sql = "INSERT INTO events (actor, act, object) VALUES (?1, ?2, ?3)";
            change(db, sql, params![new.actor, new.act, new.object])?;
            event_of(db, db.last_insert_rowid())
        })
        .await
        .map(made)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    actor: Option<String>,
    act: Option<String>,
    object: Option<String>,
}

async fn search(State(store): State<Store>, Body(wanted): Body<Search>) -> Listed {
    let given = wanted.actor.is_some() || wanted.act.is_some() || wanted.object.is_some();
    ensure(given, "a search names an `actor`, an `act` or an `object`")?;
    let sql = format!(
        "{EVENTS} WHERE (?1 IS NULL OR actor = ?1) AND (?2 IS NULL OR instr(act, ?2)) AND (?3 IS NULL OR object = ?3)
         ORDER BY id DESC LIMIT 200"
    );
    store.run(move |db| all(db, &sql, [wanted.actor, wanted.act, wanted.object])).await.map(Json)
}

fn event_of(db: &Connection, id: i64) -> Result<Record, Refusal> {
    one(db, &format!("{EVENTS} WHERE id = ?1"), [id], "there is no such event")
}
