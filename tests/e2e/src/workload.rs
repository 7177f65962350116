//! A workload: a process that asks the Workload API who it is, with a client that others wrote, and writes down each
//! answer. `e2e-workload UPDATES FOLDER` ends after so many answers; where the API is, `SPIFFE_ENDPOINT_SOCKET` says. With
//! `flood`, `twice`, `jwt` and `validate` it does what the functions of these names say.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test program: what fails shall end it with a message")]

use std::collections::BTreeMap;
use std::fs;
use std::future::pending;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use spiffe::{WorkloadApiClient, WorkloadApiError, X509Context};
use tokio_stream::StreamExt;

/// Connections of a flood: as many as a process may have, less some.
const CONNECTIONS: usize = 60;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["flood", streams] => flood(streams.parse().expect("how many streams")).await,
        ["twice", folder] => twice(Path::new(folder)).await,
        ["jwt", audience] => jwt(audience).await,
        ["validate", audience, token] => validate(audience, token).await,
        [updates, folder] => watch(updates.parse().expect("how many updates"), Path::new(folder)).await,
        _ => return ExitCode::from(64),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

/// Opens so many streams, over all its connections in turns, and holds those that it gets until it is killed. Prints how many
/// were opened and how many were refused with which status.
async fn flood(streams: usize) -> Result<(), WorkloadApiError> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(WorkloadApiClient::connect_env().await?);
    }
    let (mut held, mut refused) = (Vec::new(), BTreeMap::<String, usize>::new());
    for client in clients.iter().cycle().take(streams) {
        let first = async {
            let mut contexts = client.stream_x509_contexts().await?;
            let first = contexts.next().await;
            Ok::<_, WorkloadApiError>((first, contexts))
        };
        match tokio::time::timeout(Duration::from_secs(5), first).await {
            Ok(Ok((Some(Ok(_)), contexts))) => held.push(Box::pin(contexts)),
            Ok(Ok((Some(Err(error)), _)) | Err(error)) => *refused.entry(code(&error)).or_default() += 1,
            Ok(Ok((None, _))) => *refused.entry("ended".to_owned()).or_default() += 1,
            Err(_) => *refused.entry("no answer".to_owned()).or_default() += 1,
        }
    }
    println!("{}", json!({ "opened": held.len(), "refused": refused }));
    pending().await
}

/// The status of the API, as far as the client tells it.
fn code(error: &WorkloadApiError) -> String {
    let words = format!("{error:?}");
    let known = ["PermissionDenied", "ResourceExhausted", "Unavailable", "InvalidArgument"];
    known.into_iter().find(|code| words.contains(code)).map_or(words, str::to_owned)
}

/// Asks who it is, and once more over a new connection when there is a file `go` in the folder.
async fn twice(folder: &Path) -> Result<(), WorkloadApiError> {
    let ask = async || {
        let context = WorkloadApiClient::connect_env().await?.fetch_x509_context().await?;
        println!("{}", json!({ "spiffe_id": context.default_svid().expect("an SVID").spiffe_id().to_string() }));
        Ok::<_, WorkloadApiError>(())
    };
    ask().await?;
    while !folder.join("go").exists() {
        tokio::time::sleep(Duration::from_millis(10)).await; // tidy: waits for a file
    }
    ask().await
}

async fn jwt(audience: &str) -> Result<(), WorkloadApiError> {
    let token = WorkloadApiClient::connect_env().await?.fetch_jwt_token([audience], None).await?;
    println!("{token}");
    Ok(())
}

async fn validate(audience: &str, token: &str) -> Result<(), WorkloadApiError> {
    let svid = WorkloadApiClient::connect_env().await?.validate_jwt_token(audience, token).await?;
    println!("{}", svid.spiffe_id());
    Ok(())
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
