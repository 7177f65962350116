//! How large a message may be: a stranger's question is small; what peers stream is not.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use api::wire::wire_server::WireServer;
use tonic::body::Body;
use tonic::codegen::{Service as Call, http};
use tonic::server::NamedService;
use types::limits;

use super::frames::{Allowance, Bounded};
use super::service::Service;

/// The service twice over: once for calls, whose question is read before anybody looked at who asks, and once for streams,
/// of which nothing is read before that, and no long report where none is expected.
#[derive(Clone)]
pub(super) struct Gate {
    calls: WireServer<Service>,
    streams: WireServer<Service>,
}

impl Gate {
    pub fn new(service: Service) -> Self {
        let service = Arc::new(service);
        let most = limits::WIRE_MESSAGE_BYTES.default_usize();
        let server = || WireServer::from_arc(Arc::clone(&service)).max_encoding_message_size(most);
        Self {
            calls: server().max_decoding_message_size(limits::WIRE_CALL_BYTES.default_usize()),
            streams: server().max_decoding_message_size(most),
        }
    }
}

impl NamedService for Gate {
    const NAME: &'static str = <WireServer<Service> as NamedService>::NAME;
}

impl Call<http::Request<Body>> for Gate {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if !request.uri().path().ends_with("/Follow") {
            return self.calls.call(request);
        }
        let allowance = Allowance::default();
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(allowance.clone());
        self.streams.call(http::Request::from_parts(parts, Body::new(Bounded::new(body, allowance))))
    }
}
