//! Step 8, forward: a recorded permit, and nothing else, sends a request to an upstream.

use std::{rc::Rc, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use policy::Permit;
use record::Recorded;
use tokio::time::{Instant, sleep_until};
use trustdir::{Service, UpstreamUrl};
use types::{DecisionId, Reason};

use crate::{
    body::{Inbound, Progress, ResponseBody, UpstreamBody},
    headers,
    http1::hop,
    line::Line,
    pool::{self, Sender, Sent},
    respond::problem,
    standing::Standing,
    watch::{Completion, Watched},
    worker::Worker,
};

/// Forwards what was permitted and gives the upstream's answer, or a problem where there is none. Either way the
/// exchange ends with a completion record.
pub async fn forward(
    worker: Rc<Worker>,
    (permit, service): (Recorded<Permit>, Arc<Service>),
    caller: Option<Rc<Standing>>,
    fields: HeaderMap,
    body: Inbound,
    line: Rc<Line>,
) -> Response<ResponseBody> {
    let id = permit.get().situated().accepted().id;
    let progress = Progress::new();
    let completion = Completion::new(Rc::clone(&worker), permit, caller, line, Rc::clone(&progress));
    let permit = completion.open().permit();
    if !Arc::ptr_eq(&service.model, permit.get().situated().routed().service()) {
        // INVARIANT: the upstream is the permitted service's; `decide` hands both over from one revision
        completion.failed(Reason::UpstreamFailed);
        return problem(Reason::UpstreamFailed, id);
    }
    let body = UpstreamBody::new(body, service.limits.body, service.limits.idle, Rc::clone(&progress));
    let Some(request) = upstream_request(permit, fields, body) else {
        completion.failed(Reason::UpstreamFailed);
        return problem(Reason::UpstreamFailed, id);
    };
    let deadline = service.limits.total.map(|total| Instant::now() + total);
    let waited = Patience { progress: &progress, first_byte: service.limits.first_byte, deadline };
    let answer = tokio::select! {
        biased;
        () = completion.open().is_cut_before_answer() => return no_longer_allowed(&completion, id),
        answer = send(&worker, &service, request) => answer,
        () = waited.ends() => Err(Reason::UpstreamTimeout),
    };
    match answer {
        Ok((response, connection)) => answered(response, connection, &service, deadline, completion),
        Err(reason) => {
            // where the caller's body failed, that is why the upstream did not answer
            let reason = progress.fault.get().map_or(reason, |fault| fault.0);
            completion.failed(reason);
            problem(reason, id)
        }
    }
}

/// The caller learns why it is no longer allowed, as if it asked now.
fn no_longer_allowed(completion: &Completion, id: DecisionId) -> Response<ResponseBody> {
    let reason = completion.open().is_cut().map_or(Reason::PolicyError, |cut| cut.reason);
    problem(reason, id)
}

/// The request as it was decided on, re-framed by us (FR-9). Nothing of the start line is copied from the caller.
/// `None` where the canonical target is no URI, which no canonical target is known to be.
fn upstream_request(permit: &Recorded<Permit>, fields: HeaderMap, body: UpstreamBody) -> Option<Request<UpstreamBody>> {
    let canonical = permit.get().situated().request();
    let mut request = Request::new(body);
    *request.method_mut() = method(canonical.method());
    *request.uri_mut() = canonical.target().parse().ok()?;
    let mut kept = hop::end_to_end(fields);
    headers::strip_identity(&mut kept);
    headers::join_cookies(&mut kept);
    kept.insert(headers::DECISION, headers::decision_value(permit.get().situated().accepted().id));
    if let Ok(host) = HeaderValue::from_str(canonical.host().as_str()) {
        kept.insert(header::HOST, host);
    }
    *request.headers_mut() = kept;
    Some(request)
}

const fn method(method: types::Method) -> http::Method {
    match method {
        types::Method::Get => http::Method::GET,
        types::Method::Head => http::Method::HEAD,
        types::Method::Options => http::Method::OPTIONS,
        types::Method::Post => http::Method::POST,
        types::Method::Put => http::Method::PUT,
        types::Method::Patch => http::Method::PATCH,
        types::Method::Delete => http::Method::DELETE,
    }
}

/// Sends the request over a kept connection or a new one. A request comes back only when none of its bytes were sent;
/// only then it is sent again (FR-9).
async fn send(
    worker: &Worker,
    service: &Service,
    request: Request<UpstreamBody>,
) -> Result<(Response<Incoming>, (UpstreamUrl, Sender)), Reason> {
    let mut request = request;
    for url in &service.upstream.urls {
        if let Some(mut sender) = worker.pool().take(url) {
            match pool::send(&mut sender, request).await {
                Sent::Answered(response) => return Ok((response, (url.clone(), sender))),
                Sent::Returned(back) => request = *back,
                Sent::Failed(error) => return Err(failed(service, &error)),
            }
        }
        let mut sender = match worker.pool().connect(url).await {
            Ok(sender) => sender,
            Err(error) => {
                tracing::warn!(service = %service.model.id, upstream = %url, %error, "an upstream cannot be reached");
                continue;
            }
        };
        match pool::send(&mut sender, request).await {
            Sent::Answered(response) => return Ok((response, (url.clone(), sender))),
            Sent::Returned(back) => request = *back,
            Sent::Failed(error) => return Err(failed(service, &error)),
        }
    }
    Err(Reason::UpstreamUnreachable)
}

fn failed(service: &Service, error: &hyper::Error) -> Reason {
    tracing::warn!(service = %service.model.id, %error, "an upstream did not answer properly");
    Reason::UpstreamFailed
}

/// The upstream's head on its way back: hop-by-hop fields removed, the decision named.
fn answered(
    response: Response<Incoming>,
    connection: (UpstreamUrl, Sender),
    service: &Service,
    deadline: Option<Instant>,
    completion: Completion,
) -> Response<ResponseBody> {
    let situated = completion.open().permit().get().situated();
    let (id, protocol) = (situated.accepted().id, situated.accepted().protocol);
    let head_only = situated.request().method() == types::Method::Head;
    let (parts, body) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        completion.failed(Reason::UpstreamFailed);
        return problem(Reason::UpstreamFailed, id);
    }
    completion.answered(parts.status.as_u16());
    let watched = Watched::new(body, service.limits.idle, deadline, connection, completion, protocol);
    let mut response = Response::new(ResponseBody::Upstream(Box::new(watched)));
    *response.status_mut() = parts.status;
    let mut fields = hop::end_to_end_response(parts.headers);
    if !head_only && parts.status != StatusCode::NOT_MODIFIED {
        // the length of a body is framing, and framing is ours
        fields.remove(header::CONTENT_LENGTH);
    }
    fields.insert(headers::DECISION, headers::decision_value(id));
    *response.headers_mut() = fields;
    response
}

/// How long the upstream may take for its head: `first_byte` after the caller's last bytes, and never past the deadline.
/// While it waits for the caller, the silence is the caller's, and the body's own clock runs.
struct Patience<'a> {
    progress: &'a Progress,
    first_byte: Duration,
    deadline: Option<Instant>,
}

impl Patience<'_> {
    async fn ends(&self) {
        loop {
            let until = self.progress.moved.get() + self.first_byte;
            let until = self.deadline.map_or(until, |deadline| deadline.min(until));
            sleep_until(until).await;
            let now = Instant::now();
            let past_deadline = self.deadline.is_some_and(|deadline| now >= deadline);
            if past_deadline || (!self.progress.awaited.get() && self.progress.moved.get() + self.first_byte <= now) {
                return;
            }
            if self.progress.awaited.get() {
                self.progress.moved.set(now);
            }
        }
    }
}
