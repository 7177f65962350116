//! The admin service as HTTP/1.1 and JSON on its socket.

use std::sync::Arc;
use std::time::Duration;

use api::admin::{Admin, CountQuery, DEFAULT_LIMIT, DecisionQuery, Decisions, Entry, Failure, FailureCode};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use types::limits;

use crate::acts::LOCAL;
use crate::socket::AdminSocket;

/// How long answers may take once the service was asked to finish.
const DRAIN: Duration = Duration::from_millis(500); // tidy: at the end of the process only

/// The media type of figures.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the handlers share.
#[derive(Clone)]
struct Service {
    admin: Arc<dyn Admin>,
    /// True once the service is to end.
    finishing: watch::Receiver<bool>,
}

/// Serves until `finishing` becomes true, or its sender is gone. Streams that follow the log end then.
///
/// # Errors
/// Never in practice: accepting goes on after errors. The signature is axum's.
pub async fn serve(
    socket: AdminSocket,
    admin: Arc<dyn Admin>,
    finishing: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let late = finishing.clone();
    let routes = routes(Service { admin, finishing: finishing.clone() });
    let serving = axum::serve(socket, routes).with_graceful_shutdown(asked(finishing));
    tokio::select! {
        served = async { serving.await } => served,
        () = async { asked(late).await; tokio::time::sleep(DRAIN).await } => Ok(()),
    }
}

/// Resolves when the service is to end.
async fn asked(mut finishing: watch::Receiver<bool>) {
    let _ = finishing.wait_for(|finish| *finish).await;
}

fn routes(service: Service) -> Router {
    let large = DefaultBodyLimit::max(limits::PUBLISH_BODY_BYTES.default_usize());
    Router::new()
        .route("/v1/status", get(async |asked| ask(asked, |admin| Ok(admin.status())).await))
        .route(
            "/v1/impersonate",
            post(async |asked, body| tell(asked, body, |admin, question| admin.impersonate(LOCAL, question)).await),
        )
        .route("/v1/decisions", get(decisions))
        .route("/v1/decisions/{id}", get(explain))
        .route("/v1/bundles/{domain}", get(bundle))
        .route("/v1/publications", get(publications))
        .route(
            "/v1/publications",
            post(async |asked, body| tell(asked, body, |admin, question| admin.publish(LOCAL, question)).await)
                .layer(large),
        )
        .route(
            "/v1/rollback",
            post(async |asked, body| tell(asked, body, |admin, question| admin.rollback(LOCAL, question)).await),
        )
        .route("/v1/revocations", get(async |asked| ask(asked, |admin| admin.revocations()).await))
        .route(
            "/v1/revocations",
            post(async |asked, body| tell(asked, body, |admin, question| admin.revoke(LOCAL, question)).await),
        )
        .route(
            "/v1/restore",
            post(async |asked, body| tell(asked, body, |admin, question| admin.restore(LOCAL, question)).await),
        )
        .merge(knowledge())
        .fallback(async || answer::<()>(Err(Failure::new(FailureCode::NotFound, "there is no such question", ""))))
        .method_not_allowed_fallback(async || StatusCode::METHOD_NOT_ALLOWED)
        .layer(DefaultBodyLimit::max(limits::ADMIN_BODY_BYTES.default_usize()))
        .with_state(service)
}

/// What is known: questions that change nothing, and the way into the console.
fn knowledge() -> Router<Service> {
    Router::new()
        .route("/v1/counts", get(counts))
        .route("/v1/minutes", get(minutes))
        .route("/v1/who-can", get(who_can))
        .route("/v1/what-can", get(what_can))
        .route("/v1/map", get(async |asked| ask(asked, |admin| Ok(admin.map())).await))
        .route("/v1/health", get(async |asked| ask(asked, |admin| Ok(admin.health())).await))
        .route("/v1/doctor", get(async |asked| ask(asked, |admin| Ok(admin.doctor())).await))
        .route("/v1/metrics", get(metrics))
        .route("/v1/login-links", post(async |asked| ask(asked, |admin| admin.login_link(LOCAL)).await))
}

/// A question without parameters.
async fn ask<T: serde::Serialize + Send + 'static>(
    State(service): State<Service>,
    question: impl FnOnce(&dyn Admin) -> Result<T, Failure> + Send + 'static,
) -> Response {
    answer(aside(service.admin, question).await)
}

/// An act that a body describes.
async fn tell<Q: serde::de::DeserializeOwned + Send + 'static, T: serde::Serialize + Send + 'static>(
    State(service): State<Service>,
    body: Result<Bytes, BytesRejection>,
    act: impl FnOnce(&dyn Admin, &Q) -> Result<T, Failure> + Send + 'static,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return answer::<()>(Err(bad_request(&rejection))),
    };
    match serde_json::from_slice::<Q>(&body) {
        Ok(question) => {
            drop(body);
            answer(aside(service.admin, move |admin| act(admin, &question)).await)
        }
        Err(error) => answer::<()>(Err(bad_request(&error))),
    }
}

async fn explain(State(service): State<Service>, Path(id): Path<String>) -> Response {
    answer(aside(service.admin, move |admin| admin.explain(&id)).await)
}

async fn bundle(State(service): State<Service>, Path(domain): Path<String>) -> Response {
    answer(aside(service.admin, move |admin| admin.bundle(&domain)).await)
}

/// How many publications.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    limit: Option<usize>,
}

async fn publications(State(service): State<Service>, query: Result<Query<Many>, QueryRejection>) -> Response {
    asked_with(service, query, |admin, many| admin.publications(many.limit.unwrap_or(DEFAULT_LIMIT))).await
}

async fn counts(State(service): State<Service>, query: Result<Query<CountQuery>, QueryRejection>) -> Response {
    asked_with(service, query, |admin, query| admin.counts(&query)).await
}

async fn minutes(State(service): State<Service>, query: Result<Query<CountQuery>, QueryRejection>) -> Response {
    asked_with(service, query, |admin, query| admin.minutes(&query)).await
}

/// Of which route.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfRoute {
    route: String,
}

async fn who_can(State(service): State<Service>, query: Result<Query<OfRoute>, QueryRejection>) -> Response {
    asked_with(service, query, |admin, query| admin.who_can(&query.route)).await
}

/// Of which caller.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfCaller {
    caller: String,
}

async fn what_can(State(service): State<Service>, query: Result<Query<OfCaller>, QueryRejection>) -> Response {
    asked_with(service, query, |admin, query| admin.what_can(&query.caller)).await
}

/// A question with parameters.
async fn asked_with<Q: Send + 'static, T: serde::Serialize + Send + 'static>(
    service: Service,
    query: Result<Query<Q>, QueryRejection>,
    question: impl FnOnce(&dyn Admin, Q) -> Result<T, Failure> + Send + 'static,
) -> Response {
    match query {
        Ok(Query(query)) => answer(aside(service.admin, move |admin| question(admin, query)).await),
        Err(rejection) => answer::<()>(Err(bad_request(&rejection))),
    }
}

async fn metrics(State(service): State<Service>) -> Response {
    match aside(service.admin, |admin| Ok(admin.metrics())).await {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(failure) => answer::<()>(Err(failure)),
    }
}

async fn decisions(State(service): State<Service>, query: Result<Query<DecisionQuery>, QueryRejection>) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => return answer::<()>(Err(bad_request(&rejection))),
    };
    match aside(service.admin, move |admin| admin.decisions(&query)).await {
        Ok(entries) => {
            let entries = until_finished(entries, service.finishing);
            let lines = ReceiverStream::new(entries).map(|entry| line(&entry));
            ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
        }
        Err(failure) => answer::<()>(Err(failure)),
    }
}

/// The same entries, ended in order when the service ends.
fn until_finished(mut entries: Decisions, finishing: watch::Receiver<bool>) -> Decisions {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let forward = async {
            while let Some(entry) = entries.recv().await {
                if sender.send(entry).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = forward => {}
            () = asked(finishing) => {}
        }
    });
    receiver
}

fn line(entry: &Entry) -> Result<Bytes, serde_json::Error> {
    let mut text = serde_json::to_vec(entry)?;
    text.push(b'\n');
    Ok(Bytes::from(text))
}

/// Answers read files and append to the log: not on the threads that serve.
async fn aside<T: Send + 'static>(
    admin: Arc<dyn Admin>,
    ask: impl FnOnce(&dyn Admin) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let asked = tokio::task::spawn_blocking(move || ask(&*admin)).await;
    asked.unwrap_or_else(|_| {
        Err(Failure::new(FailureCode::Unavailable, "the answer failed", "see the log of the process"))
    })
}

fn bad_request(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(FailureCode::BadRequest, format!("the question cannot be read: {error}"), "")
}

fn answer<T: serde::Serialize>(result: Result<T, Failure>) -> Response {
    let (status, body) = match &result {
        Ok(answer) => (StatusCode::OK, serde_json::to_vec(answer)),
        Err(failure) => {
            let status = StatusCode::from_u16(failure.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, serde_json::to_vec(failure))
        }
    };
    match body {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
