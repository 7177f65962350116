//! A workload: a process that asks the Workload API who it is, with a client that others wrote, and writes down each
//! answer. `e2e-workload UPDATES FOLDER` ends after so many answers; where the API is, `SPIFFE_ENDPOINT_SOCKET` says.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test program: what fails shall end it with a message")]

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use spiffe::{WorkloadApiClient, WorkloadApiError, X509Context};
use tokio_stream::StreamExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let updates: usize = arguments.next().and_then(|count| count.parse().ok()).expect("how many updates");
    let folder = arguments.next().expect("a folder to write to");
    match watch(updates, Path::new(&folder)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

async fn watch(updates: usize, folder: &Path) -> Result<(), WorkloadApiError> {
    let client = WorkloadApiClient::connect_env().await?;
    let mut contexts = client.stream_x509_contexts().await?;
    for number in 1..=updates {
        let context = contexts.next().await.expect("the stream goes on")?;
        write(folder, number, &context);
    }
    Ok(())
}

/// Writes `svid-N.pem` and `svid-N.key`, and one line of JSON to standard output.
fn write(folder: &Path, number: usize, context: &X509Context) {
    let svid = context.default_svid().expect("an SVID");
    let chain: String =
        svid.cert_chain().iter().map(|certificate| pem("CERTIFICATE", certificate.as_bytes())).collect();
    fs::write(folder.join(format!("svid-{number}.key")), pem("PRIVATE KEY", svid.private_key().as_bytes())).unwrap();
    fs::write(folder.join(format!("svid-{number}.pem")), chain).unwrap();
    let bundles =
        context.bundle_set().iter().map(|(domain, bundle)| (domain.to_string(), bundle.authorities().len().into()));
    let bundles: serde_json::Map<_, _> = bundles.collect();
    println!("{}", json!({ "spiffe_id": svid.spiffe_id().to_string(), "bundles": bundles }));
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
