//! A workload: a process that asks the Workload API who it is until it is told, and holds the stream open. It prints a line
//! for each answer.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use api::workload::X509svidRequest;
use api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;

/// Between two questions of one that is told that it has no identity.
const PAUSE: Duration = Duration::from_millis(10);

/// Runs until the stream ends.
pub fn run(socket: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(hold(socket))
}

async fn hold(socket: &Path) -> Result<()> {
    let endpoint = Endpoint::try_from(format!("unix:{}", socket.display()))?;
    let mut client = SpiffeWorkloadApiClient::new(endpoint.connect().await.context("no agent answers")?);
    println!("asking");
    let mut answers = loop {
        let mut request = Request::new(X509svidRequest {});
        request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
        match client.fetch_x509svid(request).await {
            Ok(answers) => break answers.into_inner(),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    };
    while let Some(answer) = answers.message().await? {
        println!("{} {}", answer.svids.len(), micros());
    }
    Ok(())
}

/// What two processes of one machine compare.
#[expect(clippy::disallowed_methods, reason = "two processes tell each other when something happened")]
pub fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
