//! The issuer as a peer sees it: what may be answered here is, the rest goes over the wire.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::{
    admin::Role,
    issuance::{Answer, Bundles, Issuance, IssueError, KeptGateway, Svid},
    wire::{MintGatewayRequest, MintResponse, MintWorkloadRequest},
};
use arc_swap::{ArcSwap, ArcSwapOption};
use identity::BundleSet;
use prost::Message;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{sync::watch, time::timeout};
use tonic::{Code, Request, Status, transport::Channel};
use types::{Clock, Label, Selectors, SpiffeId, Timestamp, limits};
use zeroize::Zeroizing;

use super::{Config, shelf::Shelf};
use crate::{
    content::{self, Registered},
    words::shown,
};

/// The issuer behind the wire.
pub(super) struct WireIssuance {
    role: Role,
    name: Label,
    clock: Arc<dyn Clock>,
    channel: watch::Receiver<Option<Channel>>,
    shelf: Option<Arc<Shelf>>,
    registered: ArcSwapOption<Registered>,
    bundles: ArcSwapOption<(Bundles, BundleSet)>,
    changes: watch::Sender<u64>,
    hosts: ArcSwap<Hosts>,
}

/// The hosts of every domain, which stand in the certificates of gateways.
pub(super) type Hosts = BTreeMap<Label, Vec<types::Host>>;

/// A gateway's identity as it lies on the disk.
#[derive(Clone, PartialEq, Message)]
struct OnDisk {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    certificate: Option<MintResponse>,
}

impl WireIssuance {
    pub(super) fn new(config: &Config, shelf: Option<Arc<Shelf>>, channel: watch::Receiver<Option<Channel>>) -> Self {
        Self {
            role: config.role,
            name: config.name.clone(),
            clock: Arc::clone(&config.clock),
            channel,
            shelf,
            registered: ArcSwapOption::empty(),
            bundles: ArcSwapOption::empty(),
            changes: watch::Sender::new(0),
            hosts: ArcSwap::from_pointee(Hosts::new()),
        }
    }

    pub(super) fn has_bundles(&self) -> bool {
        self.bundles.load().is_some()
    }

    pub(super) fn put_bundles(&self, bundles: Bundles, set: BundleSet) {
        self.bundles.store(Some(Arc::new((bundles, set))));
        self.changed();
    }

    pub(super) fn put_registered(&self, registered: Registered) {
        self.registered.store(Some(Arc::new(registered)));
        self.changed();
    }

    /// A revision is in force whose domains have these hosts.
    pub(super) fn put_hosts(&self, hosts: Hosts) {
        if **self.hosts.load() != hosts {
            self.hosts.store(Arc::new(hosts));
            self.changed();
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn client(&self) -> Result<crate::Client, IssueError> {
        let channel = self.channel.borrow().clone();
        channel.map(crate::client).ok_or_else(|| IssueError::Unavailable("control is not connected".to_owned()))
    }

    fn known(&self, selectors: &Selectors) -> Result<Vec<SpiffeId>, IssueError> {
        let registered = self.registered.load();
        let Some(registered) = registered.as_ref() else {
            let why = "the workloads of this node are not known yet: control was not reached since the start";
            return Err(IssueError::Unavailable(why.to_owned()));
        };
        let fits = |(_, rules): &&(SpiffeId, Vec<types::UnixRule>)| rules.iter().any(|rule| rule.matches(selectors));
        let mut ids: Vec<SpiffeId> = registered.iter().filter(fits).map(|(id, _)| id.clone()).collect();
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    async fn mint(&self, selectors: &Selectors, id: &SpiffeId, csr: &[u8]) -> Result<Svid, IssueError> {
        let request = MintWorkloadRequest {
            selectors: Some(content::selectors_message(selectors)),
            spiffe_id: id.as_str().to_owned(),
            csr: csr.to_vec(),
        };
        let mut client = self.client()?;
        let svid = answer(client.mint_workload(Request::new(request))).await?;
        if svid.spiffe_id != *id {
            return Err(IssueError::Unavailable(format!("control answered with the identity `{}`", svid.spiffe_id)));
        }
        Ok(svid)
    }

    async fn mint_own(&self, domain: &Label, name: &Label, csr: &[u8]) -> Result<Svid, IssueError> {
        if self.role != Role::Proxy || *name != self.name {
            return Err(IssueError::NotEntitled(format!("only the proxy `{name}` may have its identities")));
        }
        let request = MintGatewayRequest { domain: domain.as_str().to_owned(), csr: csr.to_vec() };
        let mut client = self.client()?;
        answer(client.mint_gateway(Request::new(request))).await
    }

    fn read_gateway(&self, domain: &Label) -> Option<KeptGateway> {
        let shelf = self.shelf.as_ref()?;
        let name = Shelf::gateway(domain.as_str());
        let content = Zeroizing::new(shelf.read(&name)?);
        self.check(domain, &content)
            // it is overwritten by the next one, and may be good under another clock or other bundles
            .inspect_err(|why| tracing::warn!(%domain, why, "the gateway's certificate that was kept cannot be used"))
            .ok()
    }

    /// The chain is good now, is that of this gateway, and belongs to the key.
    fn check(&self, domain: &Label, content: &[u8]) -> Result<KeptGateway, String> {
        let read = OnDisk::decode(content).map_err(|_| "it cannot be read".to_owned())?;
        let key_der = Zeroizing::new(read.key);
        let svid = svid(read.certificate.unwrap_or_default()).map_err(|error| error.to_string())?;
        let bundles = self.bundles.load();
        let set = bundles.as_ref().map(|bundles| &bundles.1).ok_or("there are no bundles")?;
        let chain: Vec<_> = svid.chain_der.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let peer = identity::verify(&chain, set, self.clock.now()).map_err(|refusal| refusal.to_string())?;
        let is_own = peer.spiffe_id().path() == format!("/_gateway/{}", self.name)
            && peer.spiffe_id().trust_domain().as_str().split('.').next() == Some(domain.as_str());
        if !is_own || *peer.spiffe_id() != svid.spiffe_id {
            return Err(format!("it is the identity of `{}`", peer.spiffe_id()));
        }
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key_der.as_slice())).clone_key();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        rustls::sign::CertifiedKey::from_der(chain, key, &provider).map_err(|error| error.to_string())?;
        Ok(KeptGateway { svid, key_der })
    }

    fn write_gateway(&self, domain: &Label, gateway: &KeptGateway) {
        let Some(shelf) = &self.shelf else { return };
        let certificate = MintResponse {
            spiffe_id: gateway.svid.spiffe_id.as_str().to_owned(),
            chain: gateway.svid.chain_der.clone(),
            not_before: gateway.svid.not_before.micros(),
            not_after: gateway.svid.not_after.micros(),
            serial: gateway.svid.serial.clone(),
        };
        let mut content = OnDisk { key: gateway.key_der.to_vec(), certificate: Some(certificate) };
        let encoded = Zeroizing::new(content.encode_to_vec());
        drop(Zeroizing::new(core::mem::take(&mut content.key)));
        if let Err(error) = shelf.keep(&Shelf::gateway(domain.as_str()), &encoded) {
            tracing::warn!(%domain, %error, "a gateway's certificate could not be kept for the next start");
        }
    }
}

impl Issuance for WireIssuance {
    fn entitled<'a>(&'a self, selectors: &'a Selectors) -> Answer<'a, Vec<SpiffeId>> {
        Box::pin(core::future::ready(self.known(selectors)))
    }

    fn mint_workload<'a>(&'a self, selectors: &'a Selectors, id: &'a SpiffeId, csr_der: &'a [u8]) -> Answer<'a, Svid> {
        Box::pin(self.mint(selectors, id, csr_der))
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

    fn kept_gateway(&self, domain: &Label) -> Option<KeptGateway> {
        self.read_gateway(domain)
    }

    fn keep_gateway(&self, domain: &Label, gateway: &KeptGateway) {
        self.write_gateway(domain, gateway);
    }
}

/// The answer to a call, within `wire_call_time`.
async fn answer(call: impl Future<Output = Result<tonic::Response<MintResponse>, Status>>) -> Result<Svid, IssueError> {
    let patience = Duration::from_millis(limits::WIRE_CALL_TIME.default);
    match timeout(patience, call).await {
        Ok(Ok(response)) => svid(response.into_inner()),
        Ok(Err(status)) => Err(refusal(&status)),
        Err(_) => Err(IssueError::Unavailable("control did not answer in time".to_owned())),
    }
}

fn refusal(status: &Status) -> IssueError {
    let words = shown(status.message());
    match status.code() {
        Code::PermissionDenied => IssueError::NotEntitled(words),
        Code::InvalidArgument => IssueError::BadRequest(words),
        _ => IssueError::Unavailable(words),
    }
}

fn svid(response: MintResponse) -> Result<Svid, IssueError> {
    let spiffe_id = SpiffeId::parse(&response.spiffe_id)
        .map_err(|_| IssueError::Unavailable("control answered with something that is no identity".to_owned()))?;
    if response.chain.is_empty() {
        return Err(IssueError::Unavailable("control answered without a certificate".to_owned()));
    }
    Ok(Svid {
        spiffe_id,
        chain_der: response.chain,
        not_before: Timestamp::from_micros(response.not_before),
        not_after: Timestamp::from_micros(response.not_after),
        serial: response.serial,
    })
}
