//! Asking a Workload API for one's own identities: what `countersign identity fetch` does.

mod follow;
mod jwt;

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use api::workload::{X509svid, X509svidRequest, X509svidResponse};
use thiserror::Error;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use types::{SpiffeId, TrustDomain};

use crate::secret::Secret;

pub use follow::follow;
pub use jwt::{FetchedJwt, fetch_jwt};

/// For connecting and for the first answer, which comes without delay.
const PATIENCE: Duration = Duration::from_secs(10); // tidy: a client's own patience; nobody outside can grow it

/// One identity, as the agent handed it out.
#[derive(Clone, Debug)]
pub struct FetchedSvid {
    /// The SPIFFE ID.
    pub spiffe_id: SpiffeId,
    /// DER, leaf first.
    pub chain_der: Vec<Vec<u8>>,
    /// The private key, DER PKCS#8.
    pub key_der: Secret,
    /// DER of the roots of its own trust domain.
    pub bundle_der: Vec<Vec<u8>>,
}

/// Everything that the agent told: identities, and the roots of the other trust domains that a caller may meet.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The identities; the first is the default. Never empty.
    pub svids: Vec<FetchedSvid>,
    /// DER of the roots of each foreign trust domain, by its name.
    pub federated: BTreeMap<TrustDomain, Vec<Vec<u8>>>,
}

/// Why no identity was fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// Nobody answers on the socket.
    #[error("no agent answers on `{}`", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: tonic::transport::Error,
    },
    /// The agent does not know this process.
    #[error("the agent has no identity for this process")]
    Denied,
    /// The agent answered with another status.
    #[error("the agent refused: {0}")]
    Refused(String),
    /// No answer within ten seconds.
    #[error("the agent did not answer in time")]
    TimedOut,
    /// The answer is not what the standard says.
    #[error("the agent's answer cannot be used: {0}")]
    Malformed(&'static str),
}

/// Fetches the identities of the calling process once. The first is the default.
///
/// # Errors
/// [`FetchError::Denied`] when no rule recognises this process; otherwise as named.
pub async fn fetch(socket_path: &Path) -> Result<Vec<FetchedSvid>, FetchError> {
    fetch_all(socket_path).await.map(|fetched| fetched.svids)
}

/// Fetches the identities of the calling process once, with the roots of every trust domain that it may call.
///
/// # Errors
/// As [`fetch`].
pub async fn fetch_all(socket_path: &Path) -> Result<Fetched, FetchError> {
    whole(in_time(first_answer(socket_path)).await?)
}

/// A message of the stream: always the full state.
fn whole(answer: X509svidResponse) -> Result<Fetched, FetchError> {
    if answer.svids.is_empty() {
        return Err(FetchError::Malformed("it holds no identity"));
    }
    let svids = answer.svids.into_iter().map(read).collect::<Result<_, _>>()?;
    let federated = answer.federated_bundles.iter().map(|(id, bundle)| read_bundle(id, bundle));
    Ok(Fetched { svids, federated: federated.collect::<Result<_, _>>()? })
}

async fn first_answer(path: &Path) -> Result<X509svidResponse, FetchError> {
    let answer = client(path).await?.fetch_x509svid(request(X509svidRequest {})).await;
    let mut stream = answer.map_err(|status| refused(&status))?.into_inner();
    match stream.message().await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(FetchError::Malformed("it ended without a message")),
        Err(status) => Err(refused(&status)),
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, FetchError>>) -> Result<T, FetchError> {
    tokio::time::timeout(PATIENCE, answer).await.map_err(|_| FetchError::TimedOut)?
}

async fn client(path: &Path) -> Result<SpiffeWorkloadApiClient<Channel>, FetchError> {
    connect(path).await.map(SpiffeWorkloadApiClient::new)
}

/// With the header that shows a request to be meant for a Workload API (WA-2).
fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
    request
}

async fn connect(path: &Path) -> Result<Channel, FetchError> {
    let unreachable = |source| FetchError::Unreachable { path: path.to_owned(), source };
    let text = path.to_str().ok_or(FetchError::Malformed("the socket's path is not UTF-8"))?;
    let endpoint = Endpoint::from_shared(format!("unix:{text}")).map_err(unreachable)?;
    endpoint.connect_timeout(PATIENCE).connect().await.map_err(unreachable)
}

fn refused(status: &Status) -> FetchError {
    if status.code() == Code::PermissionDenied {
        return FetchError::Denied;
    }
    let words: String = status.message().chars().filter(|c| !c.is_control()).take(200).collect();
    FetchError::Refused(format!("{words} ({:?})", status.code()))
}

fn read(svid: X509svid) -> Result<FetchedSvid, FetchError> {
    let spiffe_id =
        SpiffeId::parse(&svid.spiffe_id).map_err(|_| FetchError::Malformed("a SPIFFE ID does not parse"))?;
    let key_der = Secret::new(svid.x509_svid_key);
    let chain_der = split(&svid.x509_svid).ok_or(FetchError::Malformed("a chain is not DER"))?;
    let bundle_der = split(&svid.bundle).ok_or(FetchError::Malformed("a bundle is not DER"))?;
    if chain_der.is_empty() || key_der.reveal().is_empty() {
        return Err(FetchError::Malformed("an identity lacks its certificate or key"));
    }
    Ok(FetchedSvid { spiffe_id, chain_der, key_der, bundle_der })
}

/// A bundle is named by the SPIFFE ID of its trust domain, which has no path.
fn read_bundle(id: &str, bundle: &[u8]) -> Result<(TrustDomain, Vec<Vec<u8>>), FetchError> {
    let name = id.strip_prefix("spiffe://").unwrap_or(id);
    let domain = TrustDomain::parse(name).map_err(|_| FetchError::Malformed("a trust domain does not parse"))?;
    Ok((domain, split(bundle).ok_or(FetchError::Malformed("a bundle is not DER"))?))
}

/// Takes concatenated DER sequences apart.
fn split(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (part, rest) = bytes.split_at_checked(sequence_length(bytes)?)?;
        parts.push(part.to_vec());
        bytes = rest;
    }
    Some(parts)
}

/// The whole length of the DER `SEQUENCE` at the start.
fn sequence_length(bytes: &[u8]) -> Option<usize> {
    let (header, rest) = bytes.split_first_chunk::<2>()?;
    match header {
        [0x30, short @ 0..=0x7f] => usize::from(*short).checked_add(2),
        [0x30, long @ 0x81..=0x84] => {
            let digits = usize::from(long & 0x0f);
            let length = rest.get(..digits)?.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
            length.checked_add(2 + digits)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn concatenated_sequences_come_apart() {
        let long = [&[0x30, 0x82, 0x01, 0x00][..], &[7; 256]].concat();
        let joined = [&[0x30, 0x01, 0x05][..], &long, &[0x30, 0x00]].concat();
        assert_eq!(split(&joined), Some(vec![vec![0x30, 0x01, 0x05], long, vec![0x30, 0x00]]));
        assert_eq!(split(&[]), Some(vec![]));
        for bad in
            [&[0x30][..], &[0x30, 0x02, 0x00], &[0x31, 0x00], &[0x30, 0x80], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]]
        {
            assert_eq!(split(bad), None, "{bad:?}");
        }
    }
}
