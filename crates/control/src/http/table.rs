//! Every question of the admin API: method, path, and who may ask. The router is made of this table and nothing else, so
//! that a test that walks over it walks over everything.

use api::admin::Admin;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, any};
use policy::Act;
use types::limits::{self, Limit};

use super::Service;
use super::answer::{unknown, wrong_method};
use super::door::admit;
use super::questions::{
    Nothing, OfCaller, OfRoute, acting, asking, asking_with, bundle, decisions, document, explain, metrics,
    publications,
};
use crate::service::Control;

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Whoever may see what control knows: the act `view`.
    View,
    /// An operator whom the act itself judges; the word that stands in records.
    Act(&'static str),
}

/// One question.
pub(super) struct Endpoint {
    /// The method, such as `GET`.
    pub method: &'static str,
    /// The path, with `{name}` for what varies.
    pub path: &'static str,
    /// Who may ask.
    pub kind: Kind,
    /// Whether it has parameters behind `?`.
    pub query: bool,
    /// An act that is judged before the body is read: what is long is read for those only who may send it.
    pub first: Option<Act<'static>>,
    /// The longest body that is read.
    body: &'static Limit,
    handler: Handler,
}

type Handler = fn() -> MethodRouter<Service>;

const fn view(path: &'static str, handler: Handler) -> Endpoint {
    let body = &limits::ADMIN_BODY_BYTES;
    Endpoint { method: "GET", path, kind: Kind::View, query: false, first: None, body, handler }
}

const fn view_with(path: &'static str, handler: Handler) -> Endpoint {
    Endpoint { query: true, ..view(path, handler) }
}

const fn act(path: &'static str, word: &'static str, handler: Handler) -> Endpoint {
    Endpoint { method: "POST", kind: Kind::Act(word), ..view(path, handler) }
}

/// The table.
pub(super) static ENDPOINTS: &[Endpoint] = &[
    view("/v1/openapi.json", document),
    view("/v1/status", || asking(|control| Ok(control.status()))),
    view("/v1/health", || asking(|control| Ok(control.health()))),
    view("/v1/doctor", || asking(|control| Ok(control.doctor()))),
    view("/v1/metrics", metrics),
    view("/v1/map", || asking(|control| Ok(control.map()))),
    view_with("/v1/decisions", decisions),
    view("/v1/decisions/{id}", explain),
    view("/v1/bundles/{domain}", bundle),
    view("/v1/identities", || asking(Control::identities)),
    view("/v1/identities/budget", || asking(Control::budget)),
    view("/v1/rotations", || asking(Control::rotations)),
    act("/v1/rotations", "rotate", || acting(Control::rotate)),
    view("/v1/federated", || asking(Control::federated)),
    view_with("/v1/counts", || asking_with(|control, query| control.counts(query))),
    view_with("/v1/minutes", || asking_with(|control, query| control.minutes(query))),
    view_with("/v1/who-can", || asking_with(|control, query: &OfRoute| control.who_can(&query.route))),
    view_with("/v1/what-can", || asking_with(|control, query: &OfCaller| control.what_can(&query.caller))),
    view_with("/v1/publications", publications),
    Endpoint {
        first: Some(Act::Publish),
        body: &limits::PUBLISH_BODY_BYTES,
        ..act("/v1/publications", "publish", || acting(Control::publish))
    },
    act("/v1/rollback", "rollback", || acting(Control::rollback)),
    view("/v1/proposals", || asking(Control::proposals)),
    act("/v1/proposals/approve", "approve", || acting(Control::approve)),
    act("/v1/proposals/withdraw", "withdraw", || acting(Control::withdraw)),
    view("/v1/revocations", || asking(Control::revocations)),
    act("/v1/revocations", "revoke", || acting(Control::revoke)),
    act("/v1/restore", "restore", || acting(Control::restore)),
    view("/v1/peers", || asking(Control::fleet)),
    act("/v1/peers/retire", "retire", || acting(Control::retire)),
    act("/v1/join-tokens", "join", || acting(Control::join_token)),
    act("/v1/operators/certify", "certify", || acting(Control::certify)),
    act("/v1/impersonate", "impersonate", || acting(Control::impersonate)),
    act("/v1/login-links", "login", || acting(|control, operator, _: &Nothing| control.login_link(operator))),
];

/// The routes with everything around them. What is not below `/v1` is somebody else's, or nothing.
pub(super) fn router(service: Service) -> Router {
    let routes = ENDPOINTS.iter().fold(Router::new(), |router, endpoint| {
        let handler = (endpoint.handler)()
            .route_layer(from_fn_with_state((service.clone(), endpoint), admit))
            .route_layer(DefaultBodyLimit::max(endpoint.body.default_usize()));
        router.route(endpoint.path, handler)
    });
    routes
        .route("/v1/{*rest}", any(unknown))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(service)
}
