//! An issuer that signs whatever is asked, and can be away.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use api::issuance::{
    Answer, Bundles, Entitled, HeldSvid, Issuance, IssueError, JwtSvid, KeptGateway, Svid, WorkloadOrder,
};
use arc_swap::ArcSwap;
use testkit::{Authority, LeafPlan, RealClock};
use tokio::sync::watch;
use trustdir::Revision;
use types::{Clock as _, Label, Selectors, SpiffeId, TrustDomain};

/// A domain's own.
pub struct Authorities {
    /// What signs.
    pub signing: Authority,
    /// What is in the bundle.
    pub roots: Vec<Vec<u8>>,
}

impl Authorities {
    fn new(name: &str) -> Self {
        let signing = Authority::of(&format!("{name}.acme.internal"), RealClock.now());
        let roots = vec![signing.der().to_vec()];
        Self { signing, roots }
    }
}

/// Signs for every domain that a revision has.
pub struct Signer {
    authorities: Mutex<BTreeMap<String, Authorities>>,
    /// Trust domains of others, with their roots.
    pub foreign: Mutex<BTreeMap<TrustDomain, Vec<Vec<u8>>>>,
    pub revision: Arc<ArcSwap<Revision>>,
    pub changes: watch::Sender<u64>,
    /// Whether it answers that it cannot.
    pub is_away: AtomicBool,
    /// How many gateway certificates it gave.
    pub minted: AtomicUsize,
    /// What it was given to keep, by domain.
    pub kept: Mutex<BTreeMap<String, KeptGateway>>,
    /// What it was told is in use.
    pub told: Mutex<Vec<HeldSvid>>,
}

impl Signer {
    /// For whatever revision stands there.
    pub fn new(revision: Arc<ArcSwap<Revision>>) -> Self {
        let authorities = ["finance", "hr", "crews"].map(|name| (name.to_owned(), Authorities::new(name)));
        Self {
            authorities: Mutex::new(authorities.into()),
            foreign: Mutex::default(),
            revision,
            changes: watch::Sender::new(0),
            is_away: AtomicBool::new(false),
            minted: AtomicUsize::new(0),
            kept: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// What signs for each domain, and what is trusted.
    pub fn authorities(&self) -> MutexGuard<'_, BTreeMap<String, Authorities>> {
        self.authorities.lock().unwrap()
    }

    /// Another root signs for a domain from now on; the one before stays in the bundle or not.
    pub fn rotate(&self, domain: &str, keeps_old: bool) {
        let mut authorities = self.authorities();
        let mut next = Authorities::new(domain);
        if keeps_old {
            next.roots.extend(authorities[domain].roots.clone());
        }
        authorities.insert(domain.to_owned(), next);
    }

    fn gateway(&self, domain: &Label, name: &Label, csr: &[u8]) -> Svid {
        let now = RealClock.now();
        let spiffe_id = SpiffeId::parse(&format!("spiffe://{domain}.acme.internal/_gateway/{name}")).unwrap();
        let hosts = self.revision.load().hosts_of(domain);
        let plan = LeafPlan {
            dns: hosts.iter().map(ToString::to_string).collect(),
            serial: (1 + self.minted.fetch_add(1, Ordering::SeqCst)).to_be_bytes().to_vec(),
            ..LeafPlan::svid(spiffe_id.as_str(), now)
        };
        let chain_der = self.authorities()[domain.as_str()].signing.issue_for(&plan, csr);
        let (not_before, not_after) = (plan.not_before, plan.not_after);
        Svid { spiffe_id, chain_der, not_before, not_after, serial: "01".to_owned() }
    }
}

impl Issuance for Signer {
    fn entitled<'a>(&'a self, _: &'a Selectors) -> Answer<'a, Vec<Entitled>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn mint_workload<'a>(&'a self, _: &'a Selectors, _: &'a WorkloadOrder) -> Answer<'a, Svid> {
        Box::pin(async { Err(IssueError::NotEntitled("a test".to_owned())) })
    }

    fn mint_jwt<'a>(&'a self, _: &'a Selectors, _: &'a SpiffeId, _: &'a [String]) -> Answer<'a, JwtSvid> {
        Box::pin(async { Err(IssueError::NotEntitled("a test".to_owned())) })
    }

    fn mint_gateway<'a>(&'a self, domain: &'a Label, name: &'a Label, csr: &'a [u8]) -> Answer<'a, Svid> {
        Box::pin(async move {
            match self.is_away.load(Ordering::SeqCst) {
                true => Err(IssueError::Unavailable("a test".to_owned())),
                false => Ok(self.gateway(domain, name, csr)),
            }
        })
    }

    fn bundles(&self) -> Bundles {
        let root = |(name, authorities): (&String, &Authorities)| {
            (TrustDomain::parse(&format!("{name}.acme.internal")).unwrap(), authorities.roots.clone())
        };
        let foreign = self.foreign.lock().unwrap().clone();
        let federated = foreign.keys().cloned().collect();
        let roots = self.authorities().iter().map(root).chain(foreign).collect();
        Bundles { generation: 1, roots, jwt_keys: BTreeMap::new(), federated }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn is_revoked(&self, _: &str, _: &[u8; 32]) -> bool {
        false
    }

    fn tell_held(&self, held: Vec<HeldSvid>) {
        *self.told.lock().unwrap() = held;
    }

    fn kept_gateway(&self, domain: &Label) -> Option<KeptGateway> {
        self.kept.lock().unwrap().get(domain.as_str()).cloned()
    }

    fn keep_gateway(&self, domain: &Label, gateway: &KeptGateway) {
        self.kept.lock().unwrap().insert(domain.to_string(), gateway.clone());
    }
}
