//! The gateway's own certificates: one SVID per domain and node, with the domain's hosts, renewed before half of its
//! life is over and swapped whole. A valid one is kept whatever fails (promise 5).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use api::issuance::{Bundles, Issuance, IssueError, Svid};
use arc_swap::ArcSwap;
use identity::{Bundle, BundleError, BundleSet};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use runtime::{
    shutdown::Shutdown,
    tls::{self, ServerConfigs, Trust, UnusableKey},
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use thiserror::Error;
use tokio::sync::watch;
use trustdir::{Asks, Revision};
use types::{Clock, Host, Label, Timestamp, limits};

use crate::stats::Stats;

/// The server names of a listener and the TLS configuration of each; swapped whole.
pub type ServerNames = ArcSwap<NameTable>;

/// One state of [`ServerNames`].
pub struct NameTable {
    hosts: HashMap<Host, Name>,
    refusing: Arc<ServerConfig>,
}

/// How a host answers.
#[derive(Clone)]
pub struct Name {
    /// With this configuration.
    pub config: Arc<ServerConfig>,
    /// Whether the peer must present a certificate.
    pub asks: Asks,
}

impl NameTable {
    /// How a served host answers.
    pub fn find(&self, host: &Host) -> Option<Name> {
        self.hosts.get(host).cloned()
    }

    /// The configuration that answers everybody else with an alert.
    pub fn refusing(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.refusing)
    }
}

/// Why a gateway has no certificate.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// The key or the request could not be made.
    #[error("the gateway's key could not be made")]
    Key(#[from] rcgen::Error),
    /// The issuer refused or is away.
    #[error("the issuer gave no certificate for the gateway of {domain}")]
    Issuer {
        /// The domain.
        domain: Label,
        /// What it said.
        source: IssueError,
    },
    /// What came back cannot be used.
    #[error("the certificate for the gateway cannot be used")]
    Unusable(#[from] UnusableKey),
    /// The bundles that came back cannot be used.
    #[error("the trust bundles cannot be used")]
    Bundle(#[from] BundleError),
}

/// Keeps the certificates of one node's gateway listeners.
pub struct Keeper {
    node: Label,
    issuance: Arc<dyn Issuance>,
    revision: Arc<ArcSwap<Revision>>,
    trust: Arc<Trust>,
    clock: Arc<dyn Clock>,
    stats: Arc<Stats>,
    held: BTreeMap<Label, Held>,
}

/// One domain's certificate.
struct Held {
    configs: ServerConfigs,
    not_after: Timestamp,
    renew_at: Timestamp,
}

/// The listeners that a keeper serves: the domains of each and the table to fill.
pub struct Served {
    /// The domains whose hosts the listener serves; `None` for those of whatever revision is in force.
    pub domains: Option<Vec<Label>>,
    /// The table.
    pub names: Arc<ServerNames>,
}

impl Keeper {
    /// A keeper that holds nothing yet.
    pub fn new(
        node: Label,
        issuance: Arc<dyn Issuance>,
        revision: Arc<ArcSwap<Revision>>,
        trust: Arc<Trust>,
        clock: Arc<dyn Clock>,
        stats: Arc<Stats>,
    ) -> Self {
        Self { node, issuance, revision, trust, clock, stats, held: BTreeMap::new() }
    }

    /// An empty table: every handshake is refused with an alert.
    ///
    /// # Errors
    /// See [`UnusableKey`].
    pub fn empty_table(&self) -> Result<NameTable, UnusableKey> {
        Ok(NameTable { hosts: HashMap::new(), refusing: Arc::new(tls::refusing_config(Arc::clone(&self.trust))?) })
    }

    /// The domains that the listeners serve at the moment.
    fn domains(&self, served: &[Served]) -> BTreeSet<Label> {
        let revision = self.revision.load();
        let named = served.iter().filter_map(|served| served.domains.as_ref()).flatten();
        let all = served.iter().any(|served| served.domains.is_none()).then(|| revision.domains().keys());
        named
            .chain(all.into_iter().flatten())
            .filter(|domain| revision.domains().contains_key(*domain))
            .cloned()
            .collect()
    }

    /// Gets whatever is missing or due for what is served, or everything `anew`; takes the bundles of the moment, and gives
    /// the listeners what is held then. One domain's failure keeps nobody else waiting.
    ///
    /// # Errors
    /// The first failure; what was held before stays.
    pub async fn refresh(&mut self, served: &[Served], anew: bool) -> Result<(), CredentialError> {
        self.trust.replace(bundle_set(self.issuance.bundles())?);
        let (now, domains) = (self.clock.now(), self.domains(served));
        self.held.retain(|domain, _| domains.contains(domain));
        let mut failed = Ok(());
        for domain in domains {
            if anew || self.held.get(&domain).is_none_or(|held| held.renew_at <= now) {
                match self.obtain(&domain).await {
                    Ok(held) => drop(self.held.insert(domain, held)),
                    Err(error) => failed = failed.and(Err(error)),
                }
            }
        }
        self.stats.set_certificates(self.held.iter().map(|(domain, held)| (domain.clone(), held.not_after)).collect());
        served.iter().try_for_each(|served| self.publish(served))?;
        failed
    }

    /// Publishes what is held to a listener.
    fn publish(&self, served: &Served) -> Result<(), UnusableKey> {
        let mut table = self.empty_table()?;
        let revision = self.revision.load();
        let serves = |domain: &Label| served.domains.as_ref().is_none_or(|domains| domains.contains(domain));
        for (domain, held) in self.held.iter().filter(|(domain, _)| serves(domain)) {
            let asks = revision.asks_identity(domain);
            let config = match asks {
                Asks::Required => &held.configs.required,
                Asks::Optional => &held.configs.optional,
            };
            let hosts = revision.hosts_of(domain).into_iter();
            table.hosts.extend(hosts.map(|host| (host, Name { config: Arc::clone(config), asks })));
        }
        served.names.store(Arc::new(table));
        Ok(())
    }

    /// Renews for as long as the proxy lives: when a certificate is due, when the issuer says that something changed, and
    /// when another revision serves other hosts or asks its callers otherwise.
    pub async fn run(mut self, served: Vec<Served>, mut changes: watch::Receiver<u64>, mut shutdown: Shutdown) {
        let mut issued = self.issuance.changes();
        let mut failed = false;
        loop {
            let anew = tokio::select! {
                () = shutdown.asked() => return,
                changed = issued.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    true
                }
                Ok(()) = changes.changed() => false,
                () = tokio::time::sleep(self.pause(failed)) => false,
            };
            failed = match self.refresh(&served, anew).await {
                Ok(()) => false,
                Err(error) => {
                    self.say(&error);
                    true
                }
            };
        }
    }

    /// Until the first certificate is due; a while where the last attempt failed.
    fn pause(&self, failed: bool) -> Duration {
        if failed {
            return Duration::from_millis(limits::RENEWAL_RETRY_TIME.default);
        }
        let now = self.clock.now();
        let due = self.held.values().map(|held| held.renew_at.micros_since(now)).min();
        Duration::from_micros(due.unwrap_or_default()).max(Duration::from_millis(limits::RENEWAL_RETRY_TIME.default))
    }

    fn say(&self, error: &CredentialError) {
        let until = self.held.values().map(|held| held.not_after).min().map(|at| at.to_string());
        let until = until.unwrap_or_default();
        tracing::warn!(%error, usable_until = %until, "a gateway certificate could not be renewed; the old one stays in use");
    }

    async fn obtain(&self, domain: &Label) -> Result<Held, CredentialError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let csr = CertificateParams::default().serialize_request(&key)?;
        let svid = self
            .issuance
            .mint_gateway(domain, &self.node, csr.der())
            .await
            .map_err(|source| CredentialError::Issuer { domain: domain.clone(), source })?;
        let (not_after, renew_at) = (svid.not_after, half_life(&svid, self.clock.now()));
        let chain = svid.chain_der.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let configs = tls::server_configs(chain, key, &self.trust)?;
        Ok(Held { configs, not_after, renew_at })
    }
}

/// The bundles of every domain, as the issuer gives them.
///
/// # Errors
/// See [`BundleError`].
pub fn bundle_set(bundles: Bundles) -> Result<BundleSet, BundleError> {
    bundles.roots.into_iter().map(|(trust_domain, roots)| Bundle::from_der(trust_domain, roots)).collect()
}

fn half_life(svid: &Svid, now: Timestamp) -> Timestamp {
    Timestamp::from_micros(now.micros() + svid.not_after.micros_since(now) / 2)
}
