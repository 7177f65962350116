//! An issuer that does as it is told, and an agent that runs on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use api::issuance::{Answer, Bundles, Entitled, HeldSvid, Issuance, IssueError, JwtKey, JwtSvid, Svid, WorkloadOrder};
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use tempfile::TempDir;
use testkit::{Authority, LeafPlan};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use types::attest::{AttestParts, UnixParts};
use types::{AttestRule, Clock, KeyKind, Label, PathRule, Selectors, SpiffeId, Timestamp, TrustDomain, UnixRule};

use crate::{Cluster, Options, ServeError, Socket, serve_on};

pub const ID: &str = "spiffe://finance.acme.internal/payments";
pub const DOMAIN: &str = "finance.acme.internal";

pub fn id() -> SpiffeId {
    SpiffeId::parse(ID).unwrap()
}

pub fn entitled(text: &str, key: KeyKind) -> Entitled {
    Entitled { id: SpiffeId::parse(text).unwrap(), key }
}

pub fn payments() -> Entitled {
    entitled(ID, KeyKind::P256)
}

/// What a rule of one attestor asks for.
pub fn unix(parts: UnixParts) -> Option<AttestRule> {
    Some(UnixRule::new(parts).unwrap().into())
}

pub fn uid_rule(uid: u32) -> Option<AttestRule> {
    unix(UnixParts { uid: Some(uid), ..UnixParts::default() })
}

pub fn path_rule(path: &str) -> Option<AttestRule> {
    unix(UnixParts { path: Some(PathRule::parse(path).unwrap()), ..UnixParts::default() })
}

pub fn rule(parts: AttestParts) -> Option<AttestRule> {
    Some(AttestRule::new(parts).unwrap())
}

/// One domain; its workload `payments` and whoever else is named are recognised by one rule.
pub struct Fake {
    pub clock: Arc<dyn Clock>,
    world: Mutex<World>,
    /// Seconds by which the issuer's clock is ahead.
    pub ahead: AtomicI64,
    pub ttl: AtomicU64,
    pub minted: AtomicU64,
    /// Tokens signed.
    pub signed: AtomicU64,
    /// Questions asked.
    pub asked: AtomicU64,
    /// Certificates asked for, given or not.
    pub ordered: AtomicU64,
    /// Questions asked while it was not available.
    pub unanswered: AtomicU64,
    pub told: watch::Sender<Vec<HeldSvid>>,
    changes: watch::Sender<u64>,
}

/// What trust was taken from.
pub enum Revoked {
    Serial(String),
    Key([u8; 32]),
}

struct World {
    authority: Authority,
    roots: Vec<Vec<u8>>,
    jwt_key: (String, KeyPair),
    jwt_keys: Vec<JwtKey>,
    foreign: BTreeMap<TrustDomain, (Vec<Vec<u8>>, Vec<JwtKey>)>,
    rule: Option<AttestRule>,
    ids: Vec<Entitled>,
    failing: Option<IssueError>,
    refuses_predecessors: bool,
    revoked: Vec<Revoked>,
    /// Whoever asks, the certificate is for this key.
    signs_for: Option<Vec<u8>>,
    orders: Vec<WorkloadOrder>,
}

fn new_jwt_key(kid: &str) -> (String, KeyPair) {
    (kid.to_owned(), KeyPair::generate().unwrap())
}

fn public((kid, key): &(String, KeyPair)) -> JwtKey {
    JwtKey { kid: kid.clone(), spki_der: key.subject_public_key_info() }
}

/// A token of somebody, signed by a key.
pub fn token(key: &(String, KeyPair), id: &SpiffeId, audience: &[String], from: Timestamp, to: Timestamp) -> String {
    let sign = |input: &[u8]| Ok::<_, ()>(jose::raw_ecdsa(&key.1.sign(input).unwrap(), 32).unwrap());
    identity::jwt_svid::encode(&key.0, jose::Algorithm::Es256, id, audience, from, to, sign).unwrap()
}

impl Fake {
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let authority = Authority::of(DOMAIN, clock.now());
        let jwt_key = new_jwt_key("first");
        let world = World {
            roots: vec![authority.der().to_vec()],
            authority,
            jwt_keys: vec![public(&jwt_key)],
            jwt_key,
            foreign: BTreeMap::new(),
            rule: uid_rule(own_uid()),
            ids: vec![payments()],
            failing: None,
            refuses_predecessors: false,
            revoked: Vec::new(),
            signs_for: None,
            orders: Vec::new(),
        };
        Arc::new(Self {
            clock,
            world: Mutex::new(world),
            ahead: AtomicI64::new(0),
            ttl: AtomicU64::new(3600),
            minted: AtomicU64::new(0),
            signed: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            ordered: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            told: watch::Sender::new(Vec::new()),
            changes: watch::Sender::new(0),
        })
    }

    fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.world.lock().unwrap());
        self.announce();
    }

    /// Recognises whom this rule matches; nobody without one.
    pub fn recognise(&self, rule: Option<AttestRule>) {
        self.change(|world| world.rule = rule);
    }

    /// Whom the rule recognises gets these.
    pub fn entitle(&self, ids: Vec<Entitled>) {
        self.change(|world| world.ids = ids);
    }

    pub fn add_bundle(&self, domain: &str) {
        let root = Authority::of(domain, self.clock.now()).der().to_vec();
        self.set_bundle(domain, vec![root], &[]);
    }

    pub fn set_bundle(&self, domain: &str, roots: Vec<Vec<u8>>, keys: &[JwtKey]) {
        let domain = TrustDomain::parse(domain).unwrap();
        self.change(|world| drop(world.foreign.insert(domain, (roots, keys.to_vec()))));
    }

    /// Another domain that signs tokens with this key.
    pub fn add_jwt_domain(&self, domain: &str, kid: &str) -> (String, KeyPair) {
        let key = new_jwt_key(kid);
        self.set_bundle(domain, vec![], &[public(&key)]);
        key
    }

    pub fn jwt_keys(&self, change: impl FnOnce(&mut Vec<JwtKey>)) {
        self.change(|world| change(&mut world.jwt_keys));
    }

    /// Signs with a new root from now on, and with a new key for tokens. Whether the old ones stay in the bundle is the
    /// difference between a rotation and an emergency.
    pub fn rotate(&self, keep_old: bool) {
        let authority = Authority::of(DOMAIN, self.clock.now());
        self.change(|world| {
            let (root, jwt_key) = (authority.der().to_vec(), new_jwt_key("second"));
            if !keep_old {
                world.roots.clear();
                world.jwt_keys.clear();
            }
            world.roots.push(root);
            world.jwt_keys.push(public(&jwt_key));
            (world.authority, world.jwt_key) = (authority, jwt_key);
        });
    }

    /// Signs with a root that is in no bundle yet; what is returned publishes it.
    pub fn sign_unpublished(&self) -> Vec<u8> {
        let authority = Authority::of(DOMAIN, self.clock.now());
        let root = authority.der().to_vec();
        self.world.lock().unwrap().authority = authority;
        root
    }

    pub fn publish(&self, root: Vec<u8>) {
        self.change(|world| world.roots.push(root));
    }

    pub fn set_available(&self, available: bool) {
        self.fail((!available).then(|| IssueError::Unavailable("told so".into())));
    }

    pub fn fail(&self, error: Option<IssueError>) {
        self.world.lock().unwrap().failing = error;
    }

    pub fn refuse_predecessors(&self) {
        self.world.lock().unwrap().refuses_predecessors = true;
    }

    pub fn revoke(&self, what: Revoked) {
        self.change(|world| world.revoked.push(what));
    }

    /// Answers every request with a certificate for the key of this one.
    pub fn sign_for(&self, csr_der: Vec<u8>) {
        self.world.lock().unwrap().signs_for = Some(csr_der);
    }

    pub fn orders(&self) -> Vec<WorkloadOrder> {
        self.world.lock().unwrap().orders.clone()
    }

    pub fn announce(&self) {
        self.changes.send_modify(|generation| *generation += 1);
    }

    /// The issuer's own clock.
    fn now(&self) -> Timestamp {
        let now = self.clock.now().micros().saturating_add_signed(self.ahead.load(Ordering::SeqCst) * 1_000_000);
        Timestamp::from_micros(now)
    }

    fn check(&self, world: &World, selectors: &Selectors) -> Result<bool, IssueError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if let Some(error) = &world.failing {
            self.unanswered.fetch_add(1, Ordering::SeqCst);
            return Err(error.clone());
        }
        Ok(world.rule.as_ref().is_some_and(|rule| rule.matches(selectors)))
    }

    fn may(&self, world: &World, selectors: &Selectors, id: &SpiffeId) -> Result<(), IssueError> {
        let known = self.check(world, selectors)? && world.ids.iter().any(|entitled| entitled.id == *id);
        if known { Ok(()) } else { Err(IssueError::NotEntitled("told so".into())) }
    }

    fn mint(&self, selectors: &Selectors, order: &WorkloadOrder) -> Result<Svid, IssueError> {
        let mut world = self.world.lock().unwrap();
        self.ordered.fetch_add(1, Ordering::SeqCst);
        self.may(&world, selectors, &order.id)?;
        world.orders.push(order.clone());
        if order.predecessor.is_some() && world.refuses_predecessors {
            return Err(IssueError::BadRequest("told so".into()));
        }
        let serial = self.minted.fetch_add(1, Ordering::SeqCst) + 1;
        let now = self.now();
        let not_after = now.plus_seconds(self.ttl.load(Ordering::SeqCst));
        let plan =
            LeafPlan { not_after, serial: serial.to_be_bytes().to_vec(), ..LeafPlan::svid(order.id.as_str(), now) };
        Ok(Svid {
            spiffe_id: order.id.clone(),
            chain_der: world.authority.issue_for(&plan, world.signs_for.as_ref().unwrap_or(&order.csr_der)),
            not_before: Timestamp::from_seconds(plan.not_before.seconds()),
            not_after: Timestamp::from_seconds(not_after.seconds()),
            serial: format!("{serial:x}"),
        })
    }

    fn sign(&self, selectors: &Selectors, id: &SpiffeId, audience: &[String]) -> Result<JwtSvid, IssueError> {
        let world = self.world.lock().unwrap();
        self.may(&world, selectors, id)?;
        self.signed.fetch_add(1, Ordering::SeqCst);
        let issued_at = Timestamp::from_seconds(self.now().seconds());
        let not_after = issued_at.plus_seconds(300);
        let token = token(&world.jwt_key, id, audience, issued_at, not_after).into();
        Ok(JwtSvid { spiffe_id: id.clone(), token, issued_at, not_after })
    }
}

impl Issuance for Fake {
    fn entitled<'a>(&'a self, selectors: &'a Selectors) -> Answer<'a, Vec<Entitled>> {
        Box::pin(async move {
            let world = self.world.lock().unwrap();
            Ok(if self.check(&world, selectors)? { world.ids.clone() } else { vec![] })
        })
    }

    fn mint_workload<'a>(&'a self, selectors: &'a Selectors, order: &'a WorkloadOrder) -> Answer<'a, Svid> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.mint(selectors, order)
        })
    }

    fn mint_jwt<'a>(
        &'a self,
        selectors: &'a Selectors,
        id: &'a SpiffeId,
        audience: &'a [String],
    ) -> Answer<'a, JwtSvid> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.sign(selectors, id, audience)
        })
    }

    fn mint_gateway<'a>(&'a self, _: &'a Label, _: &'a Label, _: &'a [u8]) -> Answer<'a, Svid> {
        Box::pin(async { Err(IssueError::NotEntitled("an agent asks for no gateway".into())) })
    }

    fn bundles(&self) -> Bundles {
        let world = self.world.lock().unwrap();
        let own = TrustDomain::parse(DOMAIN).unwrap();
        let mut roots: BTreeMap<_, _> =
            world.foreign.iter().map(|(domain, (roots, _))| (domain.clone(), roots.clone())).collect();
        let jwt_keys = world.foreign.iter().map(|(domain, (_, keys))| (domain.clone(), keys.clone()));
        let mut jwt_keys: BTreeMap<_, _> = jwt_keys.filter(|(_, keys)| !keys.is_empty()).collect();
        roots.insert(own.clone(), world.roots.clone());
        jwt_keys.insert(own, world.jwt_keys.clone());
        Bundles { generation: *self.changes.borrow(), roots, jwt_keys, federated: BTreeSet::new() }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn is_revoked(&self, serial: &str, key_sha256: &[u8; 32]) -> bool {
        self.world.lock().unwrap().revoked.iter().any(|revoked| match revoked {
            Revoked::Serial(one) => one == serial,
            Revoked::Key(one) => one == key_sha256,
        })
    }

    fn tell_held(&self, held: Vec<HeldSvid>) {
        self.told.send_replace(held);
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
        Self::with(fake, vec![])
    }

    pub fn with(fake: &Arc<Fake>, clusters: Vec<Cluster>) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("workload.sock");
        let socket = Socket::bind(&path).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (issuance, clock) = (Arc::clone(fake), Arc::clone(&fake.clock));
        let options = Options { data_dir: directory.path().to_owned(), clusters };
        let served = tokio::spawn(async move {
            serve_on(socket, options, issuance, clock, async {
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
