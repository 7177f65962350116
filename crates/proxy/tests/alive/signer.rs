//! An issuer that signs whatever is asked, and can be away.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use api::issuance::{Answer, Bundles, Issuance, IssueError, KeptGateway, Svid};
use arc_swap::ArcSwap;
use testkit::{Authority, LeafPlan, RealClock};
use tokio::sync::watch;
use trustdir::Revision;
use types::{Clock as _, Label, Selectors, SpiffeId, TrustDomain};

/// Signs for every domain that a revision has.
pub struct Signer {
    pub authorities: BTreeMap<String, Authority>,
    pub revision: Arc<ArcSwap<Revision>>,
    pub changes: watch::Sender<u64>,
    /// Whether it answers that it cannot.
    pub is_away: AtomicBool,
    /// How many gateway certificates it gave.
    pub minted: AtomicUsize,
    /// What it was given to keep, by domain.
    pub kept: Mutex<BTreeMap<String, KeptGateway>>,
}

impl Signer {
    /// For whatever revision stands there.
    pub fn new(revision: Arc<ArcSwap<Revision>>) -> Self {
        let authority = |name: &str| Authority::of(&format!("{name}.acme.internal"), RealClock.now());
        Self {
            authorities: ["finance", "hr", "crews"].map(|name| (name.to_owned(), authority(name))).into(),
            revision,
            changes: watch::Sender::new(0),
            is_away: AtomicBool::new(false),
            minted: AtomicUsize::new(0),
            kept: Mutex::default(),
        }
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
        let chain_der = self.authorities[domain.as_str()].issue_for(&plan, csr);
        let (not_before, not_after) = (plan.not_before, plan.not_after);
        Svid { spiffe_id, chain_der, not_before, not_after, serial: "01".to_owned() }
    }
}

impl Issuance for Signer {
    fn entitled<'a>(&'a self, _: &'a Selectors) -> Answer<'a, Vec<SpiffeId>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn mint_workload<'a>(&'a self, _: &'a Selectors, _: &'a SpiffeId, _: &'a [u8]) -> Answer<'a, Svid> {
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
        let root = |(name, authority): (&String, &Authority)| {
            (TrustDomain::parse(&format!("{name}.acme.internal")).unwrap(), vec![authority.der().to_vec()])
        };
        Bundles { generation: 1, roots: self.authorities.iter().map(root).collect() }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn kept_gateway(&self, domain: &Label) -> Option<KeptGateway> {
        self.kept.lock().unwrap().get(domain.as_str()).cloned()
    }

    fn keep_gateway(&self, domain: &Label, gateway: &KeptGateway) {
        self.kept.lock().unwrap().insert(domain.to_string(), gateway.clone());
    }
}
