//! The admin API over its router, at every door.

use std::sync::Arc;

use api::admin::Failure;
use axum::Extension;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use identity::{Bundle, BundleSet, VerifiedPeer};
use serde_json::Value;
use testkit::LeafPlan;
use tokio::sync::watch;
use types::facts::{Facts, Outcome};
use types::{Timestamp, TrustDomain};

use super::Service;
use super::door::Door;
use super::table::{self, ENDPOINTS, Endpoint, Kind};
use crate::fixture::{NOW, World, records};

mod document;
mod doors;
mod golden;
mod rules;
mod tls;

/// The user who owns the data directory.
const OWNER: u32 = 1_000;

/// Somebody with this user id.
fn user(uid: u32) -> Door {
    Door::User { uid, owner: OWNER }
}

/// Somebody with a certificate for this SPIFFE ID.
fn peer(world: &World, spiffe_id: &str) -> VerifiedPeer {
    let now = Timestamp::from_seconds(NOW);
    let chain = world.told.system.issue(&LeafPlan::svid(spiffe_id, now)).chain;
    let chain: Vec<_> = chain.into_iter().map(rustls::pki_types::CertificateDer::from).collect();
    let system = TrustDomain::parse("system.example.internal").unwrap();
    let bundle = Bundle::from_der(system, vec![world.told.system.der().to_vec()]).unwrap();
    identity::verify(&chain, &BundleSet::from_iter([bundle]), now).unwrap()
}

fn operator(world: &World, name: &str) -> Door {
    Door::Peer(peer(world, &format!("spiffe://system.example.internal/operator/{name}")))
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn failure(&self) -> Failure {
        serde_json::from_value(self.body.clone()).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

async fn send(world: &World, door: &Door, request: Request<Body>) -> Answer {
    let finishing = watch::Sender::new(false).subscribe();
    let service = Service { control: Arc::clone(&world.control), finishing };
    let routes = table::router(service).layer(Extension(door.clone()));
    let response = TowerToHyperService::new(routes).call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into()));
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

fn request(method: &str, path: &str, body: &str) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path);
    let builder = if method == "POST" { builder.header("content-type", "application/json") } else { builder };
    builder.body(Body::from(body.to_owned())).unwrap()
}

fn document() -> Value {
    serde_json::from_str(super::questions::DOCUMENT).unwrap()
}

/// A request that a question understands: with the document's example for its body, and something for what the path and
/// the query need.
fn good(endpoint: &Endpoint) -> Request<Body> {
    let path = endpoint.path.replace("{id}", "01a20790").replace("{domain}", "shop");
    let query = match endpoint.path {
        "/v1/minutes" => format!("?since={}", (NOW - 60) * 1_000_000),
        "/v1/who-can" => "?route=shop/orders%20GET%20/orders".to_owned(),
        "/v1/what-can" => "?caller=shop/storefront".to_owned(),
        _ => String::new(),
    };
    let operation = &document()["paths"][endpoint.path][endpoint.method.to_lowercase()];
    let example = &operation["requestBody"]["content"]["application/json"]["example"];
    let body = if endpoint.method == "POST" {
        example.to_string().replace("finance/payments", "shop/storefront")
    } else {
        String::new()
    };
    request(endpoint.method, &format!("{path}{query}"), &body)
}

/// The refused acts on record: act, operator, note.
fn refusals(world: &World) -> Vec<(String, String, String)> {
    let refused = |record: &record::OwnedRecord| match record.view().facts {
        Facts::Administration(facts) if facts.outcome == Outcome::Deny => {
            Some((facts.act.to_owned(), facts.operator.to_owned(), facts.note.to_owned()))
        }
        Facts::Issuance(facts) if facts.outcome == Outcome::Deny => {
            Some(("impersonate".to_owned(), facts.via.to_owned(), facts.note.to_owned()))
        }
        _ => None,
    };
    records(world.log.dir()).iter().filter_map(refused).collect()
}
