//! One request and its response, for both protocols: decide, then forward or refuse.

use std::rc::Rc;

use http::Response;
use policy::call::Refused;
use types::Reason;

use crate::{
    accept::Connection,
    body::{Inbound, ResponseBody},
    decide::{Denied, decide},
    forward::forward,
    identify::identify,
    parse::Head,
    respond::problem,
    worker::Worker,
};

/// Answers one request.
pub async fn exchange(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    head: Head,
    body: Inbound,
) -> Response<ResponseBody> {
    match decide(&worker, &connection, &head) {
        Ok((permit, service)) => forward(worker, permit, service, head.fields, body).await,
        Err(denied) => refuse(&worker, denied),
    }
}

/// Answers bytes that never became a request.
pub fn malformed(worker: &Worker, connection: &Connection, reason: Reason, note: String) -> Response<ResponseBody> {
    let refused = match identify(connection.accepted(worker), connection) {
        Ok(identified) => Refused::new(identified, reason, note),
        Err(refused) => refused,
    };
    refuse(worker, Denied::Refused(refused))
}

fn refuse(worker: &Worker, denied: Denied) -> Response<ResponseBody> {
    match denied {
        Denied::Refused(refused) => {
            let id = refused.reached().accepted().id;
            problem(worker.record_refusal(refused), id)
        }
        Denied::Unrecorded(reason, id) => problem(reason, id),
    }
}
