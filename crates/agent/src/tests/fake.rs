//! An issuer that does as it is told, and an agent that runs on it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use api::issuance::{Answer, Bundles, Issuance, IssueError, Svid};
use tempfile::TempDir;
use testkit::{Authority, LeafPlan};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use types::{Clock, Label, Selectors, SpiffeId, TrustDomain, UnixRule};

use crate::{ServeError, Socket, serve_on};

pub const ID: &str = "spiffe://finance.acme.internal/payments";

pub fn id() -> SpiffeId {
    SpiffeId::parse(ID).unwrap()
}

/// One domain, one workload.
pub struct Fake {
    clock: Arc<dyn Clock>,
    authority: Authority,
    foreign: Mutex<BTreeMap<TrustDomain, Vec<Vec<u8>>>>,
    rule: Mutex<Option<UnixRule>>,
    available: AtomicBool,
    pub ttl: AtomicU64,
    pub minted: AtomicU64,
    /// Questions asked.
    pub asked: AtomicU64,
    /// Questions asked while it was not available.
    pub unanswered: AtomicU64,
    changes: watch::Sender<u64>,
}

impl Fake {
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let authority = Authority::of("finance.acme.internal", clock.now());
        Arc::new(Self {
            clock,
            authority,
            foreign: Mutex::default(),
            rule: Mutex::new(UnixRule::new(Some(own_uid()), None, None, None).ok()),
            available: AtomicBool::new(true),
            ttl: AtomicU64::new(3600),
            minted: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            changes: watch::Sender::new(0),
        })
    }

    /// Recognises whom this rule matches; nobody without one.
    pub fn recognise(&self, rule: Option<UnixRule>) {
        *self.rule.lock().unwrap() = rule;
        self.announce();
    }

    pub fn add_bundle(&self, domain: &str) {
        let root = Authority::of(domain, self.clock.now()).der().to_vec();
        self.foreign.lock().unwrap().insert(TrustDomain::parse(domain).unwrap(), vec![root]);
        self.announce();
    }

    pub fn set_available(&self, available: bool) {
        self.available.store(available, Ordering::SeqCst);
    }

    pub fn announce(&self) {
        self.changes.send_modify(|generation| *generation += 1);
    }

    fn check(&self, selectors: &Selectors) -> Result<bool, IssueError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if !self.available.load(Ordering::SeqCst) {
            self.unanswered.fetch_add(1, Ordering::SeqCst);
            return Err(IssueError::Unavailable("told so".into()));
        }
        Ok(self.rule.lock().unwrap().as_ref().is_some_and(|rule| rule.matches(selectors)))
    }

    fn mint(&self, selectors: &Selectors, id: &SpiffeId, csr_der: &[u8]) -> Result<Svid, IssueError> {
        if !self.check(selectors)? || *id != self::id() {
            return Err(IssueError::NotEntitled("told so".into()));
        }
        let serial = self.minted.fetch_add(1, Ordering::SeqCst) + 1;
        let now = self.clock.now();
        let not_after = now.plus_seconds(self.ttl.load(Ordering::SeqCst));
        let plan = LeafPlan { not_after, serial: serial.to_be_bytes().to_vec(), ..LeafPlan::svid(id.as_str(), now) };
        let not_after = types::Timestamp::from_seconds(not_after.seconds());
        let chain_der = self.authority.issue_for(&plan, csr_der);
        Ok(Svid {
            spiffe_id: id.clone(),
            chain_der,
            not_before: plan.not_before,
            not_after,
            serial: format!("{serial:x}"),
        })
    }
}

impl Issuance for Fake {
    fn entitled<'a>(&'a self, selectors: &'a Selectors) -> Answer<'a, Vec<SpiffeId>> {
        Box::pin(async move { Ok(if self.check(selectors)? { vec![id()] } else { vec![] }) })
    }

    fn mint_workload<'a>(&'a self, selectors: &'a Selectors, id: &'a SpiffeId, csr_der: &'a [u8]) -> Answer<'a, Svid> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.mint(selectors, id, csr_der)
        })
    }

    fn mint_gateway<'a>(&'a self, _: &'a Label, _: &'a Label, _: &'a [u8]) -> Answer<'a, Svid> {
        Box::pin(async { Err(IssueError::NotEntitled("an agent asks for no gateway".into())) })
    }

    fn bundles(&self) -> Bundles {
        let mut roots = self.foreign.lock().unwrap().clone();
        roots.insert(TrustDomain::parse("finance.acme.internal").unwrap(), vec![self.authority.der().to_vec()]);
        Bundles { generation: *self.changes.borrow(), roots }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// Waits until a counter has reached a number.
pub async fn reached(counter: &AtomicU64, number: u64) {
    while counter.load(Ordering::SeqCst) < number {
        tokio::task::yield_now().await;
    }
}

pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A running agent.
pub struct Running {
    pub directory: TempDir,
    pub socket: PathBuf,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    pub fn start(fake: &Arc<Fake>) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("workload.sock");
        let socket = Socket::bind(&path).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (issuance, clock) = (Arc::clone(fake), Arc::clone(&fake.clock));
        let data = directory.path().to_owned();
        let served = tokio::spawn(async move {
            serve_on(socket, &data, issuance, clock, async {
                let _ = stopped.await;
            })
            .await
        });
        Self { directory, socket: path, stop, served }
    }

    pub async fn stop(self) -> TempDir {
        self.stop.send(()).unwrap();
        self.served.await.unwrap().unwrap();
        self.directory
    }
}
