//! Calling the Workload API with the generated client.

use std::path::Path;

use api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use api::workload::{JwtsvidRequest, X509svidRequest, X509svidResponse};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};

pub type Client = SpiffeWorkloadApiClient<Channel>;

pub async fn channel(socket: &Path) -> Channel {
    Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap().connect().await.unwrap()
}

pub async fn client(socket: &Path) -> Client {
    SpiffeWorkloadApiClient::new(channel(socket).await)
}

pub fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
    request
}

/// An open stream of identities.
pub async fn svids(client: &mut Client) -> Streaming<X509svidResponse> {
    client.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap().into_inner()
}

pub async fn next<M>(stream: &mut Streaming<M>) -> M {
    stream.message().await.unwrap().unwrap()
}

pub fn for_audience(audience: &[&str]) -> Request<JwtsvidRequest> {
    let audience = audience.iter().map(|&audience| audience.to_owned()).collect();
    with_header(JwtsvidRequest { audience, spiffe_id: String::new() })
}
