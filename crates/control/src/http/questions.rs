//! How questions are read and answered.

use std::sync::Arc;
use std::time::Duration;

use api::admin::{Admin, DEFAULT_LIMIT, DecisionQuery, Decisions, Entry, Failure, FailureCode};
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use types::limits;

use super::answer::{answer, aside, refuse, unread, unreadable};
use super::door::{Door, Operator};
use super::{Service, asked};
use crate::service::Control;

/// The media type of figures.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The published description of this API.
pub(super) const DOCUMENT: &str = include_str!("../../../../docs/openapi.json");

/// A body that says nothing: `{}` or `null`.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Nothing(#[expect(dead_code, reason = "read only to refuse what says something")] Option<Empty>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

/// Of which route.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfRoute {
    pub route: String,
}

/// Of which caller.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfCaller {
    pub caller: String,
}

/// How many.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    limit: Option<usize>,
}

/// A question without parameters.
pub(super) fn asking<T>(question: fn(&Control) -> Result<T, Failure>) -> MethodRouter<Service>
where
    T: Serialize + Send + 'static,
{
    get(move |State(service): State<Service>| async move { answer(aside(service.control, question).await) })
}

/// A question with parameters.
pub(super) fn asking_with<Q, T>(question: fn(&Control, &Q) -> Result<T, Failure>) -> MethodRouter<Service>
where
    Q: DeserializeOwned + Send + 'static,
    T: Serialize + Send + 'static,
{
    get(move |State(service): State<Service>, query: Result<Query<Q>, QueryRejection>| async move {
        match query {
            Ok(Query(query)) => answer(aside(service.control, move |control| question(control, &query)).await),
            Err(rejection) => refuse(&unreadable(&rejection)),
        }
    })
}

/// An act that a body describes.
pub(super) fn acting<Q, T>(act: fn(&Control, &str, &Q) -> Result<T, Failure>) -> MethodRouter<Service>
where
    Q: DeserializeOwned + Send + 'static,
    T: Serialize + Send + 'static,
{
    post(move |operator: Operator, State(service): State<Service>, body: Result<Bytes, BytesRejection>| async move {
        let body = match body {
            Ok(body) => body,
            Err(rejection) => return refuse(&unread(&rejection)),
        };
        let question = match read::<Q>(&body) {
            Ok(question) => question,
            Err(failure) => return refuse(&failure),
        };
        drop(body);
        answer(aside(service.control, move |control| act(control, operator.name(), &question)).await)
    })
}

/// A body is an object, or null where nothing needs to be said: an array would be understood by the order of fields.
fn read<Q: DeserializeOwned>(body: &[u8]) -> Result<Q, Failure> {
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(unreadable(&"it is an array"));
    }
    serde_json::from_slice(body).map_err(|error| unreadable(&error))
}

/// A question about the thing that the path names.
fn naming<T>(question: fn(&Control, &str) -> Result<T, Failure>) -> MethodRouter<Service>
where
    T: Serialize + Send + 'static,
{
    get(move |State(service): State<Service>, name: Result<Path<String>, PathRejection>| async move {
        match name {
            Ok(Path(name)) => answer(aside(service.control, move |control| question(control, &name)).await),
            Err(rejection) => refuse(&unreadable(&rejection)),
        }
    })
}

pub(super) fn explain() -> MethodRouter<Service> {
    naming(Control::explain)
}

pub(super) fn bundle() -> MethodRouter<Service> {
    naming(Control::bundle)
}

pub(super) fn publications() -> MethodRouter<Service> {
    asking_with(|control, many: &Many| {
        let (limit, most) = (many.limit.unwrap_or(DEFAULT_LIMIT), limits::PUBLICATIONS_LISTED.default_usize());
        if limit > most {
            let message = format!("at most {most} publications can be asked for");
            return Err(Failure::new(FailureCode::BadRequest, message, ""));
        }
        control.publications(limit)
    })
}

pub(super) fn document() -> MethodRouter<Service> {
    get(async || ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response())
}

pub(super) fn metrics() -> MethodRouter<Service> {
    get(async |State(service): State<Service>| match aside(service.control, |control| Ok(control.metrics())).await {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(failure) => refuse(&failure),
    })
}

pub(super) fn decisions() -> MethodRouter<Service> {
    get(listed)
}

async fn listed(
    Extension(door): Extension<Door>,
    State(service): State<Service>,
    query: Result<Query<DecisionQuery>, QueryRejection>,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => return refuse(&unreadable(&rejection)),
    };
    let control = Arc::clone(&service.control);
    match aside(service.control, move |control| control.decisions(&query)).await {
        Ok(entries) => {
            let entries = while_allowed(entries, service.finishing, move || door.may_view(&control));
            let lines = ReceiverStream::new(entries).map(|entry| line(&entry));
            ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
        }
        Err(failure) => refuse(&failure),
    }
}

/// The same entries, ended in order when the service ends, or whoever reads them may not any more.
fn while_allowed(
    mut entries: Decisions,
    finishing: watch::Receiver<bool>,
    may: impl Fn() -> bool + Send + Sync + 'static,
) -> Decisions {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut again = tokio::time::interval(Duration::from_millis(limits::STREAM_CHECK_TIME.default));
        let forward = async {
            loop {
                let entry = tokio::select! {
                    entry = entries.recv() => entry,
                    _ = again.tick() => {
                        if may() { continue }
                        return;
                    }
                };
                let Some(entry) = entry.filter(|_| may()) else { return };
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
