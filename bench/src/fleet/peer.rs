//! A simulated proxy: it joins with a token, connects with the certificate that it got, and follows the stream of state as
//! a proxy does. It asks for the files that it lacks and acknowledges what is whole; it compiles and keeps nothing.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use api::protocol;
use api::wire::wire_client::WireClient;
use api::wire::{
    Ack, Blob, Fact, Have, Hello, JoinRequest, Kind, Load, Manifest, Pulse, Report, Signed, Update, Want, report,
    update,
};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::{Service, http::Uri};
use tonic::transport::{Channel, Endpoint};

use super::tls::{self, Identity};

/// The largest message that it takes, and its window, as a proxy has them.
const MESSAGE: usize = 64 << 20;
const WINDOW: u32 = 1 << 20;

/// Where control is, and the root that it is held to.
#[derive(Clone)]
pub struct At {
    pub address: SocketAddr,
    pub root: Arc<Vec<u8>>,
}

/// Gets an identity for a token.
pub async fn join(at: &At, token: String, name: String) -> Result<Identity> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let csr = CertificateParams::default().serialize_request(&key)?.der().to_vec();
    let mut client = WireClient::new(connect(at, None).await?);
    let request = JoinRequest { token, csr, version: "bench".to_owned(), name };
    let answer = client.join(request).await.map_err(|status| anyhow::anyhow!("not joined: {status}"))?.into_inner();
    let chain = answer.chain.into_iter().map(Into::into).collect();
    Ok((chain, PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()))))
}

/// Follows until the connection ends, which it should not.
pub async fn follow(at: At, identity: Identity) -> Result<()> {
    let channel = connect(&at, Some(identity)).await?;
    let mut client = WireClient::new(channel).max_decoding_message_size(MESSAGE);
    let (reports, outgoing) = mpsc::channel(64);
    let hello = Hello {
        oldest: protocol::OLDEST,
        newest: protocol::NEWEST,
        version: "bench".to_owned(),
        started: micros(),
        have: Some(Have::default()),
        clock: micros(),
    };
    reports.send(Report { report: Some(report::Report::Hello(hello)) }).await?;
    let mut updates = client.follow(ReceiverStream::new(outgoing)).await?.into_inner();
    let mut state = State::default();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        let answer = tokio::select! {
            update = updates.message() => match update.context("the stream broke")? {
                Some(update) => state.take(update)?,
                None => bail!("control ended the stream"),
            },
            _ = second.tick() => {
                Some(report::Report::Pulse(Pulse { clock: micros(), load: Some(Load::default()) }))
            }
        };
        if let Some(answer) = answer {
            reports.send(Report { report: Some(answer) }).await?;
        }
    }
}

/// What it has, and what it waits for.
#[derive(Default)]
struct State {
    have: Have,
    files: BTreeSet<Vec<u8>>,
    /// The publication whose files are on their way.
    coming: Option<(u64, Vec<u8>)>,
    missing: BTreeSet<Vec<u8>>,
}

impl State {
    fn take(&mut self, update: Update) -> Result<Option<report::Report>> {
        match update.update.context("an empty update")? {
            update::Update::Manifest(manifest) => self.manifest(manifest),
            update::Update::Blob(blob) => Ok(self.blob(blob)),
            update::Update::Signals(signals) => {
                let (number, digest) = fact(signals.signed.as_ref())?;
                (self.have.epoch, self.have.signals_digest) = (number, digest);
                Ok(Some(self.ack(Kind::Signals, number)))
            }
            update::Update::Bundles(bundles) => {
                let (number, digest) = fact(bundles.signed.as_ref())?;
                (self.have.bundles, self.have.bundles_digest) = (number, digest);
                Ok(Some(self.ack(Kind::Bundles, number)))
            }
            update::Update::Goodbye(goodbye) => bail!("control said goodbye: {}", goodbye.why),
            update::Update::Welcome(_)
            | update::Update::Registrations(_)
            | update::Update::Heartbeat(_)
            | update::Update::Ask(_) => Ok(None),
        }
    }

    /// Files of a base are already there: only what the entries name can be missing.
    fn manifest(&mut self, manifest: Manifest) -> Result<Option<report::Report>> {
        let (number, revision) = fact(manifest.publication.as_ref())?;
        let needed = manifest.entries.into_iter().filter(|entry| !entry.withheld && !entry.sha256.is_empty());
        self.missing = needed.map(|entry| entry.sha256).filter(|sha256| !self.files.contains(sha256)).collect();
        self.coming = Some((number, revision));
        Ok(if self.missing.is_empty() {
            self.whole()
        } else {
            Some(report::Report::Want(Want { sha256: self.missing.iter().cloned().collect() }))
        })
    }

    fn blob(&mut self, blob: Blob) -> Option<report::Report> {
        if !blob.last {
            return None;
        }
        self.missing.remove(&blob.sha256);
        self.files.insert(blob.sha256);
        if self.missing.is_empty() { self.whole() } else { None }
    }

    fn whole(&mut self) -> Option<report::Report> {
        let (number, revision) = self.coming.take()?;
        (self.have.publication, self.have.revision) = (number, revision);
        Some(self.ack(Kind::Publication, number))
    }

    fn ack(&self, kind: Kind, number: u64) -> report::Report {
        let (refused, why) = (String::new(), String::new());
        report::Report::Ack(Ack { have: Some(self.have.clone()), refused, why, kind: kind.into(), number })
    }
}

/// The number and digest of what was signed.
fn fact(signed: Option<&Signed>) -> Result<(u64, Vec<u8>)> {
    let fact = Fact::decode(signed.context("nothing is signed")?.fact.as_slice())?;
    Ok((fact.number, fact.digest))
}

/// What the protocol tells of this machine's clock.
#[expect(clippy::disallowed_methods, reason = "a proxy has the clock of its machine, and this one stands for it")]
fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// A connection to control, with an identity or without.
pub async fn connect(at: &At, identity: Option<Identity>) -> Result<Channel> {
    let tcp = TcpStream::connect(at.address).await.context("control cannot be reached")?;
    tcp.set_nodelay(true)?;
    let connector = TlsConnector::from(Arc::new(tls::config(&at.root, identity)?));
    let name = ServerName::from(at.address.ip());
    let stream = connector.connect(name, tcp).await.context("the handshake with control failed")?;
    let endpoint = Endpoint::from_static("http://control");
    let endpoint = endpoint.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    endpoint.connect_with_connector(Once(Some(stream))).await.context("no HTTP/2")
}

/// Gives its connection once.
struct Once(Option<TlsStream<TcpStream>>);

impl Service<Uri> for Once {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let io = self.0.take().map(TokioIo::new);
        Box::pin(core::future::ready(io.ok_or_else(|| io::Error::other("the connection has ended"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(number: u64) -> Option<Signed> {
        let fact = Fact { number, digest: vec![7; 32], ..Fact::default() };
        Some(Signed { fact: fact.encode_to_vec(), ..Signed::default() })
    }

    fn entry(sha256: u8, withheld: bool) -> api::wire::Entry {
        api::wire::Entry { path: "a".into(), sha256: vec![sha256; 32], withheld }
    }

    #[test]
    fn a_publication_is_acknowledged_when_its_last_file_is_there_and_not_before() {
        let mut state = State::default();
        let manifest = Manifest {
            publication: signed(4),
            base: Vec::new(),
            entries: vec![entry(1, false), entry(2, false), entry(3, true)],
        };
        let Some(report::Report::Want(want)) = state.manifest(manifest).unwrap() else { panic!() };
        assert_eq!(want.sha256, [vec![1; 32], vec![2; 32]]);
        let blob = |sha256: u8, last| Blob { sha256: vec![sha256; 32], data: Vec::new(), last };
        assert!(state.blob(blob(1, true)).is_none());
        assert!(state.blob(blob(2, false)).is_none());
        let Some(report::Report::Ack(ack)) = state.blob(blob(2, true)) else { panic!() };
        assert_eq!((ack.number, ack.have.unwrap().publication), (4, 4));
        let again = Manifest { publication: signed(5), base: vec![7; 32], entries: vec![entry(2, false)] };
        assert!(matches!(state.manifest(again).unwrap(), Some(report::Report::Ack(ack)) if ack.number == 5));
    }
}
