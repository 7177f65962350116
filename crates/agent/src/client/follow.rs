//! Following one's own identities: the stream is kept open, as a SPIFFE library keeps it.

use std::path::Path;

use api::workload::X509svidRequest;

use super::{FetchError, Fetched, client, in_time, refused, request, whole};

/// Gives every message of the stream to `each`, the first one at once, until the stream ends. Each replaces what was
/// before it; while the stream is open, the agent renews what it gave and counts it as held.
///
/// Returns why it ended: the agent went away, or knows this process no more. Whoever follows asks again after a pause, and
/// goes on with what it has.
pub async fn follow(socket_path: &Path, mut each: impl FnMut(Fetched)) -> FetchError {
    let opened = in_time(async {
        let answer = client(socket_path).await?.fetch_x509svid(request(X509svidRequest {})).await;
        Ok(answer.map_err(|status| refused(&status))?.into_inner())
    });
    let mut stream = match opened.await {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    loop {
        match stream.message().await {
            Ok(Some(answer)) => match whole(answer) {
                Ok(fetched) => each(fetched),
                Err(error) => return error,
            },
            Ok(None) => return FetchError::Malformed("the stream ended"),
            Err(status) => return refused(&status),
        }
    }
}
