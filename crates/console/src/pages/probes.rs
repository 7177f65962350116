//! For machines, without a login: whether the process lives, whether it is ready and why not, and its figures.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::{Console, answer};

/// The process answers.
pub(crate) async fn healthz() -> Response {
    answer::plain(StatusCode::OK, "alive\n")
}

/// 200, or 503 with a sentence for each reason.
pub(crate) async fn readyz(State(console): State<Console>) -> Response {
    match console.aside(|admin, _| admin.health()).await {
        Ok(health) if health.ready => answer::plain(StatusCode::OK, "ready\n"),
        Ok(health) => answer::plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{}\n", health.problems.join("\n"))),
        Err(failure) => answer::plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{failure}\n")),
    }
}

/// OpenMetrics.
pub(crate) async fn metrics(State(console): State<Console>) -> Response {
    const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match console.aside(|admin, _| admin.metrics()).await {
        Ok(text) => ([(header::CONTENT_TYPE, KIND)], text).into_response(),
        Err(failure) => answer::plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{failure}\n")),
    }
}
