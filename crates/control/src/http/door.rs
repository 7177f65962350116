//! Who may come in: before any question is read, it is known which operator asks it. Nothing that a browser sends by
//! itself, no cookie and no address, opens the admin API.

use std::sync::Arc;

use api::admin::{Failure, FailureCode};
use axum::Extension;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use axum::middleware::Next;
use axum::response::Response;
use identity::VerifiedPeer;
use policy::Act;

use super::Service;
use super::answer::{aside, refuse};
use super::table::{Endpoint, Kind};
use crate::operators::Stranger;
use crate::service::Control;

/// What a connection says about who is at its other end.
#[derive(Clone, Debug)]
pub(super) enum Door {
    /// A process of this machine.
    User {
        /// Its user.
        uid: u32,
        /// The user who owns the data directory.
        owner: u32,
    },
    /// Somebody who showed a certificate that was good when the connection began.
    Peer(VerifiedPeer),
    /// Somebody who showed none.
    Nobody,
}

impl Door {
    /// The operator at this moment: what held when the connection began may not hold any more.
    fn operator(&self, control: &Control) -> Result<String, Stranger> {
        match self {
            Self::User { uid, owner } => control.operator_of_user(*uid, *owner),
            Self::Peer(peer) => control.operator_of_peer(peer),
            Self::Nobody => Err(Stranger::without_certificate()),
        }
    }

    /// Whether what was let in may go on looking.
    pub(super) fn may_view(&self, control: &Control) -> bool {
        self.operator(control)
            .is_ok_and(|operator| control.parts.revision.load().policies().may(&operator, Act::View).reason.is_none())
    }
}

/// The operator who asks. Made here only, so that no handler runs for anybody else.
#[derive(Clone)]
pub(super) struct Operator(String);

impl Operator {
    pub(super) fn name(&self) -> &str {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let nobody = || refuse(&Stranger::without_certificate().failure());
        parts.extensions.get::<Self>().cloned().ok_or_else(nobody)
    }
}

/// Lets an operator in, and nobody else.
pub(super) async fn admit(
    State((service, endpoint)): State<(Service, &'static Endpoint)>,
    Extension(door): Extension<Door>,
    mut request: Request,
    next: Next,
) -> Response {
    let operator = match door.operator(&service.control) {
        Ok(operator) => operator,
        Err(stranger) => {
            let failure = stranger.failure();
            return turned_away(service.control, endpoint, stranger, failure).await;
        }
    };
    if let Some(failure) = foreign(request.headers()) {
        let stranger = Stranger { claimed: operator, words: failure.message.clone(), hint: "" };
        return turned_away(service.control, endpoint, stranger, failure).await;
    }
    if endpoint.method == "POST" && !is_json(request.headers()) {
        let hint = "send it with `Content-Type: application/json`";
        return refuse(&Failure::new(FailureCode::WrongType, "the question is not JSON", hint));
    }
    if !endpoint.query && request.uri().query().is_some_and(|query| !query.is_empty()) {
        return refuse(&Failure::new(FailureCode::BadRequest, "this question takes no parameters behind `?`", ""));
    }
    let first = if endpoint.kind == Kind::View { Some(Act::View) } else { endpoint.first };
    if let Some(act) = first {
        let name = operator.clone();
        let judged = aside(Arc::clone(&service.control), move |control| control.may(&name, act));
        if let Err(failure) = judged.await {
            return refuse(&failure);
        }
    }
    request.extensions_mut().insert(Operator(operator));
    next.run(request).await
}

/// A refusal before anything was read. That of an act is on record before it is told.
async fn turned_away(control: Arc<Control>, endpoint: &Endpoint, stranger: Stranger, failure: Failure) -> Response {
    if let Kind::Act(act) = endpoint.kind {
        let recorded = aside(control, move |control| {
            control.record_stranger(&stranger, act);
            Ok(())
        });
        if let Err(failure) = recorded.await {
            return refuse(&failure);
        }
    }
    refuse(&failure)
}

/// Why a request is a browser's: every browser says where a request that may act comes from, and no other client does.
/// A page of another site could make a browser use an operator's certificate.
fn foreign(headers: &HeaderMap) -> Option<Failure> {
    let browsers = [header::ORIGIN, HeaderName::from_static("sec-fetch-site")];
    let name = browsers.into_iter().find(|name| headers.contains_key(name))?;
    let message = format!("the admin API takes nothing from pages of a browser, and `{name}` says that it is one");
    Some(Failure::new(
        FailureCode::NotAllowed,
        message,
        "use the console in a browser, and the command line or curl here",
    ))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kinds: Vec<_> = headers.get_all(header::CONTENT_TYPE).iter().collect();
    let [kind] = kinds.as_slice() else { return false };
    let essence = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}
