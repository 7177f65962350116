//! What people earn: salaries, monthly runs, payslips.

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use rusqlite::{Connection, params};
use serde::Deserialize;

use crate::acme::{
    store::{Record, Store, all, change, exists, one},
    web::{Body, Found, Listed, Made, Refusal, ensure, is_month, made},
};

const SALARIES: &str = "SELECT person, monthly_cents, grade, changed_at FROM salaries";
const NO_SALARY: &str = "there is no salary for that person";
const RUNS: &str =
    "SELECT month, at, (SELECT COUNT(*) FROM payslips WHERE payslips.month = runs.month) AS people FROM runs";
const NO_RUN: &str = "there is no run for that month";

pub(super) fn router(store: Store) -> Router {
    Router::new()
        .route("/salaries", get(salaries))
        .route("/salaries/{id}", get(salary).put(set_salary))
        .route("/payslips/{id}", get(payslips))
        .route("/runs", get(runs).post(start_run))
        .route("/runs/{month}", get(lines))
        .route("/runs/{month}/total", get(total))
        .with_state(store)
}

async fn salaries(State(store): State<Store>) -> Listed {
    store.run(|db| all(db, &format!("{SALARIES} ORDER BY person"), [])).await.map(Json)
}

async fn salary(State(store): State<Store>, Path(person): Path<String>) -> Found {
    store.run(move |db| salary_of(db, &person)).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSalary {
    monthly_cents: i64,
    grade: String,
}

async fn set_salary(State(store): State<Store>, Path(person): Path<String>, Body(new): Body<NewSalary>) -> Found {
    ensure((1..=10_000_000).contains(&new.monthly_cents), "`monthly_cents` is a whole number from 1 to 10,000,000")?;
    ensure(["L1", "L2", "L3", "L4", "L5"].contains(&new.grade.as_str()), "`grade` is one of L1 to L5")?;
    store
        .run(move |db| {
            let sql = "UPDATE salaries SET monthly_cents = ?2, grade = ?3,
                changed_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE person = ?1";
            change(db, sql, params![person, new.monthly_cents, new.grade])?;
            salary_of(db, &person)
        })
        .await
        .map(Json)
}

async fn payslips(State(store): State<Store>, Path(person): Path<String>) -> Listed {
    store
        .run(move |db| {
            salary_of(db, &person)?;
            let sql = "SELECT month, person, gross_cents, tax_cents, net_cents FROM payslips WHERE person = ?1 ORDER BY month DESC";
            all(db, sql, [person])
        })
        .await
        .map(Json)
}

async fn runs(State(store): State<Store>) -> Listed {
    store.run(|db| all(db, &format!("{RUNS} ORDER BY month DESC"), [])).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRun {
    month: String,
}

async fn start_run(State(store): State<Store>, Body(NewRun { month }): Body<NewRun>) -> Made {
    ensure(is_month(&month), "`month` is written like `2026-11`")?;
    store
        .run(move |db| {
            if exists(db, "SELECT 1 FROM runs WHERE month = ?1", [&month])? {
                return Err(Refusal::Conflict("that month was run already".to_owned()));
            }
            change(db, "INSERT INTO runs (month) VALUES (?1)", [&month])?;
            let sql = "INSERT INTO payslips SELECT ?1, person, monthly_cents, monthly_cents * 38 / 100,
                monthly_cents - monthly_cents * 38 / 100 FROM salaries";
            change(db, sql, [&month])?;
            run_of(db, &month)
        })
        .await
        .map(made)
}

async fn lines(State(store): State<Store>, Path(month): Path<String>) -> Listed {
    store
        .run(move |db| {
            run_of(db, &month)?;
            let sql = "SELECT person, gross_cents, tax_cents, net_cents FROM payslips WHERE month = ?1 ORDER BY person";
            all(db, sql, [month])
        })
        .await
        .map(Json)
}

async fn total(State(store): State<Store>, Path(month): Path<String>) -> Found {
    let sql = "SELECT month, COUNT(*) AS people, SUM(gross_cents) AS gross_cents, SUM(net_cents) AS net_cents
        FROM payslips WHERE month = ?1 GROUP BY month";
    store.run(move |db| one(db, sql, [month], NO_RUN)).await.map(Json)
}

fn salary_of(db: &Connection, person: &str) -> Result<Record, Refusal> {
    one(db, &format!("{SALARIES} WHERE person = ?1"), [person], NO_SALARY)
}

fn run_of(db: &Connection, month: &str) -> Result<Record, Refusal> {
    one(db, &format!("{RUNS} WHERE month = ?1"), [month], NO_RUN)
}
