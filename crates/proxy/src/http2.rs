//! Inbound HTTP/2: hyper frames, we judge. What HTTP/2 itself calls malformed is refused by the library (RFC 9113 8.1.1).

use std::{cell::Cell, convert::Infallible, future::Future, pin::pin, rc::Rc, time::Duration};

use http::{HeaderMap, Request, header};
use hyper::{body::Incoming, rt::Executor, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use runtime::shutdown::Shutdown;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, sleep_until},
};
use tokio_rustls::server::TlsStream;
use types::{Reason, limits};

use crate::{
    accept::Connection,
    body::{Http2Body, Inbound},
    exchange::exchange,
    line::Line,
    parse::Head,
    registry::OpenConnection,
    worker::Worker,
};

/// The library answers a larger head by itself, without a record; up to here the refusal is ours.
const LIBRARY_HEAD_FACTOR: u32 = 2;

/// The streams of a connection stay on its worker, each with a line that can be cut.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output = ()> + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(Line::run_stream(future));
    }
}

/// When a connection last had something to do.
struct Activity {
    open: Cell<usize>,
    last: Cell<Instant>,
}

/// Counts an exchange as open until it is dropped.
struct Busy(Rc<Activity>);

impl Busy {
    fn new(activity: &Rc<Activity>) -> Self {
        activity.open.set(activity.open.get() + 1);
        Self(Rc::clone(activity))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
        self.0.last.set(Instant::now());
    }
}

/// Serves one connection to its end.
pub async fn serve(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    open: &OpenConnection,
    io: TlsStream<TcpStream>,
    mut shutdown: Shutdown,
) -> Result<(), hyper::Error> {
    let activity = Rc::new(Activity { open: Cell::new(0), last: Cell::new(Instant::now()) });
    let service = {
        let activity = Rc::clone(&activity);
        service_fn(move |request: Request<Incoming>| {
            let (worker, connection, busy) = (Rc::clone(&worker), Rc::clone(&connection), Busy::new(&activity));
            async move {
                let (head, body) = head(request);
                let body = Http2Body::new(body);
                let inbound = Inbound::Http2(body.clone());
                let response = exchange(worker, connection, head, inbound, Line::of_stream()).await;
                body.answered();
                drop(busy);
                Ok::<_, Infallible>(response)
            }
        })
    };
    let mut served = pin!(builder().serve_connection(TokioIo::new(io), service));
    tokio::select! {
        ended = served.as_mut() => return ended,
        () = shutdown.asked() => {}
        () = idle(&activity) => {}
        () = open.is_closing() => {}
    }
    served.as_mut().graceful_shutdown();
    tokio::select! {
        ended = served.as_mut() => ended,
        // the streams of a revoked peer are cut; what it does not take of the rest is no reason to keep the connection
        () = lingered(open) => Ok(()),
    }
}

/// Resolves a while after the connection is to close because of its peer.
async fn lingered(open: &OpenConnection) {
    open.is_closing().await;
    sleep(Duration::from_millis(limits::LINGER_TIME.default)).await;
}

fn builder() -> http2::Builder<Local> {
    let mut builder = http2::Builder::new(Local);
    let head = u32::try_from(limits::HEAD_BYTES.default).unwrap_or(u32::MAX).saturating_mul(LIBRARY_HEAD_FACTOR);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(u32::try_from(limits::H2_STREAMS.default).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits::H2_RESETS.default_usize())
        .max_local_error_reset_streams(limits::H2_RESETS.default_usize())
        .max_header_list_size(head)
        .auto_date_header(false)
        .keep_alive_interval(Duration::from_millis(limits::KEEP_ALIVE_TIME.default / 2))
        .keep_alive_timeout(Duration::from_millis(limits::HEAD_TIME.default));
    builder
}

/// Resolves when nothing has been open for the keep-alive time.
async fn idle(activity: &Activity) {
    let bound = Duration::from_millis(limits::KEEP_ALIVE_TIME.default);
    loop {
        sleep_until(activity.last.get().max(Instant::now() - bound) + bound).await;
        if activity.open.get() == 0 && activity.last.get().elapsed() >= bound {
            return;
        }
        if activity.open.get() > 0 {
            activity.last.set(Instant::now());
        }
    }
}

/// The head in the form that both protocols share.
fn head(request: Request<Incoming>) -> (Head, Incoming) {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str()).to_owned();
    let authority = authority(parts.uri.authority().map(|authority| authority.as_str()), &parts.headers);
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let head = Head {
        method: parts.method.as_str().to_owned(),
        fault: match (&authority, parts.uri.scheme_str()) {
            (None, _) => Some(Reason::ParseHost),
            (Some(_), Some("https") | None) => None,
            (Some(_), Some(_)) => Some(Reason::ParseTargetForm),
        },
        authority: authority.unwrap_or_default(),
        target,
        fields: parts.headers,
        length,
    };
    (head, body)
}

/// `:authority`, or the one Host where there is none; both must say the same (FR-10, RFC 9113 8.3.1).
fn authority(authority: Option<&str>, fields: &HeaderMap) -> Option<String> {
    let mut hosts = fields.get_all(header::HOST).iter();
    let host = hosts.next().map(|value| value.to_str().ok());
    match (authority, host, hosts.next()) {
        (Some(authority), None, None) => Some(authority.to_owned()),
        (Some(authority), Some(Some(host)), None) if authority == host => Some(authority.to_owned()),
        (None, Some(Some(host)), None) => Some(host.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn host_and_authority_must_agree() {
        let fields = |hosts: &[&'static str]| {
            let mut fields = HeaderMap::new();
            for host in hosts {
                fields.append(header::HOST, HeaderValue::from_static(host));
            }
            fields
        };
        for (name, hosts, want) in [
            (Some("a"), &[][..], Some("a")),
            (Some("a"), &["a"], Some("a")),
            (None, &["a"], Some("a")),
            (Some("a"), &["b"], None),
            (Some("a"), &["a", "a"], None),
            (None, &["a", "b"], None),
            (None, &[], None),
        ] {
            assert_eq!(authority(name, &fields(hosts)).as_deref(), want, "{name:?} {hosts:?}");
        }
    }
}
