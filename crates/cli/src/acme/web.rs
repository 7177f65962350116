//! What the services' handlers share: bodies read strictly, refusals as JSON.

use axum::{
    Json,
    extract::{FromRequest, Request, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::store::Record;

/// A list of records.
pub(super) type Listed = Result<Json<Vec<Record>>, Refusal>;
/// One record.
pub(super) type Found = Result<Json<Record>, Refusal>;
/// A record that this request made.
pub(super) type Made = Result<(StatusCode, Json<Record>), Refusal>;

/// Why a request was not done.
#[derive(Debug)]
pub(super) enum Refusal {
    /// 404: what the path names does not exist.
    Missing(String),
    /// 409: it exists, but not in a state that allows this.
    Conflict(String),
    /// 422: the body does not say what is needed.
    Invalid(String),
    /// The body could not be read at all.
    Unreadable(JsonRejection),
    /// 500: our own fault. The details go to the log, not to the caller.
    Failed(String),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Missing(message) => (StatusCode::NOT_FOUND, message),
            Self::Conflict(message) => (StatusCode::CONFLICT, message),
            Self::Invalid(message) => (StatusCode::UNPROCESSABLE_ENTITY, message),
            Self::Unreadable(rejection) => (rejection.status(), rejection.body_text()),
            Self::Failed(details) => {
                super::serve::log(&format!("a request failed: {details}"));
                (StatusCode::INTERNAL_SERVER_ERROR, "something went wrong here".to_owned())
            }
        };
        (status, Json(json!({ "error": message }))).into_response()
    }
}

/// A JSON body, read into `T`.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(Refusal::Unreadable(rejection)),
        }
    }
}

/// A made record, as 201.
pub(super) const fn made(record: Record) -> (StatusCode, Json<Record>) {
    (StatusCode::CREATED, Json(record))
}

/// Refuses with 422 unless `holds`.
pub(super) fn ensure(holds: bool, otherwise: &str) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::Invalid(otherwise.to_owned())) }
}

/// Refuses with 422 a text of fewer than `least` or more than `most` characters.
pub(super) fn ensure_length(name: &str, text: &str, least: usize, most: usize) -> Result<(), Refusal> {
    let length = text.trim().chars().count();
    ensure((least..=most).contains(&length), &format!("`{name}` takes {least} to {most} characters"))
}

/// Refuses with 422 an amount that is not between one cent and a billion euro.
pub(super) fn ensure_cents(cents: i64) -> Result<(), Refusal> {
    ensure((1..=100_000_000_000).contains(&cents), "`cents` is a whole number from 1 to 100,000,000,000")
}

/// Whether a text is a month such as `2026-11`.
pub(super) fn is_month(text: &str) -> bool {
    let Some((year, month)) = text.split_once('-') else { return false };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    year.len() == 4
        && month.len() == 2
        && digits(year)
        && digits(month)
        && month.parse().is_ok_and(|number: u8| (1..=12).contains(&number))
}

/// A page's length: what was asked for, within 1 to 200; 50 where nothing was.
pub(super) fn page(limit: Option<i64>) -> i64 {
    limit.unwrap_or(50).clamp(1, 200)
}
