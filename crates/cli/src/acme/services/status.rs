//! The company's status page: what works, and what is being done about the rest.

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{get, patch},
};
use rusqlite::{Connection, params};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::acme::{
    store::{Record, Store, all, change, one},
    web::{Body, Found, Listed, Made, Refusal, ensure, ensure_length, made},
};

const INCIDENTS: &str = "SELECT id, component, title, state, opened_at FROM incidents";

pub(super) fn router(store: Store) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/incidents", get(incidents).post(open))
        .route("/incidents/{id}", patch(update))
        .route("/incidents/{id}/updates", get(updates))
        .with_state(store)
}

async fn status(State(store): State<Store>) -> Result<Json<Value>, Refusal> {
    let sql = format!("{INCIDENTS} WHERE state <> 'resolved' ORDER BY id DESC");
    let current = store.run(move |db| all(db, &sql, [])).await?;
    let summary = if current.is_empty() { "everything works" } else { "something is being looked at" };
    Ok(Json(json!({ "summary": summary, "incidents": current })))
}

async fn incidents(State(store): State<Store>) -> Listed {
    store.run(|db| all(db, &format!("{INCIDENTS} ORDER BY id DESC LIMIT 200"), [])).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewIncident {
    component: String,
    title: String,
}

async fn open(State(store): State<Store>, Body(new): Body<NewIncident>) -> Made {
    ensure_length("component", &new.component, 2, 50)?;
    ensure_length("title", &new.title, 3, 200)?;
    store
        .run(move |db| {
            let sql = "INSERT INTO incidents (component, title) VALUES (?1, ?2)";
            change(db, sql, params![new.component, new.title])?;
            incident_of(db, db.last_insert_rowid())
        })
        .await
        .map(made)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    state: String,
    text: String,
}

async fn update(State(store): State<Store>, Path(id): Path<i64>, Body(new): Body<Update>) -> Found {
    ensure(
        ["open", "watching", "resolved"].contains(&new.state.as_str()),
        "`state` is `open`, `watching` or `resolved`",
    )?;
    ensure_length("text", &new.text, 3, 500)?;
    store
        .run(move |db| {
            incident_of(db, id)?;
            change(db, "UPDATE incidents SET state = ?2 WHERE id = ?1", params![id, new.state])?;
            let sql = "INSERT INTO updates (incident, state, text) VALUES (?1, ?2, ?3)";
            change(db, sql, params![id, new.state, new.text])?;
            incident_of(db, id)
        })
        .await
        .map(Json)
}

async fn updates(State(store): State<Store>, Path(id): Path<i64>) -> Listed {
    store
        .run(move |db| {
            incident_of(db, id)?;
            all(db, "SELECT state, text, at FROM updates WHERE incident = ?1 ORDER BY rowid", [id])
        })
        .await
        .map(Json)
}

fn incident_of(db: &Connection, id: i64) -> Result<Record, Refusal> {
    one(db, &format!("{INCIDENTS} WHERE id = ?1"), [id], "there is no such incident")
}
