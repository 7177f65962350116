//! Asking a Workload API for JWT-SVIDs: what `countersign identity fetch --jwt` does.

use std::path::Path;

use api::workload::{Jwtsvid, JwtsvidRequest};
use types::SpiffeId;
use zeroize::Zeroizing;

use super::{FetchError, client, in_time, refused, request};

/// One token, as the agent handed it out. The token is a secret.
#[derive(Clone)]
pub struct FetchedJwt {
    /// The SPIFFE ID.
    pub spiffe_id: SpiffeId,
    /// In compact serialization.
    pub token: Zeroizing<String>,
    /// What the identity is for, in the agent's words; may be empty.
    pub hint: String,
}

impl core::fmt::Debug for FetchedJwt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FetchedJwt").field("spiffe_id", &self.spiffe_id).finish_non_exhaustive()
    }
}

/// Fetches tokens of the calling process for these audiences, at least one: for the identity that is named, or for all.
///
/// # Errors
/// As [`super::fetch`].
pub async fn fetch_jwt(
    socket_path: &Path,
    audience: &[String],
    spiffe_id: Option<&SpiffeId>,
) -> Result<Vec<FetchedJwt>, FetchError> {
    let spiffe_id = spiffe_id.map(ToString::to_string).unwrap_or_default();
    let message = JwtsvidRequest { audience: audience.to_vec(), spiffe_id };
    let answer =
        async { client(socket_path).await?.fetch_jwtsvid(request(message)).await.map_err(|status| refused(&status)) };
    let svids = in_time(answer).await?.into_inner().svids;
    if svids.is_empty() {
        return Err(FetchError::Malformed("it holds no token"));
    }
    svids.into_iter().map(read).collect()
}

fn read(svid: Jwtsvid) -> Result<FetchedJwt, FetchError> {
    let spiffe_id =
        SpiffeId::parse(&svid.spiffe_id).map_err(|_| FetchError::Malformed("a SPIFFE ID does not parse"))?;
    if svid.svid.is_empty() {
        return Err(FetchError::Malformed("a token is empty"));
    }
    Ok(FetchedJwt { spiffe_id, token: Zeroizing::new(svid.svid), hint: svid.hint })
}
