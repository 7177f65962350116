//! A control with everything around it that a test needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::admin::{Admin, Keys, ListenerStatus, Publication, Publish, Published, Role};
use api::issuance::{Answer, Bundles, Entitled, Issuance, IssueError, JwtSvid, Svid, WorkloadOrder};
use api::keys::{ForeignBundle, KeyState, KeyStep, Place, Succession};
use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use record::{Cursor, DamageKind, Item, Lane, Log, LogConfig, OwnedRecord};
use testkit::{Authority, Leaf, LeafPlan, ManualClock};
use tokio::sync::watch;
use trustdir::{MemoryFiles, Revision};
use types::facts::{Caller, Decision, Facts, Noted, Outcome, Peer, Protocol};
use types::{
    Clock, DecisionId, Label, Mode, Recordable, RevisionId, Selectors, SpiffeId, Timestamp, TrustDomain, WorkloadId,
};

use crate::metrics::Family;
use crate::wire::state::Snapshot;
use crate::{Certificate, ConsoleAt, Control, Ledger, NotReady, Parts, Roles, Signature, Store};

pub mod keys;
mod real;

/// The size of a log in tests.
pub const LOG_BYTES: u64 = 16 * 1024 * 1024;

/// 2026-11-23, a Monday.
pub const NOW: u64 = 1_795_425_242;

/// The bundles of the keys that rotate, or of a real issuer; issues nothing by itself.
pub struct Roots(pub Arc<Told>);

fn refused<'a, T: Send + 'a>() -> Answer<'a, T> {
    Box::pin(std::future::ready(Err(IssueError::Unavailable("control asks for bundles only".to_owned()))))
}

impl Issuance for Roots {
    fn entitled<'a>(&'a self, _: &'a Selectors) -> Answer<'a, Vec<Entitled>> {
        refused()
    }

    fn mint_workload<'a>(&'a self, _: &'a Selectors, _: &'a WorkloadOrder) -> Answer<'a, Svid> {
        refused()
    }

    fn mint_jwt<'a>(&'a self, _: &'a Selectors, _: &'a SpiffeId, _: &'a [String]) -> Answer<'a, JwtSvid> {
        refused()
    }

    fn mint_gateway<'a>(&'a self, _: &'a Label, _: &'a Label, _: &'a [u8]) -> Answer<'a, Svid> {
        refused()
    }

    fn bundles(&self) -> Bundles {
        self.0.issuer.get().map_or_else(|| self.0.keys.bundles(), Issuance::bundles)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }

    fn is_revoked(&self, _: &str, _: &[u8; 32]) -> bool {
        false
    }
}

/// What the roles beside control were told, in order.
pub struct Told {
    /// The authority of the system's own identities.
    pub system: Authority,
    /// Whose key signs facts.
    publisher: Leaf,
    /// Whether nothing can be signed.
    pub dumb: AtomicBool,
    /// Who decides what workloads get, where a test needs a real one.
    pub issuer: std::sync::OnceLock<issuer::Issuer>,
    /// What rotates.
    pub keys: keys::Machine,
    /// The time of rotations.
    clock: Mutex<Arc<ManualClock>>,
    /// The trust domains of others, as they were told last.
    pub federated: Mutex<BTreeMap<TrustDomain, ForeignBundle>>,
    pub acts: Mutex<Vec<String>>,
    /// Workload, operator and request of each certificate that was issued.
    pub minted: Mutex<Vec<(String, String, Vec<u8>)>>,
    pub not_ready: Mutex<Option<NotReady>>,
    pub certificates: Mutex<Vec<Certificate>>,
}

impl Told {
    pub fn new(now: Timestamp) -> Self {
        let system = Authority::of("system.example.internal", now);
        let year = LeafPlan {
            not_after: now.plus_seconds(365 * 86_400),
            ..LeafPlan::svid("spiffe://system.example.internal/publisher", now)
        };
        Self {
            publisher: system.issue(&year),
            system,
            dumb: AtomicBool::new(false),
            issuer: std::sync::OnceLock::new(),
            keys: keys::Machine::new(),
            clock: Mutex::new(Arc::new(ManualClock::new(now))),
            federated: Mutex::default(),
            acts: Mutex::default(),
            minted: Mutex::default(),
            not_ready: Mutex::default(),
            certificates: Mutex::default(),
        }
    }

    fn svid(&self, spiffe_id: &str) -> Svid {
        let plan = LeafPlan::svid(spiffe_id, Timestamp::from_seconds(NOW));
        Svid {
            spiffe_id: SpiffeId::parse(spiffe_id).unwrap(),
            chain_der: self.system.issue(&plan).chain,
            not_before: Timestamp::from_seconds(NOW),
            not_after: Timestamp::from_seconds(NOW + 3_600),
            serial: "5c".to_owned(),
        }
    }

    fn tell(&self, act: impl Into<String>) {
        self.acts.lock().unwrap().push(act.into());
    }

    pub fn acts(&self) -> Vec<String> {
        self.acts.lock().unwrap().clone()
    }

    fn issuer_there(&self) -> Result<&issuer::Issuer, IssueError> {
        self.issuer.get().ok_or_else(|| IssueError::NotEntitled("the double places nobody".to_owned()))
    }
}

impl Roles for Told {
    fn prepare(&self, revision: &Revision) -> Result<(), NotReady> {
        self.tell(format!("prepare {}", revision.id().short()));
        self.not_ready.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn apply(&self, revision: &Revision) {
        self.tell(format!("apply {}", revision.id().short()));
    }

    fn signals_changed(&self) {
        self.tell("signals");
    }

    fn impersonate(&self, workload: &WorkloadId, operator: &str, csr: &[u8]) -> Result<Svid, IssueError> {
        self.minted.lock().unwrap().push((workload.to_string(), operator.to_owned(), csr.to_vec()));
        Ok(Svid {
            spiffe_id: SpiffeId::parse("spiffe://shop.example.internal/storefront").unwrap(),
            chain_der: vec![vec![7]],
            not_before: Timestamp::default(),
            not_after: Timestamp::from_seconds(300),
            serial: "5c".to_owned(),
        })
    }

    fn mint_operator(&self, name: &Label, _: &[u8], life: Duration) -> Result<Svid, IssueError> {
        self.tell(format!("certify {name} for {} s", life.as_secs()));
        Ok(self.svid(&format!("spiffe://system.example.internal/operator/{name}")))
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, IssueError> {
        if self.dumb.load(Ordering::Relaxed) {
            return Err(IssueError::Unavailable("the key is away".to_owned()));
        }
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.publisher.key_der()).unwrap();
        let signature = key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
        Ok(Signature { signature, chain: self.publisher.chain.clone() })
    }

    fn system_root(&self) -> Vec<u8> {
        self.system.der().to_vec()
    }

    fn mint_peer(&self, role: Role, name: &Label, csr_der: &[u8]) -> Result<Svid, IssueError> {
        let id = format!("spiffe://system.example.internal/{}/{name}", role.as_str());
        let plan = LeafPlan::svid(&id, Timestamp::from_seconds(NOW));
        Ok(Svid { chain_der: self.system.issue_for(&plan, csr_der), ..self.svid(&id) })
    }

    fn mint_workload_at(
        &self,
        place: &Place,
        selectors: &Selectors,
        order: &WorkloadOrder,
    ) -> Result<Svid, IssueError> {
        self.tell(format!("place {place:?}"));
        self.issuer_there()?.mint_workload_at(place, selectors, order)
    }

    fn mint_jwt_at(
        &self,
        place: &Place,
        selectors: &Selectors,
        id: &SpiffeId,
        audience: &[String],
    ) -> Result<JwtSvid, IssueError> {
        self.issuer_there()?.mint_jwt_at(place, selectors, id, audience)
    }

    fn key_states(&self) -> Vec<KeyState> {
        let real = |issuer: &issuer::Issuer| issuer.key_states();
        self.issuer.get().map_or_else(|| self.keys.states(), real)
    }

    fn rotate_keys(&self, domain: &Label, keys: Keys, step: KeyStep) -> Result<KeyState, IssueError> {
        if let Some(issuer) = self.issuer.get() {
            return issuer.rotate(domain, keys, step).map_err(|error| real::refused(&error));
        }
        let now = self.clock.lock().unwrap().now();
        self.keys.step(domain, keys, step, now)
    }

    fn successions(&self) -> Vec<Succession> {
        let real = |issuer: &issuer::Issuer| issuer.successions();
        self.issuer.get().map_or_else(|| self.keys.successions(), real)
    }

    fn set_federated(&self, federated: BTreeMap<TrustDomain, ForeignBundle>) {
        *self.federated.lock().unwrap() = federated;
    }

    fn mint_gateway(&self, _: &Label, domain: &Label, _: &[u8]) -> Result<Svid, IssueError> {
        Ok(self.svid(&format!("spiffe://{domain}.example.internal/_gateway/edge")))
    }

    fn certificates(&self) -> Vec<Certificate> {
        self.certificates.lock().unwrap().clone()
    }

    fn figures(&self) -> Vec<Family> {
        Vec::new()
    }
}

const PERMIT: &str = r#"
@id("local-impersonates-the-storefront")
@reason("A test.")
permit (principal == Operator::"local", action == Action::"impersonate", resource == Workload::"shop/storefront");
"#;

/// The starter's files, with one who may be impersonated.
pub fn files() -> MemoryFiles {
    let mut files: MemoryFiles = trustdir::starter(&TrustDomain::parse("example.internal").unwrap());
    files.insert("admin.cedar", PERMIT);
    files
}

/// The starter's files with one of them changed.
pub fn with(path: &str, edit: impl FnOnce(String) -> String) -> MemoryFiles {
    let mut files = files();
    let before = files.remove(path).map(|content| String::from_utf8(content).unwrap()).unwrap_or_default();
    files.insert(path, edit(before));
    files
}

/// The starter's files with a comment: another revision that decides the same.
pub fn commented(comment: &str) -> MemoryFiles {
    with("policies/guardrails.cedar", |text| format!("{text}\n// {comment}\n"))
}

pub fn revision_of(files: &MemoryFiles) -> Arc<Revision> {
    let loaded = trustdir::load(files);
    loaded.revision.unwrap_or_else(|| panic!("{:?}", loaded.problems))
}

pub fn request(files: &MemoryFiles) -> Publish {
    let texts = files.iter().map(|(path, content)| (path.to_owned(), String::from_utf8(content.to_vec()).unwrap()));
    Publish { files: texts.collect(), why: "a test".to_owned(), after: None }
}

/// What became current, or what waits in words.
pub fn current(published: Published) -> Publication {
    match published {
        Published::Current { publication, .. } => publication,
        Published::Proposed { proposal } => panic!("it waits: {proposal:?}"),
    }
}

/// The starter's files with owners: alice owns the shop, sally the organisation; bob may publish and owns nothing, olaf
/// operates, vera looks.
pub fn owned() -> MemoryFiles {
    let mut files = files();
    append(
        &mut files,
        "countersign.yaml",
        "owners: [operator:sally]\noperators:\n  alice: { uid: 4001, roles: [owner] }\n  bob: { uid: 4002, roles: [owner] }\n  \
         sally: { uid: 4003, roles: [security] }\n  olaf: { uid: 4004, roles: [operator] }\n  vera: { uid: 4005, roles: [viewer] }\n",
    );
    append(&mut files, "domains/shop/domain.yaml", "owners: [operator:alice]\n");
    files
}

/// The same files with more in one of them.
pub fn append(files: &mut MemoryFiles, path: &str, more: &str) {
    let before = files.remove(path).map(|content| String::from_utf8(content).unwrap()).unwrap_or_default();
    files.insert(path, format!("{before}\n{more}"));
}

/// Where a world lives: a folder that goes with it, or one of a test in another process.
pub enum Folder {
    Own(tempfile::TempDir),
    Given(PathBuf),
}

impl Folder {
    pub fn path(&self) -> &Path {
        match self {
            Self::Own(dir) => dir.path(),
            Self::Given(path) => path,
        }
    }
}

/// A control on a directory of its own.
pub struct World {
    pub dir: Folder,
    pub clock: Arc<ManualClock>,
    pub log: Arc<Log>,
    pub control: Arc<Control>,
    pub told: Arc<Told>,
    /// What peers are told.
    pub changes: watch::Receiver<Arc<Snapshot>>,
    /// Of the enforcers.
    pub lane: Mutex<Lane>,
}

impl World {
    pub fn new() -> Self {
        Self::on(Folder::Own(tempfile::tempdir().unwrap()), LOG_BYTES)
    }

    /// One with owners and operators: see [`owned`].
    pub fn owned() -> Self {
        Self::with(&owned(), Folder::Own(tempfile::tempdir().unwrap()), LOG_BYTES)
    }

    /// A process that starts on what an earlier one left; `max_bytes` is the size of its log.
    pub fn on(dir: Folder, max_bytes: u64) -> Self {
        Self::with(&files(), dir, max_bytes)
    }

    /// The same, with these files where nothing was left.
    pub fn with(first: &MemoryFiles, dir: Folder, max_bytes: u64) -> Self {
        Self::with_roles(first, dir, max_bytes, Arc::new(Told::new(Timestamp::from_seconds(NOW))))
    }

    /// The same, with the keys of an earlier one.
    pub fn with_roles(first: &MemoryFiles, dir: Folder, max_bytes: u64, told: Arc<Told>) -> Self {
        Self::at(first, dir, max_bytes, told, Arc::new(ManualClock::new(Timestamp::from_seconds(NOW))))
    }

    /// The same, at a moment.
    fn at(first: &MemoryFiles, dir: Folder, max_bytes: u64, told: Arc<Told>, clock: Arc<ManualClock>) -> Self {
        *told.clock.lock().unwrap() = Arc::clone(&clock);
        let as_clock: Arc<dyn Clock> = clock.clone();
        let node = Label::parse("local").unwrap();
        let config =
            LogConfig { max_bytes, segment_bytes: 64 * 1024, ..LogConfig::new(dir.path().join("log"), node.clone()) };
        let log = Arc::new(Log::open(config, Arc::clone(&as_clock)).unwrap());
        let ledger = Arc::new(Ledger::new(log.lane("control").unwrap()));
        let store = Arc::new(Store::open(dir.path()).unwrap());
        let revision = match store.current().unwrap() {
            Some(current) => store.load(current.revision.parse().unwrap()).unwrap(),
            None => {
                let loaded = trustdir::load(first);
                let revision = loaded.revision.unwrap_or_else(|| panic!("{:?}", loaded.problems));
                crate::first(&store, &ledger, &*clock, &revision, &loaded.sources).unwrap();
                revision
            }
        };
        let signals = store.signals(&revision.model().organisation).unwrap();
        let listener = |name: &str, plaintext: bool| ListenerStatus {
            name: name.to_owned(),
            address: "127.0.0.1:1".parse().unwrap(),
            domains: vec!["shop".to_owned()],
            plaintext,
        };
        let control = Control::new(Parts {
            version: "0",
            node,
            data: dir.path().to_owned(),
            source: None,
            workload_socket: dir.path().join("workload.sock"),
            log: Arc::clone(&log),
            intake: crate::Intake::open(dir.path(), LOG_BYTES).unwrap(),
            log_findings: Vec::new(),
            listeners: vec![listener("gateway", false), listener("old", true)],
            console: Some(ConsoleAt {
                address: "127.0.0.1:8441".parse().unwrap(),
                origin: "http://127.0.0.1:8441".to_owned(),
            }),
            revision: Arc::new(ArcSwap::new(revision)),
            signals: Arc::new(ArcSwap::from_pointee(signals)),
            wire: Some("192.0.2.1:8440".parse().unwrap()),
            store,
            issuance: Arc::new(Roots(Arc::clone(&told))),
            roles: told.clone(),
            ledger,
            clock: as_clock,
        });
        let lane = Mutex::new(log.lane("worker-0").unwrap());
        let control = Arc::new(control.unwrap());
        let changes = control.hub.follow();
        Self { dir, clock, log, control, told, changes, lane }
    }

    /// The process ends in order; another starts.
    pub fn restart(self) -> Self {
        let Self { dir, control, log, lane, told, .. } = self;
        drop((control, lane, log, told));
        Self::on(dir, LOG_BYTES)
    }

    /// The process ends in order; another starts at once, with the same keys.
    pub fn restart_now(self) -> Self {
        let told = Arc::clone(&self.told);
        self.restart_with(|| told)
    }

    /// The same, with keys that are opened when nobody holds the earlier ones any more.
    pub fn restart_with(self, told: impl FnOnce() -> Arc<Told>) -> Self {
        let Self { dir, control, log, lane, told: before, clock, changes } = self;
        drop((control, lane, log, changes, before));
        Self::at(&files(), dir, LOG_BYTES, told(), clock)
    }

    pub fn admin(&self) -> &dyn Admin {
        &*self.control
    }

    pub fn revision(&self) -> RevisionId {
        self.control.parts.revision.load().id()
    }

    /// The administrative acts on record: act, outcome, subject or revision, note.
    pub fn acts(&self) -> Vec<String> {
        let line = |record: &OwnedRecord| match record.view().facts {
            Facts::Administration(facts) => {
                let revision = facts.revision.map(|revision| revision.short()).unwrap_or_default();
                let about = format!("{}{revision}", facts.subject);
                Some(format!(
                    "{} {} {about} by {}: {} | {}",
                    facts.act, facts.outcome, facts.operator, facts.why, facts.note
                ))
            }
            _ => None,
        };
        records(self.log.dir()).iter().filter_map(line).collect()
    }

    /// Appends one decision.
    pub fn decide(&self, call: Call) {
        let id = DecisionId::new(self.clock.now().micros() / 1_000, [7; 10]);
        self.lane.lock().unwrap().append(Made { call, id }).map(drop).map_err(|not| not.why().to_string()).unwrap();
    }
}

pub fn records(log: &Path) -> Vec<OwnedRecord> {
    let items = Cursor::open(log).unwrap().map(Result::unwrap);
    let record = |item: Item| match item {
        Item::Record(record) => Some(record),
        // a writer that was killed within a record
        Item::Damage(damage) if matches!(damage.what, DamageKind::TornTail { .. }) => None,
        Item::Damage(damage) => panic!("{damage}"),
    };
    items.filter_map(record).collect()
}

/// A call, in the words of a record.
#[derive(Clone, Copy)]
pub struct Call {
    pub caller: &'static str,
    pub serial: &'static str,
    pub listener: &'static str,
    pub template: &'static str,
    pub outcome: Outcome,
    pub reason: &'static str,
    pub determining: &'static [&'static str],
    pub noted: &'static [(&'static str, Mode, &'static str)],
}

impl Call {
    pub const ALLOWED: Self = Self {
        caller: "spiffe://shop.example.internal/storefront",
        serial: "5c01",
        listener: "gateway",
        template: "/orders",
        outcome: Outcome::Allow,
        reason: "",
        determining: &["shop/storefront-reads"],
        noted: &[],
    };
}

/// A call that can be recorded.
pub struct Made {
    call: Call,
    pub id: DecisionId,
}

/// The record of a call; calls of one moment are told apart by `last`.
pub fn made(call: Call, at: Timestamp, last: u8) -> Made {
    Made { call, id: DecisionId::new(at.micros() / 1_000, [7, 7, 7, 7, 7, 7, 7, 7, 7, last]) }
}

impl Recordable for Made {
    fn facts(&self) -> Facts<'_> {
        let Call { caller, serial, listener, template, outcome, reason, determining, noted } = self.call;
        let peer = Peer {
            spiffe_id: caller,
            serial,
            sha256: [0; 32],
            not_before: Timestamp::default(),
            not_after: Timestamp::from_seconds(NOW + 3_600),
            via: "",
        };
        let unidentified = Caller::Unidentified { claimed: "" };
        Facts::Decision(Decision {
            id: self.id,
            outcome,
            reason,
            note: "",
            listener,
            revision: None,
            source: Some("192.0.2.7".parse().unwrap()),
            protocol: Protocol::Http1,
            caller: if caller.is_empty() { unidentified } else { Caller::Verified(peer) },
            host: "orders.example.internal",
            service: "shop/orders",
            method: "GET",
            template,
            risk: Some(50),
            determining: determining.to_vec(),
            noted: noted.iter().map(|(check, mode, reason)| Noted { check, mode: *mode, reason, policy: "" }).collect(),
            epoch: Some(0),
        })
    }
}
