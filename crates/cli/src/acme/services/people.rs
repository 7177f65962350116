//! Who works here: names and teams for many, private contacts for few.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    routing::{get, post},
};
use rusqlite::{Connection, params};
use serde::Deserialize;

use crate::acme::{
    store::{Record, Store, all, change, exists, one},
    web::{Body, Found, Listed, Made, Refusal, ensure, ensure_length, made},
};

const PEOPLE: &str = "SELECT 'p-' || number AS id, name, email, team, role, since, until FROM people";
const NOBODY: &str = "there is no such person";

pub(super) fn router(store: Store) -> Router {
    Router::new()
        .route("/people", get(people).post(add))
        .route("/people/{id}", get(person).patch(update))
        .route("/people/{id}/contact", get(contact))
        .route("/search", post(search))
        .with_state(store)
}

#[derive(Deserialize)]
struct Filter {
    team: Option<String>,
}

async fn people(State(store): State<Store>, Query(filter): Query<Filter>) -> Listed {
    let sql = format!("{PEOPLE} WHERE ?1 IS NULL OR team = ?1 ORDER BY number LIMIT 200");
    store.run(move |db| all(db, &sql, [filter.team])).await.map(Json)
}

async fn person(State(store): State<Store>, Path(id): Path<String>) -> Found {
    store.run(move |db| person_of(db, &id)).await.map(Json)
}

async fn contact(State(store): State<Store>, Path(id): Path<String>) -> Found {
    let sql = "SELECT 'p-' || number AS id, address, emergency_contact FROM people WHERE 'p-' || number = ?1";
    store.run(move |db| one(db, sql, [id], NOBODY)).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPerson {
    name: String,
    email: String,
    team: String,
    role: String,
}

async fn add(State(store): State<Store>, Body(new): Body<NewPerson>) -> Made {
    ensure_length("name", &new.name, 2, 100)?;
    ensure_length("team", &new.team, 2, 50)?;
    ensure_length("role", &new.role, 2, 100)?;
    ensure_email(&new.email)?;
    store
        .run(move |db| {
            if exists(db, "SELECT 1 FROM people WHERE email = ?1", [&new.email])? {
                return Err(Refusal::Conflict("somebody has this address already".to_owned()));
            }
            let sql = "INSERT INTO people (name, email, team, role) VALUES (?1, ?2, ?3, ?4)";
            change(db, sql, params![new.name, new.email, new.team, new.role])?;
            person_of(db, &format!("p-{}", db.last_insert_rowid()))
        })
        .await
        .map(made)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    team: Option<String>,
    role: Option<String>,
    address: Option<String>,
    emergency_contact: Option<String>,
}

async fn update(State(store): State<Store>, Path(id): Path<String>, Body(update): Body<Update>) -> Found {
    let given = [
        ("team", &update.team),
        ("role", &update.role),
        ("address", &update.address),
        ("emergency_contact", &update.emergency_contact),
    ];
    ensure(given.iter().any(|(_, value)| value.is_some()), "nothing to change")?;
    for (name, value) in given {
        value.as_deref().map_or(Ok(()), |text| ensure_length(name, text, 2, 200))?;
    }
    store
        .run(move |db| {
            let sql = "UPDATE people SET team = COALESCE(?2, team), role = COALESCE(?3, role),
                address = COALESCE(?4, address), emergency_contact = COALESCE(?5, emergency_contact)
                WHERE 'p-' || number = ?1";
            change(db, sql, params![id, update.team, update.role, update.address, update.emergency_contact])?;
            person_of(db, &id)
        })
        .await
        .map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    text: String,
}

async fn search(State(store): State<Store>, Body(wanted): Body<Search>) -> Listed {
    ensure_length("text", &wanted.text, 2, 100)?;
    let sql = format!(
        "{PEOPLE} WHERE until IS NULL AND (instr(lower(name), lower(?1)) OR instr(lower(role), lower(?1)))
         ORDER BY name LIMIT 50"
    );
    store.run(move |db| all(db, &sql, [wanted.text])).await.map(Json)
}

fn person_of(db: &Connection, id: &str) -> Result<Record, Refusal> {
    one(db, &format!("{PEOPLE} WHERE 'p-' || number = ?1"), [id], NOBODY)
}

fn ensure_email(text: &str) -> Result<(), Refusal> {
    let fits = text.split_once('@').is_some_and(|(local, host)| !local.is_empty() && host.contains('.'));
    ensure(fits && !text.contains(char::is_whitespace) && text.len() <= 200, "`email` is not an address")
}
