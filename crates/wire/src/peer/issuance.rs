//! The issuer as a peer sees it: what may be answered here is, the rest goes over the wire.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use api::{
    admin::Role,
    issuance::{
        Answer, Bundles, Entitled, HeldSvid, Issuance, IssueError, JwtSvid, KeptGateway, Predecessor, Svid,
        WorkloadOrder,
    },
    wire::{self, MintGatewayRequest, MintJwtRequest, MintJwtResponse, MintResponse, MintWorkloadRequest},
};
use arc_swap::{ArcSwap, ArcSwapOption};
use identity::BundleSet;
use signal::Subject;
use tokio::{sync::watch, time::timeout};
use tonic::{Code, Request, Response, Status, transport::Channel};
use types::{AttestRule, Clock, Label, Selectors, SpiffeId, Timestamp, limits};
use zeroize::Zeroizing;

use super::{Config, shelf::Shelf};
use crate::{
    content::{self, Holdings, Registered},
    words::shown,
};

/// The issuer behind the wire.
pub(super) struct WireIssuance {
    role: Role,
    pub(super) name: Label,
    pub(super) clock: Arc<dyn Clock>,
    channel: watch::Receiver<Option<Channel>>,
    pub(super) shelf: Option<Arc<Shelf>>,
    registered: ArcSwapOption<Registered>,
    /// Serial numbers and keys that trust was taken from, as [`signal::Subject`] writes them.
    revoked: ArcSwap<BTreeSet<String>>,
    pub(super) bundles: ArcSwapOption<(Bundles, BundleSet)>,
    changes: watch::Sender<u64>,
    hosts: ArcSwap<Hosts>,
    /// What is in the hands of workloads; `None` before anybody said so.
    held: watch::Sender<Option<Arc<Holdings>>>,
}

/// The hosts of every domain, which stand in the certificates of gateways.
pub(super) type Hosts = BTreeMap<Label, Vec<types::Host>>;

impl WireIssuance {
    pub(super) fn new(config: &Config, shelf: Option<Arc<Shelf>>, channel: watch::Receiver<Option<Channel>>) -> Self {
        Self {
            role: config.role,
            name: config.name.clone(),
            clock: Arc::clone(&config.clock),
            channel,
            shelf,
            registered: ArcSwapOption::empty(),
            revoked: ArcSwap::default(),
            bundles: ArcSwapOption::empty(),
            changes: watch::Sender::new(0),
            hosts: ArcSwap::from_pointee(Hosts::new()),
            held: watch::Sender::new(None),
        }
    }

    pub(super) fn has_bundles(&self) -> bool {
        self.bundles.load().is_some()
    }

    pub(super) fn put_bundles(&self, bundles: Bundles, set: BundleSet) {
        self.bundles.store(Some(Arc::new((bundles, set))));
        self.changed();
    }

    pub(super) fn put_registered(&self, registered: Registered, revoked: BTreeSet<String>) {
        self.registered.store(Some(Arc::new(registered)));
        self.revoked.store(Arc::new(revoked));
        self.changed();
    }

    /// A revision is in force whose domains have these hosts.
    pub(super) fn put_hosts(&self, hosts: Hosts) {
        if **self.hosts.load() != hosts {
            self.hosts.store(Arc::new(hosts));
            self.changed();
        }
    }

    /// What is held, from now on.
    pub(super) fn held(&self) -> watch::Receiver<Option<Arc<Holdings>>> {
        self.held.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn client(&self) -> Result<crate::Client, IssueError> {
        let channel = self.channel.borrow().clone();
        channel.map(crate::client).ok_or_else(|| IssueError::Unavailable("control is not connected".to_owned()))
    }

    fn known(&self, selectors: &Selectors) -> Result<Vec<Entitled>, IssueError> {
        let registered = self.registered.load();
        let Some(registered) = registered.as_ref() else {
            let why = "the workloads of this node are not known yet: control was not reached since the start";
            return Err(IssueError::Unavailable(why.to_owned()));
        };
        let fits = |(_, rules): &&(Entitled, Vec<AttestRule>)| rules.iter().any(|rule| rule.matches(selectors));
        let mut known: Vec<Entitled> = registered.iter().filter(fits).map(|(workload, _)| workload.clone()).collect();
        known.sort();
        known.dedup();
        Ok(known)
    }

    async fn mint(&self, selectors: &Selectors, order: &WorkloadOrder) -> Result<Svid, IssueError> {
        let WorkloadOrder { id, csr_der, predecessor } = order;
        let proof = |it: &Predecessor| wire::Predecessor {
            certificate: it.certificate_der.clone(),
            signature: it.signature.clone(),
        };
        let request = MintWorkloadRequest {
            selectors: Some(content::selectors_message(selectors)),
            spiffe_id: id.as_str().to_owned(),
            csr: csr_der.clone(),
            predecessor: predecessor.as_ref().map(proof),
        };
        let mut client = self.client()?;
        let svid = svid(answer(client.mint_workload(Request::new(request))).await?)?;
        is_for(&svid.spiffe_id, id)?;
        Ok(svid)
    }

    async fn mint_token(
        &self,
        selectors: &Selectors,
        id: &SpiffeId,
        audience: &[String],
    ) -> Result<JwtSvid, IssueError> {
        let request = MintJwtRequest {
            selectors: Some(content::selectors_message(selectors)),
            spiffe_id: id.as_str().to_owned(),
            audience: audience.to_vec(),
        };
        let mut client = self.client()?;
        let svid = jwt_svid(answer(client.mint_jwt(Request::new(request))).await?)?;
        is_for(&svid.spiffe_id, id)?;
        Ok(svid)
    }

    async fn mint_own(&self, domain: &Label, name: &Label, csr: &[u8]) -> Result<Svid, IssueError> {
        if self.role != Role::Proxy || *name != self.name {
            return Err(IssueError::NotEntitled(format!("only the proxy `{name}` may have its identities")));
        }
        let request = MintGatewayRequest { domain: domain.as_str().to_owned(), csr: csr.to_vec() };
        let mut client = self.client()?;
        svid(answer(client.mint_gateway(Request::new(request))).await?)
    }
}

impl Issuance for WireIssuance {
    fn entitled<'a>(&'a self, selectors: &'a Selectors) -> Answer<'a, Vec<Entitled>> {
        Box::pin(core::future::ready(self.known(selectors)))
    }

    fn mint_workload<'a>(&'a self, selectors: &'a Selectors, order: &'a WorkloadOrder) -> Answer<'a, Svid> {
        Box::pin(self.mint(selectors, order))
    }

    fn mint_jwt<'a>(
        &'a self,
        selectors: &'a Selectors,
        id: &'a SpiffeId,
        audience: &'a [String],
    ) -> Answer<'a, JwtSvid> {
        Box::pin(self.mint_token(selectors, id, audience))
    }

    fn mint_gateway<'a>(&'a self, domain: &'a Label, name: &'a Label, csr_der: &'a [u8]) -> Answer<'a, Svid> {
        Box::pin(self.mint_own(domain, name, csr_der))
    }

    fn bundles(&self) -> Bundles {
        self.bundles.load().as_ref().map(|bundles| bundles.0.clone()).unwrap_or_default()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn is_revoked(&self, serial: &str, key_sha256: &[u8; 32]) -> bool {
        let revoked = self.revoked.load();
        let is = |subject: Subject| revoked.contains(&subject.to_string());
        !revoked.is_empty() && (is(Subject::Serial(serial.to_owned())) || is(Subject::Key(*key_sha256)))
    }

    fn tell_held(&self, held: Vec<HeldSvid>) {
        let holdings = Holdings::of(held);
        self.held.send_if_modified(|told| {
            let is_news = told.as_deref() != Some(&holdings);
            if is_news {
                *told = Some(Arc::new(holdings));
            }
            is_news
        });
    }

    fn kept_gateway(&self, domain: &Label) -> Option<KeptGateway> {
        self.read_gateway(domain)
    }

    fn keep_gateway(&self, domain: &Label, gateway: &KeptGateway) {
        self.write_gateway(domain, gateway);
    }
}

/// The answer to a call, within `wire_call_time`.
async fn answer<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, IssueError> {
    let patience = Duration::from_millis(limits::WIRE_CALL_TIME.default);
    match timeout(patience, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(refusal(&status)),
        Err(_) => Err(IssueError::Unavailable("control did not answer in time".to_owned())),
    }
}

fn refusal(status: &Status) -> IssueError {
    let words = shown(status.message());
    match status.code() {
        Code::PermissionDenied => IssueError::NotEntitled(words),
        Code::InvalidArgument => IssueError::BadRequest(words),
        Code::ResourceExhausted => IssueError::Limited(words),
        _ => IssueError::Unavailable(words),
    }
}

fn strange(what: impl core::fmt::Display) -> IssueError {
    IssueError::Unavailable(format!("control answered {what}"))
}

/// An answer is for what was asked, or for nobody.
fn is_for(is: &SpiffeId, asked: &SpiffeId) -> Result<(), IssueError> {
    if is == asked { Ok(()) } else { Err(strange(format_args!("with the identity `{is}`"))) }
}

pub(super) fn svid(response: MintResponse) -> Result<Svid, IssueError> {
    let spiffe_id = SpiffeId::parse(&response.spiffe_id).map_err(|_| strange("with something that is no identity"))?;
    if response.chain.is_empty() {
        return Err(strange("without a certificate"));
    }
    Ok(Svid {
        spiffe_id,
        chain_der: response.chain,
        not_before: Timestamp::from_micros(response.not_before),
        not_after: Timestamp::from_micros(response.not_after),
        serial: response.serial,
    })
}

fn jwt_svid(response: MintJwtResponse) -> Result<JwtSvid, IssueError> {
    let token = Zeroizing::new(response.token);
    let spiffe_id = SpiffeId::parse(&response.spiffe_id).map_err(|_| strange("with something that is no identity"))?;
    if token.is_empty() {
        return Err(strange("without a token"));
    }
    Ok(JwtSvid {
        spiffe_id,
        token,
        issued_at: Timestamp::from_micros(response.issued_at),
        not_after: Timestamp::from_micros(response.not_after),
    })
}
