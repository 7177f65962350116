//! Inbound HTTP/1.1: our own reader, joined to the exchange.

use std::{pin::pin, rc::Rc};

use http::Response;
use runtime::shutdown::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    accept::Connection,
    body::{Inbound, ResponseBody},
    exchange::{exchange, malformed},
    http1::{self, Framing, Handler, HeadError, RequestBody},
    line::Line,
    parse::Head,
    registry::OpenConnection,
    worker::Worker,
};

/// Serves one connection to its end, over TLS or without.
pub async fn serve<IO: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    open: &OpenConnection,
    io: IO,
    mut shutdown: Shutdown,
) {
    let line = Rc::new(Line::default());
    let exchanges = Exchanges { worker, connection, line: Rc::clone(&line) };
    let config = http1::Config::default();
    let last = async {
        tokio::select! {
            () = shutdown.asked() => {}
            () = open.is_closing() => {}
        }
    };
    let end = line.run(pin!(http1::serve(io, &exchanges, &config, last))).await;
    tracing::debug!(?end, "an HTTP/1.1 connection ended");
}

/// The requests of one connection.
struct Exchanges {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    line: Rc<Line>,
}

impl Handler for Exchanges {
    type Body = ResponseBody;

    async fn call(&self, head: http1::Head, body: RequestBody) -> Response<ResponseBody> {
        let length = match head.framing {
            Framing::Length(length) => Some(length),
            Framing::None | Framing::Chunked => None,
        };
        let head = Head {
            method: head.method.as_str().to_owned(),
            authority: head.authority,
            target: head.target,
            fields: head.fields,
            length,
            fault: None,
        };
        let (worker, connection, line) = (Rc::clone(&self.worker), Rc::clone(&self.connection), Rc::clone(&self.line));
        exchange(worker, connection, head, Inbound::Http1(body), line).await
    }

    fn malformed(&self, error: &HeadError) -> Response<ResponseBody> {
        malformed(&self.worker, &self.connection, error.reason, error.to_string())
    }

    fn stalled(&self) {
        self.line.stalled();
    }
}
