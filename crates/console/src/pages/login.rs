//! The way in and out. The one-time secret stands behind `#` in the link: a browser sends that part to nobody, so it
//! reaches no log, no `Referer` and no prefetch; a script puts it into the form, and a person presses the button.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::session::{Act, Stranger};
use crate::{Console, answer, session};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    refused: bool,
}

/// The form.
pub(crate) async fn ask() -> Response {
    answer::page(StatusCode::OK, &LoginPage { refused: false })
}

/// Redeems the secret. A whole link pasted into the field is understood too.
pub(crate) async fn enter(State(console): State<Console>, Stranger(fields): Stranger) -> Response {
    let given = fields.get("secret").map(|text| text.trim()).unwrap_or_default();
    let secret = given.rsplit('#').next().unwrap_or_default().to_owned();
    let site = Arc::clone(&console.site);
    let asked = console.aside(move |admin, now| admin.log_in(&secret).map(|session| (session, now))).await;
    match asked.and_then(|result| result) {
        Ok((Some(session), now)) => match session::set(&session, now, &site) {
            Some(cookie) => with_cookie(answer::see("/"), cookie),
            None => answer::plain(StatusCode::INTERNAL_SERVER_ERROR, "the session cannot be kept in a cookie\n"),
        },
        Ok((None, _)) => answer::page(StatusCode::FORBIDDEN, &LoginPage { refused: true }),
        Err(failure) => {
            let status = StatusCode::from_u16(failure.code.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            answer::plain(status, &format!("{failure}\n{}\n", failure.hint))
        }
    }
}

/// Ends the session here and there.
pub(crate) async fn leave(State(console): State<Console>, act: Act) -> Response {
    let secret = act.visitor.into_secret();
    let site = Arc::clone(&console.site);
    let left = console.aside(move |admin, _| admin.log_out(&secret)).await;
    match (left, session::clear(&site)) {
        (Ok(()), Some(cookie)) => with_cookie(answer::locked(&HeaderMap::new(), false), cookie),
        _ => answer::plain(StatusCode::SERVICE_UNAVAILABLE, "the session could not be ended\n"),
    }
}

fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}
