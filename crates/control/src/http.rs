//! The admin service as HTTP/1.1 and JSON on its socket.

use std::sync::Arc;
use std::time::Duration;

use api::admin::{Admin, DecisionQuery, Decisions, Entry, Failure, FailureCode, Impersonate};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use types::limits;

use crate::socket::AdminSocket;

/// How long answers may take once the service was asked to finish.
const DRAIN: Duration = Duration::from_millis(500); // tidy: at the end of the process only

/// The operator whose process has our user id. Policies name it `Operator::"local"`.
const LOCAL: &str = "local";

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
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/impersonate", post(impersonate))
        .route("/v1/decisions", get(decisions))
        .route("/v1/decisions/{id}", get(explain))
        .route("/v1/bundles/{domain}", get(bundle))
        .fallback(async || answer::<()>(Err(Failure::new(FailureCode::NotFound, "there is no such question", ""))))
        .method_not_allowed_fallback(async || StatusCode::METHOD_NOT_ALLOWED)
        .layer(DefaultBodyLimit::max(limits::ADMIN_BODY_BYTES.default_usize()))
        .with_state(service)
}

async fn status(State(service): State<Service>) -> Response {
    answer(Ok(service.admin.status()))
}

async fn impersonate(State(service): State<Service>, body: Result<Bytes, BytesRejection>) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return answer::<()>(Err(bad_request(&rejection))),
    };
    match serde_json::from_slice::<Impersonate>(&body) {
        Ok(question) => answer(aside(service.admin, move |admin| admin.impersonate(LOCAL, &question)).await),
        Err(error) => answer::<()>(Err(bad_request(&error))),
    }
}

async fn explain(State(service): State<Service>, Path(id): Path<String>) -> Response {
    answer(aside(service.admin, move |admin| admin.explain(&id)).await)
}

async fn bundle(State(service): State<Service>, Path(domain): Path<String>) -> Response {
    answer(aside(service.admin, move |admin| admin.bundle(&domain)).await)
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
