//! The Workload API's calls.

use api::workload::spiffe_workload_api_server::SpiffeWorkloadApi;
use api::workload::{
    JwtBundlesRequest, JwtBundlesResponse, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest,
    ValidateJwtsvidResponse, X509BundlesRequest, X509BundlesResponse, X509svidRequest, X509svidResponse,
};
use tonic::{Request, Response, Status};

use crate::callers::Callers;
use crate::jwt::{self, Order};
use crate::state::View;
use crate::stream::{self, Answers};

/// The metadata that every call carries, so that a request forged through a browser or proxy is refused (WA-2).
const SECURITY_HEADER: &str = "workload.spiffe.io";

/// The service.
pub(crate) struct Workloads(pub Callers);

impl Workloads {
    async fn open<M: View, R: Sync>(&self, request: &Request<R>) -> Result<Response<Answers<M>>, Status> {
        let caller = self.0.admit(request).await?;
        stream::open(caller).await.map(Response::new)
    }
}

/// Refuses calls without the security header.
pub(crate) fn check_header(request: Request<()>) -> Result<Request<()>, Status> {
    let mut values = request.metadata().get_all(SECURITY_HEADER).iter();
    let present = values.next().is_some_and(|value| value == "true") && values.next().is_none();
    if present { Ok(request) } else { Err(Status::invalid_argument("security header missing from request")) }
}

#[tonic::async_trait]
impl SpiffeWorkloadApi for Workloads {
    type FetchX509SVIDStream = Answers<X509svidResponse>;
    type FetchX509BundlesStream = Answers<X509BundlesResponse>;
    type FetchJWTBundlesStream = Answers<JwtBundlesResponse>;

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

    async fn fetch_jwtsvid(&self, request: Request<JwtsvidRequest>) -> Result<Response<JwtsvidResponse>, Status> {
        let caller = self.0.admit(&request).await?;
        let order = Order::read(request.into_inner())?;
        jwt::fetch(&caller, &order).await.map(Response::new)
    }

    async fn fetch_jwt_bundles(
        &self,
        request: Request<JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        self.open(&request).await
    }

    async fn validate_jwtsvid(
        &self,
        request: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        let caller = self.0.admit(&request).await?;
        jwt::validate(&caller, request.get_ref()).await.map(Response::new)
    }
}
