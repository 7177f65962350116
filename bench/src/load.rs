//! The load: kept-alive HTTP/1.1 connections over mutual TLS with one request in flight each, bounded in time.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustls::{ClientConfig, RootCertStore, version};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::arguments::Load;
use crate::stats::percentile;
use crate::subject::HOST;

const REQUEST: &[u8] = b"GET /answer HTTP/1.1\r\nHost: bench.acme.internal\r\nAccept: */*\r\n\r\n";
const CONNECT: Duration = Duration::from_secs(10);

/// What the load saw, printed as its last line.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct Seen {
    pub requests: u64,
    pub seconds: f64,
    pub p50_us: u32,
    pub p99_us: u32,
}

/// The line after which requests are counted.
pub const MEASURING: &str = "measuring";

/// What the connections share.
#[derive(Default)]
struct State {
    measuring: AtomicBool,
    ended: AtomicBool,
    requests: AtomicU64,
}

/// Connects, warms up, measures, prints what it saw.
pub fn run(load: Load) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let most = CONNECT + load.warm_up + load.measure + Duration::from_secs(10);
    let seen = runtime.block_on(async { timeout(most, measure(&load)).await })??;
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

async fn measure(load: &Load) -> Result<Seen> {
    let connector = TlsConnector::from(Arc::new(tls(load)?));
    let state = Arc::new(State::default());
    let mut tasks = JoinSet::new();
    for _ in 0..load.connections {
        let stream = timeout(CONNECT, connect(&connector, load)).await.context("the connection takes too long")??;
        tasks.spawn(ask(stream, Arc::clone(&state)));
    }
    unless_one_fails(&mut tasks, load.warm_up).await?;
    state.measuring.store(true, Ordering::Relaxed);
    println!("{MEASURING}");
    let started = Instant::now();
    unless_one_fails(&mut tasks, load.measure).await?;
    let (requests, seconds) = (state.requests.load(Ordering::Relaxed), started.elapsed().as_secs_f64());
    state.ended.store(true, Ordering::Relaxed);

    let mut times = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        times.extend(ended??);
    }
    times.sort_unstable();
    ensure!(requests > 0, "not one request was answered");
    Ok(Seen { requests, seconds, p50_us: percentile(&times, 0.5), p99_us: percentile(&times, 0.99) })
}

/// One call over a connection of its own, which must be answered as expected.
pub async fn first_answer(load: &Load) -> Result<()> {
    let connector = TlsConnector::from(Arc::new(tls(load)?));
    let mut stream = timeout(CONNECT, connect(&connector, load)).await.context("the connection takes too long")??;
    stream.write_all(REQUEST).await.context("the request cannot be sent")?;
    stream.flush().await.context("the request cannot be sent")?;
    timeout(CONNECT, read_answer(&mut stream, &mut Vec::new())).await.context("the answer takes too long")?
}

/// Lets the connections work for so long; one that ends before has failed.
async fn unless_one_fails(tasks: &mut JoinSet<Result<Vec<u32>>>, length: Duration) -> Result<()> {
    tokio::select! {
        () = sleep(length) => Ok(()),
        Some(ended) = tasks.join_next() => match ended? {
            Ok(_) => bail!("a connection ended before its time"),
            Err(error) => Err(error),
        },
    }
}

fn tls(load: &Load) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for root in certificates(&load.roots)? {
        roots.add(root).with_context(|| format!("`{}` holds something that is no root", load.roots.display()))?;
    }
    let chain = certificates(&load.identity.join("svid.pem"))?;
    let key = PrivateKeyDer::from_pem_file(load.identity.join("svid.key")).context("cannot read svid.key")?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&version::TLS13])?;
    Ok(builder.with_root_certificates(roots).with_client_auth_cert(chain, key)?)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    certificates.with_context(|| format!("`{}` is not a list of PEM certificates", path.display()))
}

async fn connect(connector: &TlsConnector, load: &Load) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(load.address).await.with_context(|| format!("cannot reach {}", load.address))?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(HOST).context("not a server name")?;
    connector.connect(name, stream).await.context("the TLS handshake failed")
}

/// Asks and reads until the end; gives the microseconds of each measured answer.
async fn ask(mut stream: TlsStream<TcpStream>, state: Arc<State>) -> Result<Vec<u32>> {
    let mut times = Vec::new();
    let mut buffer = Vec::with_capacity(8192);
    while !state.ended.load(Ordering::Relaxed) {
        let started = Instant::now();
        stream.write_all(REQUEST).await.context("the request cannot be sent")?;
        stream.flush().await.context("the request cannot be sent")?;
        read_answer(&mut stream, &mut buffer).await?;
        if state.measuring.load(Ordering::Relaxed) {
            state.requests.fetch_add(1, Ordering::Relaxed);
            times.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
    }
    Ok(times)
}

async fn read_answer(stream: &mut TlsStream<TcpStream>, buffer: &mut Vec<u8>) -> Result<()> {
    buffer.clear();
    loop {
        if answer_length(buffer)?.is_some_and(|length| buffer.len() >= length) {
            return Ok(());
        }
        ensure!(stream.read_buf(buffer).await.context("the answer cannot be read")? > 0, "the connection was closed");
    }
}

/// The length of the whole answer once its head is there; an error where it is not the expected answer.
fn answer_length(buffer: &[u8]) -> Result<Option<usize>> {
    let Some(head) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    let (text, _) = buffer.split_at_checked(head).unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    ensure!(buffer.starts_with(b"HTTP/1.1 200 "), "not the expected answer:\n{text}");
    let lengths = text.lines().filter_map(|line| line.split_once(':'));
    let length = lengths.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, length) = length.ok_or_else(|| anyhow!("an answer without a length:\n{text}"))?;
    let length: usize = length.trim().parse().context("an answer whose length is no number")?;
    ensure!(length == 1024, "an answer of {length} bytes instead of 1024");
    Ok(Some(head + 4 + length))
}

#[cfg(test)]
mod tests {
    use super::{REQUEST, answer_length};
    use crate::subject::HOST;

    #[test]
    fn only_the_expected_answer_is_counted() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\naaa";
        assert_eq!(answer_length(answer).unwrap(), Some(answer.len() - 3 + 1024));
        assert_eq!(answer_length(b"HTTP/1.1 200 OK\r\ncont").unwrap(), None);
        for bad in [
            "HTTP/1.1 403 Forbidden\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n",
        ] {
            assert!(answer_length(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_request_names_the_host() {
        assert!(String::from_utf8_lossy(REQUEST).contains(&format!("Host: {HOST}\r\n")));
    }
}
