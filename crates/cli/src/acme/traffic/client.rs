//! A real client: a certificate from the Workload API, mutual TLS, connections that are kept.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use identity::{Bundle, BundleSet};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use types::{Host, TrustDomain};

use crate::acme::catalogue::{self, ORGANISATION};
use crate::https::{Connection, Credential, Server, Way};

/// How often a file of roots is read again.
const RENEWED: Duration = Duration::from_secs(60);
/// For how long a first identity is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts to reach the agent.
const PAUSE: Duration = Duration::from_millis(500);

/// Where a client learns who it is and whom to trust.
pub(super) enum Source {
    /// From the Workload API on this socket.
    WorkloadApi(PathBuf),
    /// It is nobody, and trusts the roots in this file.
    Roots(PathBuf),
}

/// One request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    pub(super) method: &'static str,
    /// The host to connect to: the server name.
    pub(super) host: String,
    /// The `Host` field, where it is another.
    pub(super) authority: Option<String>,
    /// Path and query, as they go over the wire.
    pub(super) target: String,
    /// JSON, or `""` for none.
    pub(super) body: String,
}

/// Who one is, and whom one trusts.
pub(super) struct Known {
    pub(super) credential: Option<Credential>,
    pub(super) bundles: BundleSet,
}

/// A caller.
pub(super) struct Client {
    source: Source,
    gateway: SocketAddr,
    known: Option<(Known, Instant)>,
    following: Option<Following>,
    connections: BTreeMap<String, Connection>,
}

impl Client {
    pub(super) const fn new(source: Source, gateway: SocketAddr) -> Self {
        Self { source, gateway, known: None, following: None, connections: BTreeMap::new() }
    }

    /// One call on a kept connection, or on a new one where there is none or the kept one has ended.
    pub(super) async fn call(&mut self, asked: &Asked) -> Result<Response<Bytes>, String> {
        self.renew().await?;
        if let Some(mut kept) = self.connections.remove(&asked.host) {
            // the gateway may close an idle connection at any time; a new one tells
            if let Ok(response) = kept.send(request(asked)?).await {
                self.connections.insert(asked.host.clone(), kept);
                return Ok(response);
            }
        }
        let mut connection = self.way(&asked.host)?.open().await?;
        let response = connection.send(request(asked)?).await?;
        self.connections.insert(asked.host.clone(), connection);
        Ok(response)
    }

    /// Who it is now. What is held stays good where nothing new is given.
    pub(super) async fn renew(&mut self) -> Result<&Known, String> {
        if let Source::WorkloadApi(socket) = &self.source {
            let following = self.following.get_or_insert_with(|| Following::start(socket.clone()));
            if let Some(fetched) = following.next(self.known.is_none()).await? {
                self.connections.clear();
                self.known = Some((known(&fetched)?, Instant::now()));
            }
            return self.known.as_ref().map(|(known, _)| known).ok_or_else(|| "nothing is known yet".to_owned());
        }
        let due = self.known.as_ref().is_none_or(|(_, since)| since.elapsed() >= RENEWED);
        if due {
            match (self.source.read(), self.known.as_mut()) {
                (Ok(known), _) => {
                    self.connections.clear();
                    self.known = Some((known, Instant::now()));
                }
                (Err(_), Some((_, since))) => *since = Instant::now(),
                (Err(error), None) => return Err(error),
            }
        }
        self.known.as_ref().map(|(known, _)| known).ok_or_else(|| "nothing is known yet".to_owned())
    }

    fn way(&self, host: &str) -> Result<Way, String> {
        let (known, _) = self.known.as_ref().ok_or("nothing is known yet")?;
        way(known.credential.as_ref(), &known.bundles, host, self.gateway)
    }
}

/// The way to a host of the example, shown a certificate or none.
pub(super) fn way(
    credential: Option<&Credential>,
    bundles: &BundleSet,
    host: &str,
    address: SocketAddr,
) -> Result<Way, String> {
    let name = host.strip_suffix(ORGANISATION).and_then(|name| name.strip_suffix('.')).unwrap_or(host);
    let domain = catalogue::SERVICES.iter().find(|service| service.name == name).map_or("system", |it| it.domain);
    let trust_domain = TrustDomain::parse(&format!("{domain}.{ORGANISATION}")).map_err(|error| error.to_string())?;
    let host = Host::parse(host).map_err(|reason| reason.title().to_owned())?;
    Way::new(credential, Server { address, host, trust_domain, bundles: bundles.clone() })
}

/// The request as it goes over the wire.
pub(super) fn request(asked: &Asked) -> Result<Request<Full<Bytes>>, String> {
    let host = asked.authority.as_ref().unwrap_or(&asked.host);
    let mut request = Request::builder().method(asked.method).uri(&asked.target).header(header::HOST, host);
    if !asked.body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    request.body(Full::new(Bytes::from(asked.body.clone()))).map_err(|error| error.to_string())
}

impl Source {
    fn read(&self) -> Result<Known, String> {
        match self {
            Self::WorkloadApi(_) => Err("the Workload API is followed".to_owned()),
            Self::Roots(file) => {
                let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
                Ok(Known { credential: None, bundles: catalogue_bundles(&text)? })
            }
        }
    }
}

/// The stream of the Workload API, kept open: what is rotated arrives by itself.
struct Following {
    updates: watch::Receiver<Option<Arc<agent::Fetched>>>,
    /// Why there is nothing; `""` where nothing failed.
    trouble: watch::Receiver<String>,
    /// Ends with the caller.
    _task: JoinSet<()>,
}

impl Following {
    fn start(socket: PathBuf) -> Self {
        let (update, updates) = watch::channel(None);
        let (failed, trouble) = watch::channel(String::new());
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                let why = agent::follow(&socket, |fetched| drop(update.send_replace(Some(Arc::new(fetched))))).await;
                failed.send_replace(why.to_string());
                sleep(PAUSE).await;
            }
        });
        Self { updates, trouble, _task: task }
    }

    /// What is new. The first one is waited for, unless there is a reason why none comes.
    async fn next(&mut self, is_first: bool) -> Result<Option<Arc<agent::Fetched>>, String> {
        if is_first {
            let (updates, trouble) = (&mut self.updates, &mut self.trouble);
            let first = async {
                tokio::select! {
                    found = updates.wait_for(Option::is_some) => found.map(drop).map_err(|error| error.to_string()),
                    why = trouble.wait_for(|why| !why.is_empty()) => {
                        Err(why.map_or_else(|error| error.to_string(), |why| why.clone()))
                    }
                }
            };
            timeout(PATIENCE, first).await.map_err(|_| "the agent did not answer in time".to_owned())??;
            return Ok(self.updates.borrow_and_update().clone());
        }
        let is_new = self.updates.has_changed().map_err(|error| error.to_string())?;
        Ok(if is_new { self.updates.borrow_and_update().clone() } else { None })
    }
}

fn known(fetched: &agent::Fetched) -> Result<Known, String> {
    let svid = fetched.svids.first().ok_or("the agent gave no identity")?;
    let own = (svid.spiffe_id.trust_domain().clone(), svid.bundle_der.clone());
    let bundles = std::iter::once(own)
        .chain(fetched.federated.clone())
        .map(|(domain, roots)| Bundle::from_der(domain, roots).map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;
    let key = PrivatePkcs8KeyDer::from(svid.key_der.reveal().to_vec());
    let chain = svid.chain_der.iter().cloned().map(CertificateDer::from).collect();
    Ok(Known { credential: Some(Credential { chain, key: PrivateKeyDer::from(key) }), bundles })
}

/// The roots of the one domain that the prober looks at.
fn catalogue_bundles(pem: &str) -> Result<BundleSet, String> {
    let name = format!("{}.{ORGANISATION}", catalogue::PROBED);
    let domain = TrustDomain::parse(&name).map_err(|error| error.to_string())?;
    let bundle = Bundle::from_pem(domain, pem).map_err(|error| error.to_string())?;
    Ok(BundleSet::from_iter([bundle]))
}
