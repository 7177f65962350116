//! A control that does what a test tells it, over the real protocol.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
};

use api::{
    admin::Role,
    issuance::Bundles,
    protocol,
    wire::{
        self, Ack, Blob, ChallengeRequest, ChallengeResponse, Entry, Heartbeat, Hello, JoinRequest, JoinResponse, Kind,
        Load, Manifest, MintGatewayRequest, MintJwtRequest, MintJwtResponse, MintResponse, MintWorkloadRequest,
        Received, RejoinRequest, RenewRequest, Report, Shipped, Signed, Update, Welcome, report, update, wire_server,
    },
};
use countersign_wire::{
    Config, ControlAt,
    content::{self, Succession},
    fact, memory, server, system,
};
use identity::{Bundle, BundleSet};
use rcgen::SigningKey;
use runtime::tls::{Trust, system_server};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use signal::{Revocation, Subject};
use testkit::{Authority, Leaf, LeafPlan, ManualClock};
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};
use trustdir::{Files, MemoryFiles};
use types::{Clock, Label, SpiffeId, Timestamp, TrustDomain};

pub const ORGANISATION: &str = "example.internal";

pub struct Fake {
    pub clock: Arc<ManualClock>,
    pub root: Arc<Authority>,
    pub publisher: Leaf,
    inner: Arc<Inner>,
    sessions: tokio::sync::Mutex<mpsc::UnboundedReceiver<Session>>,
}

struct Inner {
    clock: Arc<ManualClock>,
    root: Arc<Authority>,
    sessions: mpsc::UnboundedSender<Session>,
    /// Token → digest of the key that it was used with.
    tokens: Mutex<BTreeMap<String, Option<Vec<u8>>>>,
    serial: Mutex<u8>,
    rejoins: Mutex<u32>,
    /// Who joins is an agent.
    is_for_agents: Mutex<bool>,
    /// Of the last certificate that was asked for.
    predecessor: Mutex<Option<wire::Predecessor>>,
}

pub fn organisation() -> TrustDomain {
    TrustDomain::parse(ORGANISATION).unwrap()
}

pub fn system_id(path: &str) -> String {
    format!("spiffe://system.{ORGANISATION}/{path}")
}

/// As the issuer makes them: begun 90 minutes ago.
fn system_plan(id: &str, now: Timestamp, life: u64) -> LeafPlan {
    let not_before = Timestamp::from_seconds(now.seconds().saturating_sub(5400));
    LeafPlan { not_before, not_after: now.plus_seconds(life), ..LeafPlan::svid(id, now) }
}

impl Fake {
    pub fn new() -> Arc<Self> {
        let clock = Arc::new(ManualClock::default());
        let now = clock.now();
        let plan = LeafPlan::authority(&format!("system.{ORGANISATION}"), now);
        let root = Arc::new(Authority::root(&plan));
        let publisher = root.issue(&system_plan(&system_id("publisher"), now, 86_400 * 3000));
        let (sender, sessions) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            clock: Arc::clone(&clock),
            root: Arc::clone(&root),
            sessions: sender,
            tokens: Mutex::default(),
            serial: Mutex::new(1),
            rejoins: Mutex::default(),
            is_for_agents: Mutex::default(),
            predecessor: Mutex::default(),
        });
        Arc::new(Self { clock, root, publisher, inner, sessions: tokio::sync::Mutex::new(sessions) })
    }

    pub fn allow_token(&self, token: &str) {
        self.inner.tokens.lock().unwrap().insert(token.to_owned(), None);
    }

    pub fn rejoins(&self) -> u32 {
        *self.inner.rejoins.lock().unwrap()
    }

    /// The predecessor in the last request for a workload's certificate.
    pub fn predecessor(&self) -> Option<wire::Predecessor> {
        self.inner.predecessor.lock().unwrap().clone()
    }

    /// Serves over memory; the connector for a peer.
    pub fn over_memory(&self) -> memory::Connector {
        let (connector, incoming) = memory::pair();
        self.serve(incoming);
        connector
    }

    /// Serves over TLS; where.
    pub fn over_tls(&self) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        self.over_listener(listener)
    }

    pub fn over_listener(&self, listener: std::net::TcpListener) -> SocketAddr {
        self.as_somebody(listener, "control/fake")
    }

    /// Serves with any identity of the system.
    pub fn as_somebody(&self, listener: std::net::TcpListener, path: &str) -> SocketAddr {
        let address = listener.local_addr().unwrap();
        self.serve(self.incoming(listener, path, self.system_bundles()));
        address
    }

    pub fn incoming(&self, listener: std::net::TcpListener, path: &str, trusted: BundleSet) -> server::Incoming {
        let now = self.clock.now();
        let leaf = self.root.issue(&system_plan(&system_id(path), now, 86_400 * 300));
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf.key_der()));
        let chain = leaf.chain.iter().cloned().map(CertificateDer::from).collect();
        let root = CertificateDer::from(self.root.der().to_vec());
        let trust = Arc::new(Trust::new(trusted, Arc::clone(&self.clock) as Arc<dyn Clock>));
        let mut config = system_server(chain, key, root, Arc::clone(&trust)).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let config = Arc::new(arc_swap::ArcSwap::from_pointee(config));
        server::serve_tls(listener, config, trust, &organisation()).unwrap()
    }

    fn serve(&self, incoming: server::Incoming) {
        let service = wire_server::WireServer::new(Service(Arc::clone(&self.inner)));
        tokio::spawn(server::builder().add_service(service).serve_with_incoming(incoming));
    }

    pub fn system_bundles(&self) -> BundleSet {
        let domain = system::domain(&organisation()).unwrap();
        BundleSet::from_iter([Bundle::from_der(domain, vec![self.root.der().to_vec()]).unwrap()])
    }

    pub async fn session(&self) -> Session {
        let wait = tokio::time::timeout(std::time::Duration::from_secs(60), async {
            self.sessions.lock().await.recv().await.unwrap()
        });
        wait.await.expect("a peer comes")
    }

    pub fn sign(&self, kind: Kind, number: u64, digest: [u8; 32]) -> Signed {
        self.sign_as(&self.publisher, &organisation(), kind, number, digest)
    }

    pub fn sign_as(&self, by: &Leaf, of: &TrustDomain, kind: Kind, number: u64, digest: [u8; 32]) -> Signed {
        let fact = fact::encode(kind, of, number, &digest, self.clock.now());
        let signature = by.key.sign(&[protocol::FACT_CONTEXT, &fact].concat()).unwrap();
        Signed { fact, signature, chain: by.chain.clone() }
    }

    pub fn other_system_identity(&self) -> Leaf {
        self.root.issue(&system_plan(&system_id("proxy/edge-1"), self.clock.now(), 3600))
    }

    pub fn manifest(&self, number: u64, files: &MemoryFiles) -> Manifest {
        let digests = trustdir::part::manifest_of(files).unwrap();
        let digest = *trustdir::part::revision_id_of(&digests).digest();
        let entry = |(path, sha256): (&String, &[u8; 32])| Entry {
            path: path.clone(),
            sha256: sha256.to_vec(),
            withheld: false,
        };
        let entries = digests.iter().map(entry).collect();
        Manifest { publication: Some(self.sign(Kind::Publication, number, digest)), base: vec![], entries }
    }

    /// The same for one that serves some domains.
    pub fn manifest_for(&self, number: u64, files: &MemoryFiles, served: &BTreeSet<Label>) -> Manifest {
        let mut manifest = self.manifest(number, files);
        for entry in &mut manifest.entries {
            entry.withheld = trustdir::part::withheld(&entry.path, Some(served));
        }
        manifest
    }

    pub fn signals(&self, epoch: u64, revoked: &[&str]) -> wire::Signals {
        let added: Vec<_> = revoked.iter().map(|subject| content::revocation_item(&revocation(subject))).collect();
        self.signals_of(epoch, added)
    }

    pub fn signals_of(&self, epoch: u64, added: Vec<Vec<u8>>) -> wire::Signals {
        let digest = content::digest(added.iter().map(Vec::as_slice));
        wire::Signals { signed: Some(self.sign(Kind::Signals, epoch, digest)), base: 0, added, removed: vec![] }
    }

    pub fn bundles(&self, number: u64) -> wire::Bundles {
        self.bundles_of(number, Bundles::default(), &BTreeMap::new())
    }

    /// The same with more trust domains, and who vouches for their roots.
    pub fn bundles_of(
        &self,
        number: u64,
        mut bundles: Bundles,
        successions: &BTreeMap<TrustDomain, Vec<Succession>>,
    ) -> wire::Bundles {
        bundles.roots.insert(system::domain(&organisation()).unwrap(), vec![self.root.der().to_vec()]);
        self.bundles_from(number, content::bundle_items(&bundles, successions))
    }

    pub fn bundles_from(&self, number: u64, items: Vec<Vec<u8>>) -> wire::Bundles {
        let digest = content::digest(items.iter().map(Vec::as_slice));
        wire::Bundles { signed: Some(self.sign(Kind::Bundles, number, digest)), items }
    }

    pub fn config(&self, role: Role, control: ControlAt, data: &Path) -> Config {
        Config {
            role,
            name: label("edge-1"),
            data: data.to_owned(),
            control,
            served: None,
            version: "1.2.3".to_owned(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            load: Arc::new(Load::default),
            shipper: None,
        }
    }

    pub fn in_memory(&self, role: Role) -> Config {
        let control = ControlAt::Memory {
            connector: self.over_memory(),
            organisation: organisation(),
            root: self.root.der().to_vec(),
        };
        self.config(role, control, Path::new("/nonexistent"))
    }

    pub fn remote(&self, address: SocketAddr, data: &Path, token: Option<&str>) -> Config {
        let token_file = token.map(|token| {
            let path = data.join("token");
            std::fs::write(&path, format!("{token}\n")).unwrap();
            path
        });
        let root_sha256 = sha256(self.root.der());
        let control = ControlAt::Remote { url: format!("https://{address}"), root_sha256, token_file };
        self.config(Role::Proxy, control, data)
    }

    /// The same for an agent.
    pub fn remote_agent(&self, address: SocketAddr, data: &Path, token: Option<&str>) -> Config {
        *self.inner.is_for_agents.lock().unwrap() = true;
        Config { role: Role::Agent, ..self.remote(address, data, token) }
    }

    /// Everything that a proxy needs, acknowledged.
    pub async fn bring_up(&self, number: u64, files: &MemoryFiles) -> Session {
        let mut session = self.session().await;
        session.hello().await;
        session.welcome().await;
        session.give_all(self, number, files).await;
        session
    }
}

pub fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let files = MemoryFiles::new([("countersign.yaml", bytes)]);
    trustdir::part::manifest_of(&files).unwrap()["countersign.yaml"]
}

pub fn revocation(subject: &str) -> Revocation {
    Revocation {
        subject: Subject::parse(subject, &organisation()).unwrap(),
        reason: "stolen".to_owned(),
        operator: "local".to_owned(),
        at: Timestamp::from_seconds(5),
        until: None,
        epoch: 1,
    }
}

/// A small organisation; `words` make another revision of it.
pub fn directory(words: &str) -> MemoryFiles {
    let mut files = trustdir::starter(&organisation());
    files.remove("README.md");
    let text = String::from_utf8(files.read("countersign.yaml").unwrap()).unwrap();
    files.insert("countersign.yaml", format!("{text}# {words}\n"));
    files
}

/// One open stream.
pub struct Session {
    pub peer: server::PeerInfo,
    reports: Streaming<Report>,
    updates: Option<mpsc::Sender<Result<Update, Status>>>,
}

impl Session {
    pub async fn report(&mut self) -> Option<report::Report> {
        loop {
            match self.reports.message().await {
                Ok(Some(Report { report: Some(report::Report::Pulse(_)) })) => {}
                Ok(report) => return report.and_then(|report| report.report),
                Err(_) => return None,
            }
        }
    }

    pub async fn hello(&mut self) -> Hello {
        match self.report().await {
            Some(report::Report::Hello(hello)) => hello,
            other => panic!("Hello and not {other:?}"),
        }
    }

    pub async fn ack(&mut self) -> Ack {
        match self.report().await {
            Some(report::Report::Ack(ack)) => ack,
            other => panic!("Ack and not {other:?}"),
        }
    }

    pub async fn holdings(&mut self) -> wire::Holdings {
        match self.report().await {
            Some(report::Report::Holdings(holdings)) => holdings,
            other => panic!("Holdings and not {other:?}"),
        }
    }

    pub async fn want(&mut self) -> BTreeSet<Vec<u8>> {
        match self.report().await {
            Some(report::Report::Want(want)) => want.sha256.into_iter().collect(),
            other => panic!("Want and not {other:?}"),
        }
    }

    pub async fn send(&mut self, update: update::Update) {
        let update = Update { update: Some(update) };
        self.updates.as_ref().unwrap().send(Ok(update)).await.unwrap();
    }

    /// Sends where somebody may still listen.
    pub async fn try_send(&mut self, update: update::Update) {
        let _ = self.updates.as_ref().unwrap().send(Ok(Update { update: Some(update) })).await;
    }

    pub async fn fail(&mut self, status: Status) {
        self.updates.as_ref().unwrap().send(Err(status)).await.unwrap();
    }

    /// The stream ends.
    pub fn close(&mut self) {
        self.updates = None;
    }

    pub async fn welcome(&mut self) {
        self.welcome_with(|_| {}).await;
    }

    pub async fn welcome_with(&mut self, change: impl FnOnce(&mut Welcome)) {
        let mut welcome = Welcome {
            protocol: protocol::NEWEST,
            version: "1.2.3".to_owned(),
            control: "fake".to_owned(),
            every_domain: true,
            every_group: true,
            ..Welcome::default()
        };
        change(&mut welcome);
        self.send(update::Update::Welcome(welcome)).await;
    }

    pub async fn give_signals(&mut self, signals: wire::Signals) -> Ack {
        self.send(update::Update::Signals(signals)).await;
        self.ack().await
    }

    pub async fn give_bundles(&mut self, bundles: wire::Bundles) -> Ack {
        self.send(update::Update::Bundles(bundles)).await;
        self.ack().await
    }

    /// A manifest and whatever is wanted of the files.
    pub async fn give_manifest(&mut self, manifest: Manifest, files: &MemoryFiles) -> Ack {
        self.send(update::Update::Manifest(manifest)).await;
        match self.report().await {
            Some(report::Report::Ack(ack)) => return ack,
            Some(report::Report::Want(want)) => self.give_files(files, &want.sha256).await,
            other => panic!("Want or Ack and not {other:?}"),
        }
        self.ack().await
    }

    pub async fn give_files(&mut self, files: &MemoryFiles, wanted: &[Vec<u8>]) {
        for wanted in wanted {
            let content = files.iter().find(|(_, content)| sha256(content) == wanted.as_slice()).unwrap().1;
            let (first, rest) = content.split_at(content.len() / 2);
            self.give_piece(wanted, first, false).await;
            self.give_piece(wanted, rest, true).await;
        }
    }

    pub async fn give_piece(&mut self, sha256: &[u8], data: &[u8], last: bool) {
        self.send(update::Update::Blob(Blob { sha256: sha256.to_vec(), data: data.to_vec(), last })).await;
    }

    pub async fn beat(&mut self, publication: u64, epoch: u64) {
        self.send(update::Update::Heartbeat(Heartbeat { clock: 1, publication, epoch })).await;
    }

    pub async fn give_all(&mut self, fake: &Fake, number: u64, files: &MemoryFiles) {
        let acks = [
            self.give_bundles(fake.bundles(number)).await,
            self.give_signals(fake.signals(number, &["shop/checkout"])).await,
            self.give_manifest(fake.manifest(number, files), files).await,
        ];
        assert!(acks.iter().all(|ack| ack.refused.is_empty()), "{acks:?}");
    }
}

struct Service(Arc<Inner>);

impl Inner {
    fn mint(&self, path: &str, csr: &[u8], life: u64) -> Vec<Vec<u8>> {
        let mut serial = self.serial.lock().unwrap();
        *serial += 1;
        let plan = LeafPlan { serial: vec![*serial], ..system_plan(&system_id(path), self.clock.now(), life) };
        self.root.issue_for(&plan, csr)
    }

    fn answer(&self, csr: &[u8], name: &str) -> Response<JoinResponse> {
        let role = if *self.is_for_agents.lock().unwrap() { "agent" } else { "proxy" };
        let chain = self.mint(&format!("{role}/{name}"), csr, 86_400);
        Response::new(JoinResponse { chain, root: self.root.der().to_vec(), rejoin_within_seconds: 604_800 })
    }
}

type Answer<T> = Result<Response<T>, Status>;
type Sent<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl wire_server::Wire for Service {
    async fn join(&self, request: Request<JoinRequest>) -> Answer<JoinResponse> {
        assert!(matches!(who(&request), server::Who::Nobody));
        let request = request.into_inner();
        let mut tokens = self.0.tokens.lock().unwrap();
        let Some(used) = tokens.get_mut(&request.token) else {
            return Err(Status::unauthenticated("the join token is not known"));
        };
        let key = key_of(&request.csr);
        if *used.get_or_insert_with(|| key.clone()) != key {
            return Err(Status::unauthenticated("the join token was used by another key"));
        }
        drop(tokens);
        Ok(self.0.answer(&request.csr, &request.name))
    }

    async fn challenge(&self, _: Request<ChallengeRequest>) -> Answer<ChallengeResponse> {
        Ok(Response::new(ChallengeResponse { nonce: vec![7; 32] }))
    }

    async fn rejoin(&self, request: Request<RejoinRequest>) -> Answer<JoinResponse> {
        assert!(matches!(who(&request), server::Who::Nobody));
        let request = request.into_inner();
        let message = system::rejoin_message(&[7; 32], &request.csr);
        verify_by(&request.certificate, &message, &request.signature)
            .ok_or_else(|| Status::permission_denied("the signature is wrong"))?;
        *self.0.rejoins.lock().unwrap() += 1;
        Ok(self.0.answer(&request.csr, "edge-1"))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Answer<JoinResponse> {
        assert!(matches!(who(&request), server::Who::System(_)));
        Ok(self.0.answer(&request.into_inner().csr, "edge-1"))
    }

    type FollowStream = Sent<Update>;

    async fn follow(&self, request: Request<Streaming<Report>>) -> Answer<Sent<Update>> {
        let peer = request.extensions().get::<server::PeerInfo>().unwrap().clone();
        let (updates, outgoing) = mpsc::channel(64);
        let session = Session { peer, reports: request.into_inner(), updates: Some(updates) };
        self.0.sessions.send(session).map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }

    async fn mint_workload(&self, request: Request<MintWorkloadRequest>) -> Answer<MintResponse> {
        let request = request.into_inner();
        judge(request.selectors)?;
        *self.0.predecessor.lock().unwrap() = request.predecessor;
        Ok(Response::new(self.minted(&request.spiffe_id, &request.csr)))
    }

    async fn mint_jwt(&self, request: Request<MintJwtRequest>) -> Answer<MintJwtResponse> {
        let MintJwtRequest { selectors, spiffe_id, audience } = request.into_inner();
        judge(selectors)?;
        let (issued_at, not_after) = (self.0.clock.now().micros(), self.0.clock.now().plus_seconds(300).micros());
        let spiffe_id = if audience == ["somebody-else"] { format!("{spiffe_id}-else") } else { spiffe_id };
        let token = if audience == ["nothing"] { String::new() } else { format!("e30.{}.c2ln", audience.join(",")) };
        Ok(Response::new(MintJwtResponse { spiffe_id, token, issued_at, not_after }))
    }

    async fn mint_gateway(&self, request: Request<MintGatewayRequest>) -> Answer<MintResponse> {
        let request = request.into_inner();
        Ok(Response::new(
            self.minted(&format!("spiffe://{}.{ORGANISATION}/_gateway/edge-1", request.domain), &request.csr),
        ))
    }

    type ShipStream = Sent<Received>;

    async fn ship(&self, _: Request<Streaming<Shipped>>) -> Answer<Sent<Received>> {
        Err(Status::unimplemented("not here"))
    }
}

/// Control as an issuer: one user is known, one asks too often.
fn judge(selectors: Option<wire::Selectors>) -> Result<(), Status> {
    match content::read_selectors(&selectors.unwrap()).unwrap().uid {
        1001 => Ok(()),
        1003 => Err(Status::resource_exhausted("600 a minute and no more")),
        _ => Err(Status::permission_denied("no rule matches")),
    }
}

impl Service {
    /// The test's one authority vouches for every trust domain.
    fn minted(&self, id: &str, csr: &[u8]) -> MintResponse {
        let now = self.0.clock.now();
        let domain = SpiffeId::parse(id).unwrap();
        let chain = if domain.trust_domain().as_str().starts_with("system.") {
            self.0.mint(domain.path().trim_start_matches('/'), csr, 3600)
        } else {
            self.0.root.issue_for(&LeafPlan::svid(id, now), csr)
        };
        MintResponse {
            spiffe_id: id.to_owned(),
            chain,
            not_before: now.micros(),
            not_after: now.plus_seconds(3600).micros(),
            serial: "5c1e01".to_owned(),
        }
    }
}

fn who<T>(request: &Request<T>) -> server::Who {
    request.extensions().get::<server::PeerInfo>().unwrap().who.clone()
}

fn key_of(csr: &[u8]) -> Vec<u8> {
    let csr = rcgen::CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
    rcgen::PublicKeyData::der_bytes(&csr.public_key).to_vec()
}

/// Whether the key of a certificate, valid or not, made a signature.
fn verify_by(certificate: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
    let certificate = CertificateDer::from(certificate);
    let end_entity = webpki::EndEntityCert::try_from(&certificate).ok()?;
    let spki = end_entity.subject_public_key_info();
    // the point of a P-256 key is the last 65 bytes
    let point = spki.as_ref().split_at_checked(spki.len() - 65)?.1.to_vec();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).ok()
}
