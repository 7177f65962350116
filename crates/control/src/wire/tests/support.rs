//! A peer of a few lines, and connections over memory on which anybody may stand at the other end.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::wire::server::{PeerInfo, Who};
use ::wire::{content, fact};
use api::admin::{Admin, JoinToken, MakeJoinToken, Role};
use api::wire::report::Report as Said;
use api::wire::update::Update as Content;
use api::wire::wire_client::WireClient;
use api::wire::{Ack, Have, Hello, JoinRequest, Kind, Offer, Pulse, Report, Signed, Update, Want};
use hyper_util::rt::TokioIo;
use identity::{Bundle, BundleSet, VerifiedPeer};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::{Service, http::Uri};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use types::{Clock, Label, TrustDomain};

use crate::Control;
use crate::fixture::World;
use crate::wire::hub::sha256;

/// One end of a connection over memory.
pub struct Pipe {
    io: DuplexStream,
    info: PeerInfo,
}

impl Connected for Pipe {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.info.clone()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

struct Dial(Option<DuplexStream>);

impl Service<Uri> for Dial {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<DuplexStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().map(TokioIo::new).ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

/// Control's end, served.
pub struct Net {
    pub control: Arc<Control>,
    door: mpsc::Sender<io::Result<Pipe>>,
    pub finish: watch::Sender<bool>,
    pub serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Net {
    pub fn of(world: &World) -> Self {
        let control = Arc::clone(&world.control);
        let ((door, incoming), (finish, finishing)) = (mpsc::channel(16), watch::channel(false));
        let serving = tokio::spawn(crate::wire::serve(Arc::clone(&control), ReceiverStream::new(incoming), finishing));
        Self { control, door, finish, serving }
    }

    pub async fn client(&self, who: Who) -> WireClient<Channel> {
        let (near, far) = tokio::io::duplex(1 << 16);
        let info = PeerInfo { who, address: Some("192.0.2.7:4444".parse().unwrap()) };
        self.door.send(Ok(Pipe { io: far, info })).await.unwrap();
        let endpoint = Endpoint::from_static("http://control");
        WireClient::new(endpoint.connect_with_connector(Dial(Some(near))).await.unwrap())
    }

    /// A proxy of this process.
    pub async fn proxy(&self, name: &str) -> Fake {
        self.follow(in_process(Role::Proxy, name), Have::default()).await.unwrap()
    }

    pub async fn follow(&self, who: Who, have: Have) -> Result<Fake, Status> {
        let mut client = self.client(who).await;
        let (reports, stream) = mpsc::channel(16);
        let clock = self.control.parts.clock.now().micros();
        let hello = Hello { oldest: 1, newest: 1, version: "9.9".into(), started: 1, have: Some(have.clone()), clock };
        reports.send(report(Said::Hello(hello))).await.unwrap();
        let updates = client.follow(ReceiverStream::new(stream)).await?.into_inner();
        Ok(Fake::new(reports, updates, have, &self.control))
    }

    /// Lets control do something that waits for peers.
    pub async fn ask<T: Send + 'static>(&self, ask: impl FnOnce(&dyn Admin) -> T + Send + 'static) -> T {
        let control = Arc::clone(&self.control);
        tokio::task::spawn_blocking(move || ask(&*control)).await.unwrap()
    }

    pub fn token(&self, role: Role, name: &str, group: Option<&str>, domains: Option<&[&str]>) -> JoinToken {
        let request = MakeJoinToken {
            role,
            name: name.to_owned(),
            group: group.map(str::to_owned),
            domains: domains.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            seconds: None,
        };
        self.control.join_token("local", &request).unwrap()
    }

    /// Joins with a key and gives the certificates.
    pub async fn join(&self, token: &JoinToken, name: &str, key: &KeyPair) -> Result<Vec<Vec<u8>>, Status> {
        let request =
            JoinRequest { token: token.token.clone(), csr: csr(key), version: "9.9".into(), name: name.to_owned() };
        let mut client = self.client(Who::Nobody).await;
        client.join(request).await.map(|response| response.into_inner().chain)
    }

    /// A peer that joined just now.
    pub async fn joined(&self, world: &World, role: Role, name: &str, group: Option<&str>) -> (Who, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let chain = self.join(&self.token(role, name, group, None), name, &key).await.unwrap();
        (Who::System(verified(world, &chain)), key)
    }
}

/// Waits until something holds.
pub async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if holds() {
            return;
        }
        // tidy: what control heard is asked for, and nobody is told
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come to that");
}

pub fn in_process(role: Role, name: &str) -> Who {
    Who::InProcess { role, name: Label::parse(name).unwrap() }
}

pub fn csr(key: &KeyPair) -> Vec<u8> {
    CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
}

/// As the transport would say who it is.
pub fn verified(world: &World, chain: &[Vec<u8>]) -> VerifiedPeer {
    let chain: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    identity::verify(&chain, &system_bundle(world.told.system.der()), world.clock.now()).unwrap()
}

pub fn system_bundle(root: &[u8]) -> BundleSet {
    let domain = TrustDomain::parse("system.example.internal").unwrap();
    [Bundle::from_der(domain, vec![root.to_vec()]).unwrap()].into_iter().collect()
}

fn report(said: Said) -> Report {
    Report { report: Some(said) }
}

/// A peer that verifies what it is told, keeps it and acknowledges it.
pub struct Fake {
    reports: mpsc::Sender<Report>,
    updates: Streaming<Update>,
    bundles: BundleSet,
    clock: Arc<dyn Clock>,
    pub have: Have,
    pub manifest: BTreeMap<String, [u8; 32]>,
    pub files: BTreeMap<[u8; 32], Vec<u8>>,
    pub revocations: BTreeMap<[u8; 32], Vec<u8>>,
    /// The facts as they came.
    pub facts: BTreeMap<i32, Signed>,
    /// Everything that came, oldest first.
    pub came: Vec<Content>,
    pub acknowledges: bool,
    /// The first revocations that came.
    pub first_list: Vec<Vec<u8>>,
    offered: Option<(u64, Vec<u8>)>,
    wanting: usize,
}

impl Fake {
    fn new(reports: mpsc::Sender<Report>, updates: Streaming<Update>, have: Have, control: &Control) -> Self {
        Self {
            reports,
            updates,
            bundles: system_bundle(&control.parts.roles.system_root()),
            clock: Arc::clone(&control.parts.clock),
            have,
            manifest: BTreeMap::new(),
            files: BTreeMap::new(),
            revocations: BTreeMap::new(),
            facts: BTreeMap::new(),
            came: Vec::new(),
            acknowledges: true,
            first_list: Vec::new(),
            offered: None,
            wanting: 0,
        }
    }

    /// Takes what another connection of the same peer left.
    pub fn with_state_of(mut self, before: Self) -> Self {
        self.manifest = before.manifest;
        self.files = before.files;
        self.revocations = before.revocations;
        self.facts = before.facts;
        self.first_list = before.first_list;
        self
    }

    /// Nobody may listen any more; then a goodbye is on its way.
    pub async fn say(&self, said: Said) {
        let _ = self.reports.send(report(said)).await;
    }

    /// What comes next, not looked at; `None` where the stream ended.
    pub async fn receive(&mut self) -> Option<Content> {
        let next = tokio::time::timeout(Duration::from_secs(10), self.updates.message()).await;
        let next = next.expect("nothing came for 10 seconds").ok()??.update;
        self.came.extend(next.clone());
        next
    }

    /// Takes updates until something holds. Gives the goodbye where there was one before.
    pub async fn until(&mut self, mut holds: impl FnMut(&Self) -> bool) -> Option<Content> {
        while !holds(self) {
            let next = self.receive().await.expect("the stream ended");
            if matches!(next, Content::Goodbye(_)) {
                return Some(next);
            }
            self.take(next).await;
        }
        None
    }

    /// The words of the goodbye that comes in the end, and whether coming again makes sense.
    pub async fn goodbye(&mut self) -> (String, bool) {
        let last = tokio::time::timeout(Duration::from_secs(30), self.until(|_| false));
        match last.await.expect("it does not end") {
            Some(Content::Goodbye(goodbye)) => (goodbye.why, goodbye.retry),
            other => panic!("{other:?}"),
        }
    }

    pub async fn take(&mut self, update: Content) {
        match update {
            Content::Manifest(manifest) => self.take_manifest(manifest).await,
            Content::Blob(blob) => {
                let sha256 = <[u8; 32]>::try_from(blob.sha256.as_slice()).unwrap();
                let text = self.files.entry(sha256).or_default();
                text.extend(blob.data);
                if blob.last {
                    assert_eq!(crate::wire::hub::sha256(text), sha256);
                    self.settle().await;
                }
            }
            Content::Signals(signals) => self.take_signals(signals).await,
            Content::Bundles(bundles) => {
                let fact = self.open(bundles.signed.as_ref().unwrap(), Kind::Bundles);
                assert_eq!(content::digest(bundles.items.iter().map(Vec::as_slice)), *fact.digest());
                (self.have.bundles, self.have.bundles_digest) = (fact.number(), fact.digest().to_vec());
                self.acknowledge(Kind::Bundles, fact.number()).await;
            }
            Content::Registrations(registrations) => {
                self.have.registrations = registrations.generation;
                self.acknowledge(Kind::Unspecified, registrations.generation).await;
            }
            Content::Heartbeat(_) => {
                let clock = self.clock.now().micros();
                self.say(Said::Pulse(Pulse { clock, load: None })).await;
            }
            Content::Ask(ask) => {
                let signals = self.facts.get(&Kind::Signals.into()).filter(|_| ask.signals).map(|signed| {
                    let added = self.revocations.values().cloned().collect();
                    api::wire::Signals { signed: Some(signed.clone()), base: 0, added, removed: Vec::new() }
                });
                let of = |kind: Kind, asked: bool| self.facts.get(&kind.into()).filter(|_| asked).cloned();
                let (publication, bundles) = (of(Kind::Publication, ask.publication), of(Kind::Bundles, ask.bundles));
                self.say(Said::Offer(Offer { publication, signals, bundles })).await;
            }
            Content::Welcome(_) | Content::Goodbye(_) => {}
        }
    }

    async fn take_manifest(&mut self, manifest: api::wire::Manifest) {
        let fact = self.open(manifest.publication.as_ref().unwrap(), Kind::Publication);
        if manifest.base.is_empty() {
            self.manifest.clear();
        } else {
            assert_eq!(manifest.base, self.have.revision);
        }
        let mut wants = Vec::new();
        for entry in manifest.entries {
            let Ok(sha256) = <[u8; 32]>::try_from(entry.sha256.as_slice()) else {
                self.manifest.remove(&entry.path);
                continue;
            };
            if !entry.withheld && !self.files.contains_key(&sha256) {
                wants.push(sha256);
            }
            self.manifest.insert(entry.path, sha256);
        }
        assert_eq!(trustdir::part::revision_id_of(&self.manifest).digest(), fact.digest());
        self.offered = Some((fact.number(), fact.digest().to_vec()));
        if wants.is_empty() {
            return self.settle().await;
        }
        self.wanting = wants.len();
        self.say(Said::Want(Want { sha256: wants.iter().map(|sha256| sha256.to_vec()).collect() })).await;
    }

    async fn settle(&mut self) {
        self.wanting = self.wanting.saturating_sub(1);
        if self.wanting == 0
            && let Some((number, revision)) = self.offered.take()
        {
            (self.have.publication, self.have.revision) = (number, revision);
            self.acknowledge(Kind::Publication, number).await;
        }
    }

    async fn take_signals(&mut self, signals: api::wire::Signals) {
        let fact = self.open(signals.signed.as_ref().unwrap(), Kind::Signals);
        if signals.base == 0 {
            self.revocations.clear();
        } else {
            assert_eq!(signals.base, self.have.epoch);
        }
        if self.first_list.is_empty() {
            self.first_list.clone_from(&signals.added);
        }
        self.revocations.extend(signals.added.into_iter().map(|item| (sha256(&item), item)));
        for gone in signals.removed {
            self.revocations.remove(&<[u8; 32]>::try_from(gone).unwrap()).unwrap();
        }
        assert_eq!(content::digest(self.revocations.values().map(Vec::as_slice)), *fact.digest());
        assert!(fact.number() > self.have.epoch || self.have.signals_digest.is_empty(), "an epoch went back");
        (self.have.epoch, self.have.signals_digest) = (fact.number(), fact.digest().to_vec());
        self.acknowledge(Kind::Signals, fact.number()).await;
    }

    fn open(&mut self, signed: &Signed, kind: Kind) -> fact::Fact {
        self.facts.insert(kind.into(), signed.clone());
        let organisation = TrustDomain::parse("example.internal").unwrap();
        fact::open(signed, kind, &organisation, &self.bundles, self.clock.now()).unwrap()
    }

    async fn acknowledge(&self, kind: Kind, number: u64) {
        if self.acknowledges {
            self.answer(kind, number, "", "").await;
        }
    }

    pub async fn answer(&self, kind: Kind, number: u64, refused: &str, why: &str) {
        let (refused, why) = (refused.to_owned(), why.to_owned());
        let ack = Ack { have: Some(self.have.clone()), refused, why, kind: kind.into(), number };
        self.say(Said::Ack(ack)).await;
    }

    pub fn count(&self, which: impl Fn(&Content) -> bool) -> usize {
        self.came.iter().filter(|content| which(content)).count()
    }
}
