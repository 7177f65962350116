//! Responses: pages, refusals and redirections, put together in one place.

use api::admin::{Admin, Failure, FailureCode};
use askama::Template;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use types::Timestamp;

use crate::Console;
use crate::session::Frame;

/// What a page is built from.
pub(crate) struct Ask<'a> {
    /// Who answers.
    pub admin: &'a dyn Admin,
    /// When it is asked.
    pub now: Timestamp,
}

impl Console {
    /// Builds and renders a page aside from the threads that serve: answers read files and the store.
    pub(crate) async fn show<T: Template>(
        self,
        frame: Frame,
        build: impl FnOnce(&Ask<'_>, Frame) -> Result<T, Failure> + Send + 'static,
    ) -> Response {
        let spare = frame.clone();
        let built = self.aside(move |admin, now| match build(&Ask { admin, now }, frame) {
            Ok(view) => page(StatusCode::OK, &view),
            Err(failure) => failed(spare, &failure),
        });
        built.await.unwrap_or_else(|failure| plain(status(failure.code), &format!("{failure}\n")))
    }

    /// Does something that changes the installation, then goes to the page that shows it.
    pub(crate) async fn act(
        self,
        frame: Frame,
        to: &'static str,
        act: impl FnOnce(&dyn Admin) -> Result<(), Failure> + Send + 'static,
    ) -> Response {
        let acted = self.aside(move |admin, _| act(admin)).await;
        match acted.and_then(|result| result) {
            Ok(()) => see(to),
            Err(failure) => failed(frame, &failure),
        }
    }

    /// Asks the admin service where waiting is allowed.
    pub(crate) async fn aside<T: Send + 'static>(
        self,
        ask: impl FnOnce(&dyn Admin, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let asked = tokio::task::spawn_blocking(move || ask(&*self.admin, self.clock.now()));
        asked.await.map_err(|error| {
            tracing::error!(%error, "an answer of the console failed");
            Failure::new(FailureCode::Unavailable, "the answer failed", "see the log of the process")
        })
    }
}

/// A rendered page.
pub(crate) fn page<T: Template>(status: StatusCode, view: &T) -> Response {
    match view.render() {
        Ok(text) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page of the console cannot be rendered");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be rendered: see the log of the process\n")
        }
    }
}

/// Words without a page.
pub(crate) fn plain(status: StatusCode, words: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], words.to_owned()).into_response()
}

/// To another page, by GET.
pub(crate) fn see(to: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, to.to_owned())]).into_response()
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage<'a> {
    frame: Frame,
    failure: &'a Failure,
    title: &'static str,
}

/// Why something was not done, for an operator.
pub(crate) fn failed(frame: Frame, failure: &Failure) -> Response {
    let title = match failure.code {
        FailureCode::BadRequest | FailureCode::WrongMethod | FailureCode::WrongType => "That cannot be understood",
        FailureCode::Unidentified => "Nobody known asks that",
        FailureCode::TooLarge => "That is too long",
        FailureCode::NotAllowed => "Policy refuses that",
        FailureCode::NotFound => "There is no such thing",
        FailureCode::Ambiguous => "More than one thing has that name",
        FailureCode::Conflict => "Something else happened first",
        FailureCode::Unavailable => "That cannot be done now",
    };
    page(status(failure.code), &FailurePage { frame, failure, title })
}

fn status(code: FailureCode) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[derive(Template)]
#[template(path = "locked.html")]
struct LockedPage {
    /// What the visitor came for was an act, which was not done.
    acted: bool,
}

/// For a browser without a session: how to get one.
pub(crate) fn locked(headers: &HeaderMap, acted: bool) -> Response {
    if headers.contains_key("hx-request") {
        return plain(StatusCode::UNAUTHORIZED, "The session has ended: `countersign login` prints a new link.\n");
    }
    page(StatusCode::UNAUTHORIZED, &LockedPage { acted })
}
