//! The gateway's own certificates: one SVID per domain and node, with the domain's hosts, renewed before half of its
//! life is over and swapped whole. A valid one is kept whatever fails (promise 5).

use std::{collections::HashMap, sync::Arc, time::Duration};

use api::issuance::{Bundles, Issuance, IssueError, Svid};
use arc_swap::ArcSwap;
use identity::{Bundle, BundleError, BundleSet};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use runtime::{
    shutdown::Shutdown,
    tls::{self, Trust, UnusableKey},
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use thiserror::Error;
use trustdir::Revision;
use types::{Clock, Host, Label, Timestamp, limits};

/// The server names of a listener and the TLS configuration of each; swapped whole.
pub type ServerNames = ArcSwap<NameTable>;

/// One state of [`ServerNames`].
pub struct NameTable {
    hosts: HashMap<Host, Arc<ServerConfig>>,
    refusing: Arc<ServerConfig>,
}

impl NameTable {
    /// The configuration for a served host.
    pub fn config_for(&self, host: &Host) -> Option<Arc<ServerConfig>> {
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
    held: HashMap<Label, Held>,
}

/// One domain's certificate.
struct Held {
    config: Arc<ServerConfig>,
    not_after: Timestamp,
    renew_at: Timestamp,
}

/// The listeners that a keeper serves: the domains of each and the table to fill.
pub struct Served {
    /// The domains whose hosts the listener serves.
    pub domains: Vec<Label>,
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
    ) -> Self {
        Self { node, issuance, revision, trust, clock, held: HashMap::new() }
    }

    /// An empty table: every handshake is refused with an alert.
    ///
    /// # Errors
    /// See [`UnusableKey`].
    pub fn empty_table(&self) -> Result<NameTable, UnusableKey> {
        Ok(NameTable { hosts: HashMap::new(), refusing: Arc::new(tls::refusing_config(Arc::clone(&self.trust))?) })
    }

    /// Gets whatever is missing or due for `domains`, and takes the bundles of the moment.
    ///
    /// # Errors
    /// The first failure; what was held before stays.
    pub async fn refresh(&mut self, domains: &[Label], anew: bool) -> Result<(), CredentialError> {
        self.trust.replace(bundle_set(self.issuance.bundles())?);
        let now = self.clock.now();
        for domain in domains {
            if anew || self.held.get(domain).is_none_or(|held| held.renew_at <= now) {
                let held = self.obtain(domain).await?;
                self.held.insert(domain.clone(), held);
            }
        }
        Ok(())
    }

    /// Publishes what is held to a listener.
    ///
    /// # Errors
    /// See [`UnusableKey`].
    pub fn publish(&self, served: &Served) -> Result<(), UnusableKey> {
        let mut table = self.empty_table()?;
        let revision = self.revision.load();
        for domain in &served.domains {
            if let Some(held) = self.held.get(domain) {
                let hosts = revision.hosts_of(domain).into_iter().map(|host| (host, Arc::clone(&held.config)));
                table.hosts.extend(hosts);
            }
        }
        served.names.store(Arc::new(table));
        Ok(())
    }

    /// Renews for as long as the proxy lives: when a certificate is due and when the issuer says that something changed.
    pub async fn run(mut self, served: Vec<Served>, mut shutdown: Shutdown) {
        let mut domains: Vec<Label> = served.iter().flat_map(|served| served.domains.iter().cloned()).collect();
        domains.sort_unstable();
        domains.dedup();
        let mut changes = self.issuance.changes();
        let mut failed = false;
        loop {
            let changed = tokio::select! {
                () = shutdown.asked() => return,
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    true
                }
                () = tokio::time::sleep(self.pause(failed)) => false,
            };
            failed = match self.refresh(&domains, changed).await {
                Ok(()) => served.iter().try_for_each(|served| self.publish(served)).is_err(),
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
        let config = Arc::new(tls::server_config(chain, key, Arc::clone(&self.trust))?);
        Ok(Held { config, not_after, renew_at })
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
