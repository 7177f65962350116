//! One proxy with its log, and the handles by which control would change things.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api::issuance::Issuance;
use arc_swap::ArcSwap;
use countersign_proxy::{Config, Listener, Parts, Running, Stats, start};
use record::{Cursor, Item, Log, LogConfig};
use runtime::freshness::Freshness;
use serde_json::Value;
use signal::{Revocation, State, Subject};
use tempfile::TempDir;
use testkit::{Leaf, LeafPlan, RealClock};
use tokio::{sync::watch, time::Instant};
use trustdir::{MemoryFiles, Revision, load};
use types::{Clock, Label, SpiffeId, Timestamp, TrustDomain};

use crate::{signer::Signer, upstream::Upstream};

pub const LEDGER: &str = "ledger.acme.internal";
pub const PEOPLE: &str = "people.acme.internal";
pub const CREWS: &str = "crews.acme.internal";
pub const PAYMENTS: &str = "spiffe://finance.acme.internal/payments";
pub const TREASURY: &str = "spiffe://finance.acme.internal/treasury";

const ORGANISATION: &str = "organisation: acme.internal\nrisk_unknown: 50\n";
const FEDERATION: &str =
    "federation: [ { name: partner.example, url: \"https://partner.example/bundle\", profile: https_web } ]\n";
const ROUTES: &str =
    "\"GET /stream\": {}, \"GET /flood\": {}, \"GET /slow\": {}, \"GET /items\": {}, \"POST /upload\": {}";

/// What a trust directory shall say.
#[derive(Clone)]
pub struct Rules {
    /// Added to the finance domain, such as `mode: observe`.
    pub finance: &'static str,
    /// The routes of the ledger.
    pub routes: String,
    /// Added to the finance domain's policies.
    pub forbids: &'static str,
    /// Whether there is a third domain.
    pub crews: bool,
    /// Whether the host of the ledger has moved to hr.
    pub moved: bool,
    /// Whether finance and hr each name a workload of `partner.example`.
    pub federated: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { finance: "", routes: ROUTES.to_owned(), forbids: "", crews: false, moved: false, federated: false }
    }
}

fn domain(name: &str, more: &str, service: &str, routes: &str, upstream: SocketAddr) -> String {
    format!(
        "domain: {name}\n{more}\nservices:\n  {service}:\n    hosts: [{service}.acme.internal]\n    upstream: {{ urls: \
         [\"http://{upstream}\"] }}\n    limits: {{ first_byte: 30s, idle: 60s, body: 64MiB }}\n    routes: {{ {routes} \
         }}\nworkloads:\n  payments: {{ attest: {{ any: [ {{ unix: {{ uid: 1 }} }} ] }} }}\n  treasury: {{ attest: {{ any: [ {{ unix: {{ uid: 2 }} }} ] }} }}\n"
    )
}

impl Rules {
    fn revision(&self, upstream: SocketAddr) -> Arc<Revision> {
        let mut files = MemoryFiles::default();
        let permit = |id: &str, domain: &str| {
            format!("@id(\"{id}\") @reason(\"a test\") permit (principal, action, resource in Domain::\"{domain}\");\n")
        };
        files.insert("countersign.yaml", ORGANISATION);
        let mut ledger = domain("finance", self.finance, "ledger", &self.routes, upstream);
        let mut people = domain("hr", "", "people", ROUTES, upstream);
        if self.moved {
            ledger = ledger.replace(LEDGER, "books.acme.internal");
            people = people.replace(PEOPLE, LEDGER);
        }
        if self.federated {
            files.insert("countersign.yaml", format!("{ORGANISATION}{FEDERATION}"));
            ledger += "  web: { spiffe_id: \"spiffe://partner.example/web\" }\n";
            people += "  cron: { spiffe_id: \"spiffe://partner.example/cron\" }\n";
        }
        files.insert("domains/finance/domain.yaml", ledger);
        files.insert("domains/finance/policies/a.cedar", permit("all-of-finance", "finance") + self.forbids);
        files.insert("domains/hr/domain.yaml", people);
        files.insert("domains/hr/policies/a.cedar", permit("all-of-hr", "hr"));
        if self.crews {
            files.insert("domains/crews/domain.yaml", domain("crews", "", "crews", ROUTES, upstream));
            files.insert("domains/crews/policies/a.cedar", permit("all-of-crews", "crews"));
        }
        let loaded = load(&files);
        loaded.revision.unwrap_or_else(|| panic!("{:#?}", loaded.problems))
    }
}

/// The clock of the machine, set ahead by seconds. No timer hears of it.
#[derive(Default)]
pub struct Ahead(pub AtomicU64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        RealClock.now().plus_seconds(self.0.load(Ordering::SeqCst))
    }
}

/// Everything together.
pub struct Site {
    /// What the proxy takes for the time of day.
    pub clock: Arc<Ahead>,
    pub upstream: Upstream,
    pub stats: Arc<Stats>,
    /// Where TLS is spoken, by all domains.
    pub address: SocketAddr,
    /// Where it is not.
    pub plain: SocketAddr,
    /// Where TLS is spoken, by finance only.
    pub narrow: SocketAddr,
    revision: Arc<ArcSwap<Revision>>,
    signals: Arc<ArcSwap<State>>,
    /// When control was last heard. A test may make it old.
    pub freshness: Arc<Freshness>,
    changes: watch::Sender<u64>,
    signer: Arc<Signer>,
    dir: TempDir,
    _log: Log,
    running: Running,
}

impl Site {
    /// Starts with these rules.
    pub async fn start(rules: &Rules, workers: usize) -> Self {
        let upstream = Upstream::start().await;
        let revision = Arc::new(ArcSwap::new(rules.revision(upstream.address)));
        let signer = Arc::new(Signer::new(Arc::clone(&revision)));
        Self::around(upstream, revision, signer, workers).await
    }

    /// Another proxy with the same issuer, revision and upstream, after this one has ended.
    pub async fn restarted(self, is_away: bool) -> Self {
        let Self { upstream, revision, signer, running, .. } = self;
        running.shutdown().await;
        signer.is_away.store(is_away, Ordering::SeqCst);
        Self::around(upstream, revision, signer, 1).await
    }

    async fn around(upstream: Upstream, revision: Arc<ArcSwap<Revision>>, signer: Arc<Signer>, workers: usize) -> Self {
        let signals = Arc::new(ArcSwap::from_pointee(State::default()));
        let dir = tempfile::tempdir().unwrap();
        let log = LogConfig::new(dir.path(), Label::parse("node").unwrap());
        let log = Log::open(log, Arc::new(RealClock)).unwrap();
        let (changes, changed) = watch::channel(0);
        let freshness = Arc::new(Freshness::new());
        freshness.hear(RealClock.now());
        freshness.confirm(RealClock.now());
        let stats = Arc::new(Stats::new());
        let clock = Arc::new(Ahead::default());
        let (gateway, address) = listener("gateway", false);
        let (old, plain) = listener("old", true);
        let (mut counter, narrow) = listener("narrow", false);
        counter.domains = Some(vec![Label::parse("finance").unwrap()]);
        let config = Config { node: Label::parse("node").unwrap(), workers, listeners: vec![gateway, old, counter] };
        let issuance: Arc<dyn Issuance> = signer.clone();
        let parts = Parts {
            revision: Arc::clone(&revision),
            signals: Arc::clone(&signals),
            freshness: Arc::clone(&freshness),
            changes: changed,
            stats: Arc::clone(&stats),
            log: &log,
            issuance,
            clock: clock.clone(),
        };
        let running = start(config, parts).await.unwrap();
        Self {
            clock,
            upstream,
            stats,
            address,
            plain,
            narrow,
            revision,
            signals,
            freshness,
            changes,
            signer,
            dir,
            _log: log,
            running,
        }
    }

    /// The issuer.
    pub fn issuer(&self) -> &Signer {
        &self.signer
    }

    /// The issuer says that something changed.
    pub fn issuer_changed(&self) {
        self.signer.changes.send_modify(|change| *change += 1);
    }

    /// Makes other rules current; gives the revision as records name it.
    pub fn publish(&self, rules: &Rules) -> String {
        let revision = rules.revision(self.upstream.address);
        let id = revision.id().to_string();
        self.revision.store(revision);
        self.changes.send_modify(|change| *change += 1);
        id
    }

    /// Revokes exactly these, and gives when it was told.
    pub fn revoke(&self, epoch: u64, subjects: &[&str], until: Option<Timestamp>) -> Instant {
        let organisation = TrustDomain::parse("acme.internal").unwrap();
        let revocations = subjects.iter().map(|subject| Revocation {
            subject: Subject::parse(subject, &organisation).unwrap(),
            reason: "its laptop was stolen".to_owned(),
            operator: "local".to_owned(),
            at: RealClock.now(),
            until,
            epoch,
        });
        self.signals.store(Arc::new(State::new(epoch, revocations)));
        let at = Instant::now();
        self.changes.send_modify(|change| *change += 1);
        at
    }

    /// The revision in force.
    pub fn revision(&self) -> String {
        self.revision.load().id().to_string()
    }

    /// A certificate for a SPIFFE ID.
    pub fn identity(&self, id: &str) -> Leaf {
        let domain = SpiffeId::parse(id).unwrap().trust_domain().to_string();
        let name = domain.split('.').next().unwrap();
        self.signer.authorities()[name].signing.issue(&LeafPlan::svid(id, RealClock.now()))
    }

    /// The roots to which the gateway's certificates lead.
    pub fn roots(&self) -> Vec<Vec<u8>> {
        self.signer.authorities().values().flat_map(|authorities| authorities.roots.clone()).collect()
    }

    /// The first record that fits, waited for.
    pub async fn record(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(10);
        let mut cursor = Cursor::open(self.dir.path()).unwrap();
        loop {
            for item in &mut cursor {
                let Ok(Item::Record(record)) = item else { panic!("{item:?}") };
                let value = serde_json::to_value(record.view()).unwrap();
                if fits(&value) {
                    return value;
                }
            }
            assert!(Instant::now() < end, "no such record");
            // tidy: asks again until the record is there
            tokio::time::sleep(Duration::from_millis(2)).await;
            cursor.poll().unwrap();
        }
    }

    /// The completion of a decision.
    pub async fn completion(&self, id: &str) -> Value {
        self.record(|record| record["kind"] == "completion" && record["id"] == id).await
    }

    /// A decision.
    pub async fn decision(&self, id: &str) -> Value {
        self.record(|record| record["kind"] == "decision" && record["id"] == id).await
    }
}

fn listener(name: &str, plaintext: bool) -> (Listener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (Listener { name: Label::parse(name).unwrap(), listener, domains: None, plaintext }, address)
}

/// Waits until something is so.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < end, "{what} did not come");
        // tidy: asks again until it is so
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
