//! Which version of which component runs where, and what ran before.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    routing::{get, post},
};
use rusqlite::{Connection, params};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::acme::{
    store::{Record, Store, all, change, exists, one},
    web::{Body, Found, Listed, Made, Refusal, ensure, ensure_length, made},
};

const DEPLOYS: &str = "SELECT id, component, version, environment, rolls_back, at FROM deploys";
const ENVIRONMENTS: [&str; 2] = ["staging", "production"];

pub(super) fn router(store: Store) -> Router {
    Router::new()
        .route("/deploys", get(deploys).post(deploy))
        .route("/deploys/{id}", get(deployment))
        .route("/deploys/{id}/rollback", post(roll_back))
        .route("/environments", get(environments))
        .with_state(store)
}

#[derive(Deserialize)]
struct Filter {
    environment: Option<String>,
    component: Option<String>,
}

async fn deploys(State(store): State<Store>, Query(filter): Query<Filter>) -> Listed {
    let sql = format!(
        "{DEPLOYS} WHERE (?1 IS NULL OR environment = ?1) AND (?2 IS NULL OR component = ?2) ORDER BY id DESC LIMIT 200"
    );
    store.run(move |db| all(db, &sql, [filter.environment, filter.component])).await.map(Json)
}

async fn deployment(State(store): State<Store>, Path(id): Path<i64>) -> Found {
    store.run(move |db| deploy_of(db, id)).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewDeploy {
    component: String,
    version: String,
    environment: String,
}

async fn deploy(State(store): State<Store>, Body(new): Body<NewDeploy>) -> Made {
    ensure_length("component", &new.component, 2, 50)?;
    ensure_length("version", &new.version, 1, 50)?;
    ensure(ENVIRONMENTS.contains(&new.environment.as_str()), "`environment` is `staging` or `production`")?;
    store
        .run(move |db| {
            let sql = "INSERT INTO deploys (component, version, environment) VALUES (?1, ?2, ?3)";
            change(db, sql, params![new.component, new.version, new.environment])?;
            deploy_of(db, db.last_insert_rowid())
        })
        .await
        .map(made)
}

async fn roll_back(State(store): State<Store>, Path(id): Path<i64>) -> Made {
    store
        .run(move |db| {
            deploy_of(db, id)?;
            if exists(db, "SELECT 1 FROM deploys WHERE rolls_back = ?1", [id])? {
                return Err(Refusal::Conflict("the deployment is already rolled back".to_owned()));
            }
            let sql = "INSERT INTO deploys (component, version, environment, rolls_back)
                SELECT old.component, old.version, old.environment, bad.id FROM deploys AS bad JOIN deploys AS old
                ON old.component = bad.component AND old.environment = bad.environment AND old.id < bad.id
                WHERE bad.id = ?1 ORDER BY old.id DESC LIMIT 1";
            match change(db, sql, [id])? {
                0 => Err(Refusal::Conflict("nothing ran there before".to_owned())),
                _ => deploy_of(db, db.last_insert_rowid()),
            }
        })
        .await
        .map(made)
}

async fn environments(State(store): State<Store>) -> Result<Json<Vec<Value>>, Refusal> {
    store
        .run(|db| {
            let sql = "SELECT component, version FROM deploys
                WHERE id IN (SELECT MAX(id) FROM deploys WHERE environment = ?1 GROUP BY component) ORDER BY component";
            ENVIRONMENTS.iter().map(|name| Ok(json!({ "name": name, "running": all(db, sql, [name])? }))).collect()
        })
        .await
        .map(Json)
}

fn deploy_of(db: &Connection, id: i64) -> Result<Record, Refusal> {
    one(db, &format!("{DEPLOYS} WHERE id = ?1"), [id], "there is no such deployment")
}
