//! A real client: a certificate from the Workload API, mutual TLS, connections that are kept.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use identity::{Bundle, BundleSet};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use types::{Host, TrustDomain};

use crate::acme::catalogue::{self, ORGANISATION};
use crate::https::{Connection, Credential, Server, Way};

/// How often the Workload API is asked for what is current. It renews certificates at half of their life.
const RENEWED: Duration = Duration::from_secs(60);

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
    connections: BTreeMap<String, Connection>,
}

impl Client {
    pub(super) const fn new(source: Source, gateway: SocketAddr) -> Self {
        Self { source, gateway, known: None, connections: BTreeMap::new() }
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
        let due = self.known.as_ref().is_none_or(|(_, since)| since.elapsed() >= RENEWED);
        if due {
            match (self.source.ask().await, self.known.as_mut()) {
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
    async fn ask(&self) -> Result<Known, String> {
        match self {
            Self::WorkloadApi(socket) => from_the_agent(socket).await,
            Self::Roots(file) => {
                let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
                Ok(Known { credential: None, bundles: catalogue_bundles(&text)? })
            }
        }
    }
}

async fn from_the_agent(socket: &std::path::Path) -> Result<Known, String> {
    let fetched = agent::fetch_all(socket).await.map_err(|error| error.to_string())?;
    let svid = fetched.svids.into_iter().next().ok_or("the agent gave no identity")?;
    let own = (svid.spiffe_id.trust_domain().clone(), svid.bundle_der);
    let bundles = std::iter::once(own)
        .chain(fetched.federated)
        .map(|(domain, roots)| Bundle::from_der(domain, roots).map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;
    let key = PrivatePkcs8KeyDer::from(svid.key_der.reveal().to_vec());
    let chain = svid.chain_der.into_iter().map(CertificateDer::from).collect();
    Ok(Known { credential: Some(Credential { chain, key: PrivateKeyDer::from(key) }), bundles })
}

/// The roots of the one domain that the prober looks at.
fn catalogue_bundles(pem: &str) -> Result<BundleSet, String> {
    let name = format!("{}.{ORGANISATION}", catalogue::PROBED);
    let domain = TrustDomain::parse(&name).map_err(|error| error.to_string())?;
    let bundle = Bundle::from_pem(domain, pem).map_err(|error| error.to_string())?;
    Ok(BundleSet::from_iter([bundle]))
}
