//! The Workload API's calls: who asks, what they may see.

use std::sync::Arc;

use api::workload::spiffe_workload_api_server::SpiffeWorkloadApi;
use api::workload::{
    JwtBundlesRequest, JwtBundlesResponse, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest,
    ValidateJwtsvidResponse, X509BundlesRequest, X509BundlesResponse, X509svidRequest, X509svidResponse,
};
use tokio::sync::{Semaphore, watch};
use tokio_stream::Empty;
use tonic::{Request, Response, Status};
use types::Selectors;

use crate::attest::{AttestError, Attestor};
use crate::pin::Pinned;
use crate::quota::{Rate, Shares};
use crate::state::{Source, View};
use crate::stream::{self, Answers, Session};

/// The metadata that every call carries, so that a request forged through a browser or proxy is refused (WA-2).
const SECURITY_HEADER: &str = "workload.spiffe.io";

/// Executables hashed at once.
const HASHERS: usize = 2;

/// The service.
pub(crate) struct Workloads {
    source: Arc<Source>,
    attestor: Arc<Attestor>,
    streams: Shares,
    rate: Rate,
    hashers: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl Workloads {
    pub fn new(source: Arc<Source>, attestor: Attestor, stopping: watch::Receiver<bool>) -> Self {
        Self {
            source,
            attestor: Arc::new(attestor),
            streams: Shares::default(),
            rate: Rate::default(),
            hashers: Arc::new(Semaphore::new(HASHERS)),
            stopping,
        }
    }

    async fn open<M: View, R: Sync>(&self, request: &Request<R>) -> Result<Response<Answers<M>>, Status> {
        let process = request.extensions().get::<Pinned>().cloned();
        let process = process.ok_or_else(|| Status::permission_denied("the calling process is not known"))?;
        if !self.rate.admit(process.uid, self.source.clock.now().seconds()) {
            return Err(Status::unavailable("too many calls of this user; try again in a second"));
        }
        let share = self.streams.take(process.pid);
        let share = share.ok_or_else(|| Status::unavailable("this process has too many open streams"))?;
        let selectors = self.attest(process.clone()).await?;
        let source = Arc::clone(&self.source);
        let session = Session { source, process, selectors, stopping: self.stopping.clone(), _share: share };
        stream::open(session).await.map(Response::new)
    }

    async fn attest(&self, process: Pinned) -> Result<Selectors, Status> {
        let busy = || Status::unavailable("the agent is stopping");
        let permit = Arc::clone(&self.hashers).acquire_owned().await.map_err(|_| busy())?;
        let attestor = Arc::clone(&self.attestor);
        let (pid, uid) = (process.pid, process.uid);
        let attested = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            attestor.attest(&process)
        });
        attested.await.map_err(|_| busy())?.map_err(|error| {
            tracing::info!(pid, uid, %error, "not attested");
            match error {
                AttestError::Gone | AttestError::OtherUser => {
                    Status::permission_denied("the calling process could not be attested")
                }
                AttestError::Unreadable(_) => Status::unavailable("the calling process cannot be attested now"),
            }
        })
    }
}

/// Refuses calls without the security header.
pub(crate) fn check_header(request: Request<()>) -> Result<Request<()>, Status> {
    let mut values = request.metadata().get_all(SECURITY_HEADER).iter();
    let present = values.next().is_some_and(|value| value == "true") && values.next().is_none();
    if present { Ok(request) } else { Err(Status::invalid_argument("security header missing from request")) }
}

fn no_jwt<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("JWT-SVIDs are not offered here"))
}

#[tonic::async_trait]
impl SpiffeWorkloadApi for Workloads {
    type FetchX509SVIDStream = Answers<X509svidResponse>;
    type FetchX509BundlesStream = Answers<X509BundlesResponse>;
    type FetchJWTBundlesStream = Empty<Result<JwtBundlesResponse, Status>>;

    async fn fetch_x509svid(
        &self,
        request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        self.open(&request).await
    }

    async fn fetch_x509_bundles(
        &self,
        request: Request<X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        self.open(&request).await
    }

    async fn fetch_jwtsvid(&self, _: Request<JwtsvidRequest>) -> Result<Response<JwtsvidResponse>, Status> {
        no_jwt()
    }

    async fn fetch_jwt_bundles(
        &self,
        _: Request<JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        no_jwt()
    }

    async fn validate_jwtsvid(
        &self,
        _: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        no_jwt()
    }
}
