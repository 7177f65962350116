//! Every place of the console: method, path, and who may come. The router is made of this table and nothing else, so
//! that a test that walks over it walks over everything.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use types::limits;

use crate::{Console, answer, assets, pages, shield};

/// Who may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// Anybody on this machine.
    Open,
    /// Forms of our own pages, session or not.
    OwnForm,
    /// A browser with a session.
    Session,
    /// Forms of our own pages in a session.
    Act,
}

/// One place.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The method, such as `GET`.
    pub method: &'static str,
    /// The path, with `{name}` for what varies.
    pub path: &'static str,
    /// Who may come.
    pub door: Door,
    handler: fn() -> MethodRouter<Console>,
}

const fn open(path: &'static str, handler: fn() -> MethodRouter<Console>) -> Place {
    Place { method: "GET", path, door: Door::Open, handler }
}

const fn page(path: &'static str, handler: fn() -> MethodRouter<Console>) -> Place {
    Place { method: "GET", path, door: Door::Session, handler }
}

const fn act(path: &'static str, handler: fn() -> MethodRouter<Console>) -> Place {
    Place { method: "POST", path, door: Door::Act, handler }
}

const PLACES: &[Place] = &[
    open("/healthz", || get(pages::probes::healthz)),
    open("/readyz", || get(pages::probes::readyz)),
    open("/metrics", || get(pages::probes::metrics)),
    open("/assets/{name}", || get(assets::asset)),
    open("/login", || get(pages::login::ask)),
    Place { method: "POST", path: "/login", door: Door::OwnForm, handler: || post(pages::login::enter) },
    act("/logout", || post(pages::login::leave)),
    page("/", || get(pages::overview::show)),
    page("/figures", || get(pages::overview::figures)),
    page("/live", || get(pages::overview::live)),
    page("/map", || get(pages::map::show)),
    page("/decisions", || get(pages::decisions::show)),
    page("/decisions/{id}", || get(pages::decision::show)),
    page("/revisions", || get(pages::revisions::show)),
    act("/rollback", || post(pages::revisions::roll_back)),
    act("/approve", || post(pages::proposals::approve)),
    act("/withdraw", || post(pages::proposals::withdraw)),
    page("/fleet", || get(pages::fleet::show)),
    page("/fleet/{role}/{name}", || get(pages::peer::show)),
    page("/identity", || get(pages::identity::show)),
    page("/identity/now", || get(pages::identity::now)),
    act("/rotate", || post(pages::identity::rotate)),
    page("/trust", || get(pages::trust::show)),
    act("/revoke", || post(pages::trust::revoke)),
    act("/restore", || post(pages::trust::restore)),
    page("/access", || get(pages::access::show)),
    page("/health", || get(pages::health::show)),
];

/// The table.
pub const fn places() -> &'static [Place] {
    PLACES
}

/// The routes with everything around them.
pub(crate) fn router(console: Console) -> Router {
    let routes = PLACES.iter().fold(Router::new(), |router, place| router.route(place.path, (place.handler)()));
    routes
        .fallback(async || answer::plain(StatusCode::NOT_FOUND, "there is no such page\n"))
        .method_not_allowed_fallback(async || answer::plain(StatusCode::METHOD_NOT_ALLOWED, "not by that method\n"))
        .layer(DefaultBodyLimit::max(limits::ADMIN_BODY_BYTES.default_usize()))
        .layer(from_fn_with_state(console.clone(), shield::guard))
        .with_state(console)
}
