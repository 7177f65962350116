//! Answers: JSON, and a failure in the same form whatever went wrong and wherever.

use std::fmt::Display;
use std::sync::Arc;

use api::admin::{Failure, FailureCode};
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::service::Control;

/// An answer or why there is none.
pub(super) fn answer<T: Serialize>(result: Result<T, Failure>) -> Response {
    match result {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(failure) => refuse(&failure),
    }
}

/// Why there is no answer.
pub(super) fn refuse(failure: &Failure) -> Response {
    json(StatusCode::from_u16(failure.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), failure)
}

fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => {
            let headers = [
                (header::CONTENT_TYPE, "application/json"),
                (header::CACHE_CONTROL, "no-store"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (status, headers, body).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "an answer of the admin API is no JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A question that is none.
pub(super) fn unreadable(error: &dyn Display) -> Failure {
    let shown: String = format!("the question cannot be read: {error}").chars().take(400).collect();
    Failure::new(FailureCode::BadRequest, shown, "docs/openapi.json describes every question")
}

/// A body that could not be taken.
pub(super) fn unread(rejection: &BytesRejection) -> Failure {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Failure::new(FailureCode::TooLarge, "the question is longer than what is read", "");
    }
    unreadable(rejection)
}

/// There is no such question.
pub(super) async fn unknown() -> Response {
    let hint = "`GET /v1/openapi.json` describes the questions there are";
    refuse(&Failure::new(FailureCode::NotFound, "there is no such question", hint))
}

/// There is one, by another method. What methods there are is in the header `Allow`.
pub(super) async fn wrong_method() -> Response {
    let hint = "the header `Allow` names the methods there are";
    refuse(&Failure::new(FailureCode::WrongMethod, "the question is not asked by that method", hint))
}

/// Answers read files and append to the log: not on the threads that serve.
pub(super) async fn aside<T: Send + 'static>(
    control: Arc<Control>,
    ask: impl FnOnce(&Control) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let asked = tokio::task::spawn_blocking(move || ask(&control)).await;
    asked.unwrap_or_else(|error| {
        tracing::error!(%error, "an answer of the admin API failed");
        Err(Failure::new(FailureCode::Unavailable, "the answer failed", "see the log of the process"))
    })
}
