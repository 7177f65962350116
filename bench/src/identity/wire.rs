//! Simulated agents: they join with tokens and ask control for SVIDs, with the real protocol over TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use api::wire::wire_client::WireClient;
use api::wire::{MintWorkloadRequest, Selectors};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::files::{self, Directory};
use super::pinned;
use crate::cpu;
use crate::fleet::{At, Control, connect, join};

/// Questions of one agent at the same time.
pub const IN_FLIGHT: usize = 2;
/// Requests that are used again and again: making one costs those who ask more than it costs control to answer.
const REQUESTS: usize = 64;

/// A certificate request with a key of its own.
pub fn request() -> Result<Vec<u8>> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok(CertificateParams::default().serialize_request(&key)?.der().to_vec())
}

/// Agents that joined and are connected.
pub struct Agents {
    runtime: Runtime,
    clients: Vec<WireClient<Channel>>,
    requests: Arc<Vec<Vec<u8>>>,
    workloads: usize,
    /// What was asked for last: everybody goes on from there.
    next: Arc<AtomicUsize>,
}

impl Agents {
    /// Lets so many join.
    pub fn join(control: &Control, many: &Directory, agents: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
        let at = At { address: control.wire, root: Arc::new(control.root.clone()) };
        let mut clients = Vec::new();
        for number in 0..agents {
            let name = format!("node-{number}");
            let (token, _) = control.token_for("agent", &name, Some(files::POOL))?;
            let identity = runtime.block_on(join(&at, token, name))?;
            clients.push(WireClient::new(runtime.block_on(connect(&at, Some(identity)))?));
        }
        let requests = (0..REQUESTS).map(|_| request()).collect::<Result<Vec<_>>>()?;
        let workloads = many.workloads();
        Ok(Self { runtime, clients, requests: Arc::new(requests), workloads, next: Arc::default() })
    }

    /// SVIDs for each second of a process's CPU time, while they ask from another core.
    pub fn rate(&mut self, control: u32, core: usize, count: usize) -> Result<f64> {
        let before = cpu::time_of_tree(control)?;
        pinned(core, || self.runtime.block_on(self.ask(count)))?;
        let used = cpu::time_of_tree(control)?.saturating_sub(before).max(Duration::from_millis(1));
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        Ok(count as f64 / used.as_secs_f64())
    }

    /// Asks until so many are there.
    async fn ask(&self, count: usize) -> Result<()> {
        let end = self.next.load(Ordering::Relaxed) + count;
        let mut asking: JoinSet<Result<()>> = JoinSet::new();
        for client in self.clients.iter().flat_map(|client| std::iter::repeat_n(client, IN_FLIGHT)) {
            let (mut client, next) = (client.clone(), Arc::clone(&self.next));
            let (requests, workloads) = (Arc::clone(&self.requests), self.workloads);
            asking.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return Ok(());
                    }
                    let csr = requests.get(number % requests.len()).cloned().unwrap_or_default();
                    let answer = client.mint_workload(order(number % workloads, csr)).await;
                    answer.map_err(|status| anyhow!("nothing was issued: {status}"))?;
                }
            });
        }
        while let Some(ended) = asking.join_next().await {
            ended.context("a simulated agent broke off")??;
        }
        self.next.store(end, Ordering::Relaxed);
        Ok(())
    }
}

fn order(number: usize, csr: Vec<u8>) -> MintWorkloadRequest {
    let (domain, name) = files::workload(number);
    let selectors = Selectors { pid: 1, uid: 1000, gid: 1000, path: files::program(number), ..Selectors::default() };
    MintWorkloadRequest {
        selectors: Some(selectors),
        spiffe_id: format!("spiffe://{domain}.{}/{name}", files::ORGANISATION),
        csr,
        predecessor: None,
    }
}
