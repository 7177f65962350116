//! Connections to upstreams, kept per worker: no lock, no hand-over between cores.

use std::{cell::RefCell, collections::HashMap, io, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use trustdir::{UpstreamHost, UpstreamUrl};
use types::limits;

use crate::body::UpstreamBody;

/// An open HTTP/1.1 connection that can send one request at a time.
pub type Sender = http1::SendRequest<UpstreamBody>;

/// Idle connections by upstream.
#[derive(Default)]
pub struct Pool {
    idle: RefCell<HashMap<UpstreamUrl, Vec<(Sender, Instant)>>>,
}

/// Why no connection could be had.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Refused, unreachable or not resolved.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Took too long.
    #[error("no connection within {} ms", limits::CONNECT_TIME.default)]
    TimedOut,
    /// The HTTP engine could not start.
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

impl Pool {
    /// The most recently used connection that is ready, if any.
    pub fn take(&self, upstream: &UpstreamUrl) -> Option<Sender> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(upstream)?;
        let bound = Duration::from_millis(limits::UPSTREAM_IDLE_TIME.default);
        kept.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < bound);
        let ready = kept.iter().rposition(|(sender, _)| sender.is_ready())?;
        Some(kept.swap_remove(ready).0)
    }

    /// Keeps a connection whose exchange has ended.
    pub fn put(&self, upstream: &UpstreamUrl, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if let Some(kept) = idle.get_mut(upstream) {
            if kept.len() < limits::UPSTREAM_IDLE.default_usize() {
                kept.push((sender, Instant::now()));
            }
        } else {
            idle.insert(upstream.clone(), vec![(sender, Instant::now())]);
        }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(&self, upstream: &UpstreamUrl) -> Result<Sender, ConnectError> {
        let bound = Duration::from_millis(limits::CONNECT_TIME.default);
        let stream = timeout(bound, open(upstream)).await.map_err(|_| ConnectError::TimedOut)??;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::Builder::new()
            .max_headers(limits::HEADER_COUNT.default_usize())
            .max_buf_size(limits::RESPONSE_HEAD_BYTES.default_usize())
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        Ok(sender)
    }
}

async fn open(upstream: &UpstreamUrl) -> io::Result<TcpStream> {
    match upstream.host() {
        UpstreamHost::Address(address) => TcpStream::connect((*address, upstream.port())).await,
        UpstreamHost::Name(name) => TcpStream::connect((name.as_str(), upstream.port())).await,
    }
}

/// What became of a request that was handed to a connection.
pub enum Sent {
    /// The upstream answered.
    Answered(Response<Incoming>),
    /// The connection was gone before a byte was sent: the request comes back and may be sent again.
    Returned(Box<Request<UpstreamBody>>),
    /// It failed after bytes may have been sent.
    Failed(hyper::Error),
}

/// Sends a request and waits for the head of the response.
pub async fn send(sender: &mut Sender, request: Request<UpstreamBody>) -> Sent {
    match sender.try_send_request(request).await {
        Ok(response) => Sent::Answered(response),
        Err(mut error) => match error.take_message() {
            Some(request) => Sent::Returned(Box::new(request)),
            None => Sent::Failed(error.into_error()),
        },
    }
}
