//! One request and its response, for both protocols: decide, then forward or refuse.

use std::rc::Rc;

use http::Response;
use policy::call::Refused;
use tokio::time::Instant;
use types::Reason;

use crate::{
    accept::Connection,
    body::{Inbound, ResponseBody},
    decide::{Denied, decide},
    forward::forward,
    identify::identify,
    line::Line,
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
    line: Rc<Line>,
) -> Response<ResponseBody> {
    let started = Instant::now();
    let decided = decide(&worker, &connection, &head);
    worker.counters().decided(started.elapsed());
    match decided {
        Ok(permitted) => forward(worker, permitted, connection.caller.clone(), head.fields, body, line).await,
        Err(denied) => refuse(&worker, denied),
    }
}

/// Answers bytes that never became a request.
pub fn malformed(worker: &Worker, connection: &Connection, reason: Reason, note: String) -> Response<ResponseBody> {
    let refused = match identify(connection.accepted(worker), connection, &worker.shared().trusted) {
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
