//! An HTTP/2 client that sends what curl would correct: headers that contradict each other, bodies that stop.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_rustls::TlsConnector;

use crate::answer::Answer;
use crate::certificates::Identity;
use crate::raw::client_config;
use crate::site::Site;

/// A body on its way.
pub(crate) type Sent = BoxBody<Bytes, Infallible>;

/// An open connection.
pub struct Http2 {
    runtime: Runtime,
    sender: SendRequest<Sent>,
}

impl Http2 {
    /// Opens a connection of a workload to a host behind the gateway.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn by(site: &Site, workload: &str, host: &str) -> Self {
        Self::with(site, &site.identity(workload), host)
    }

    /// Opens a connection with this identity.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn with(site: &Site, identity: &Identity, host: &str) -> Self {
        Self::open(site, identity, host, &Builder::new(TokioExecutor::new()))
    }

    /// Opens a connection on which the gateway may send heads, and not a byte of a body.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn without_window(site: &Site, workload: &str, host: &str) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(0);
        Self::open(site, &site.identity(workload), host, &builder)
    }

    fn open(site: &Site, identity: &Identity, host: &str, builder: &Builder<TokioExecutor>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config = client_config(&site.roots_of(host), Some(identity), "h2");
        let (gateway, name) = (site.gateway(), host.to_owned().try_into().unwrap());
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(gateway).await.unwrap();
            let tls = TlsConnector::from(config).connect(name, stream).await.unwrap();
            let (sender, connection) = builder.handshake(TokioIo::new(tls)).await.unwrap();
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    /// Sends a request and reads its answer, as far as it comes.
    ///
    /// # Errors
    /// When no head comes: the stream or the connection was reset.
    pub fn ask(&mut self, request: Request<Sent>) -> Result<Answer, String> {
        let Self { runtime, sender } = self;
        runtime.block_on(async {
            sender.ready().await.map_err(|error| words(&error))?;
            let response = sender.send_request(request).await.map_err(|error| words(&error))?;
            Ok(read(response).await)
        })
    }

    /// Begins a request and gives its answer's head and body to be read, or not.
    ///
    /// # Panics
    /// When no head comes.
    pub fn begin(&mut self, request: Request<Sent>) -> Response<Incoming> {
        let Self { runtime, sender } = self;
        runtime.block_on(async { sender.send_request(request).await.unwrap() })
    }

    /// Reads the next part of a body; `None` at its end.
    ///
    /// # Panics
    /// When the body breaks off.
    pub fn next(&self, body: &mut Incoming) -> Option<Bytes> {
        self.runtime.block_on(async { body.frame().await.map(|frame| frame.unwrap().into_data().unwrap_or_default()) })
    }
}

async fn read(response: Response<Incoming>) -> Answer {
    assert_eq!(response.version(), Version::HTTP_2);
    let (head, mut body) = response.into_parts();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let fields = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let mut answer = Answer { status: head.status.as_u16(), fields, ..Answer::default() };
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => answer.body.extend(frame.into_data().unwrap_or_default()),
            Err(error) => answer.broken = words(&error),
        }
    }
    answer
}

pub(crate) fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// A body of these bytes.
pub fn body_of(bytes: impl Into<Bytes>) -> Sent {
    Full::new(bytes.into()).boxed()
}

/// A body that is sent as it is written, and ends when the sender is dropped.
pub fn streamed() -> (Sender<Bytes>, Sent) {
    let (sender, receiver) = channel(1);
    (sender, Written(receiver).boxed())
}

struct Written(Receiver<Bytes>);

impl Body for Written {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
