//! Inbound HTTP/1.1: our own reader, joined to the exchange.

use std::rc::Rc;

use http::Response;
use runtime::shutdown::Shutdown;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::{
    accept::Connection,
    body::{Inbound, ResponseBody},
    exchange::{exchange, malformed},
    http1::{self, Framing, Handler, HeadError, RequestBody},
    parse::Head,
    worker::Worker,
};

/// Serves one connection to its end.
pub async fn serve(worker: Rc<Worker>, connection: Rc<Connection>, io: TlsStream<TcpStream>, mut shutdown: Shutdown) {
    let exchanges = Exchanges { worker, connection };
    let end = http1::serve(io, &exchanges, &http1::Config::default(), shutdown.asked()).await;
    tracing::debug!(?end, "an HTTP/1.1 connection ended");
}

/// The requests of one connection.
struct Exchanges {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
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
        exchange(Rc::clone(&self.worker), Rc::clone(&self.connection), head, Inbound::Http1(body)).await
    }

    fn malformed(&self, error: &HeadError) -> Response<ResponseBody> {
        malformed(&self.worker, &self.connection, error.reason, error.to_string())
    }
}
